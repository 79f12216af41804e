from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unreel.errors import WeightsError
from unreel.models.head_weights import load_both_networks, load_head_weights
from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder
from unreel.models.multi_head import MultiHeadEncoder
from unreel.models.resnet2d import ResNet2D
from unreel.models.torchvision_names import to_torchvision
from unreel.models.weight_matching import LoadReport
from unreel.models.weights import load_backbone_weights


def build(hidden_dim: int = 16) -> MultiHeadEncoder:
    torch.manual_seed(0)
    return MultiHeadEncoder(ResNet2D(depth=18, width=0.125), ("one", "two"), 8, hidden_dim=hidden_dim)


def moco_file(
    path: Path, *, hidden_dim: int = 16, without: str = "none of it"
) -> tuple[Path, dict[str, Tensor]]:
    """Write a file as MoCo v2 does: torchvision's names behind a prefix, an MLP, momentum encoder, queue."""
    torch.manual_seed(9)
    backbone = ResNet2D(depth=18, width=0.125)
    mlp = nn.Sequential(nn.Linear(backbone.num_features, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 8))
    query = to_torchvision(backbone) | {f"fc.{name}": value for name, value in mlp.state_dict().items()}
    state = {f"module.encoder_q.{name}": value for name, value in query.items() if without not in name}
    state |= {f"module.encoder_k.{name}": value + 1 for name, value in query.items()}
    torch.save(
        {"epoch": 200, "arch": "resnet", "state_dict": state | {"module.queue": torch.ones(8, 4)}}, path
    )
    return path, mlp.state_dict()


def load(encoder: MultiHeadEncoder, path: Path) -> LoadReport:
    report = load_backbone_weights(encoder.backbone, path)
    return load_head_weights(encoder.heads, path, backbone=report)


def layers_of(head: nn.Module) -> dict[str, Tensor]:
    assert isinstance(head, ProjectionHead)
    return head.layers.state_dict()


def test_every_head_starts_from_the_projection_of_the_query_encoder(tmp_path: Path) -> None:
    path, mlp = moco_file(tmp_path / "moco.pth.tar")
    encoder = build()
    report = load(encoder, path)
    assert (report.prefix, report.naming, report.share_loaded) == ("module.encoder_q.fc.", "torchvision", 1.0)
    layers = ("0.weight", "0.bias", "2.weight", "2.bias")
    assert report.loaded == tuple(f"{head}.{layer}" for head in ("one", "two") for layer in layers)
    assert report.file == path
    assert len(report.file_hash) == 16
    for head in encoder.heads.values():
        assert all(torch.equal(value, mlp[name]) for name, value in layers_of(head).items())


def test_the_heads_stay_apart_when_they_learn(tmp_path: Path) -> None:
    encoder = build()
    load(encoder, moco_file(tmp_path / "moco.pth")[0])
    with torch.no_grad():
        layers_of(encoder.heads["one"])["0.weight"].add_(1.0)
    assert not torch.equal(*(layers_of(head)["0.weight"] for head in encoder.heads.values()))


def test_a_checkpoint_of_our_own_moco_has_a_projection_too(tmp_path: Path) -> None:
    source = build()
    state = {f"online.backbone.{name}": value for name, value in source.backbone.state_dict().items()}
    torch.manual_seed(4)
    head = ProjectionHead(source.backbone.num_features, 8, hidden_dim=16)
    state |= {f"online.head.{name}": value for name, value in head.state_dict().items()}
    torch.save({"method": state}, tmp_path / "step-00000002.pt")
    encoder = build()
    report = load(encoder, tmp_path / "step-00000002.pt")
    assert (report.prefix, report.share_loaded) == ("online.head.layers.", 1.0)
    for mine in encoder.heads.values():
        assert all(torch.equal(value, head.layers.state_dict()[n]) for n, value in layers_of(mine).items())


def test_heads_of_a_checkpoint_with_several_go_to_those_of_their_names(tmp_path: Path) -> None:
    """Such as SeCo's into VCLR, which has one more: that one stays as it was."""
    source, encoder, fresh = build(), build(), build()
    with torch.no_grad():
        for offset, head in enumerate(source.heads.values(), start=1):
            layers_of(head)["0.weight"].add_(offset)
    kept = {name: value for name, value in source.state_dict().items() if not name.startswith("heads.two")}
    torch.save(
        {"method": {f"online.{name}": value for name, value in kept.items()}}, tmp_path / "step-00000002.pt"
    )
    report = load(encoder, tmp_path / "step-00000002.pt")
    assert (report.prefix, report.share_loaded) == ("online.heads.", 0.5)
    assert report.missing == ("two.0.weight", "two.0.bias", "two.2.weight", "two.2.bias")
    for name, expected in (("one", source), ("two", fresh)):
        for layer, value in layers_of(expected.heads[name]).items():
            assert torch.equal(layers_of(encoder.heads[name])[layer], value)


@pytest.mark.parametrize(
    ("options", "missing", "mismatched"),
    [
        ({"hidden_dim": 12}, (), ("0.weight", "0.bias", "2.weight")),
        ({"without": "fc.2"}, ("2.weight", "2.bias"), ()),
        ({"without": "fc."}, ("0.weight", "0.bias", "2.weight", "2.bias"), ()),
    ],
)
def test_a_projection_that_does_not_fit_as_a_whole_is_left(
    tmp_path: Path, options: dict[str, object], missing: tuple[str, ...], mismatched: tuple[str, ...]
) -> None:
    encoder, fresh = build(), build()
    report = load(encoder, moco_file(tmp_path / "moco.pth", **options)[0])  # type: ignore[arg-type]
    assert report.share_loaded == 0.0
    assert report.missing == tuple(f"{head}.{layer}" for head in ("one", "two") for layer in missing)
    names = tuple(item.name for item in report.mismatched)
    assert names == tuple(f"{head}.{layer}" for head in ("one", "two") for layer in mismatched)
    for name, head in encoder.heads.items():
        assert all(
            torch.equal(value, layers_of(fresh.heads[name])[n]) for n, value in layers_of(head).items()
        )


def test_the_momentum_encoder_starts_where_the_network_does_be_it_loaded_or_not(tmp_path: Path) -> None:
    """The heads of the file are twice as wide, so the network keeps its own, and they are copied."""
    path, _ = moco_file(tmp_path / "moco.pth", hidden_dim=32)
    encoder = build()
    key_encoder = MomentumEncoder(
        MultiHeadEncoder(ResNet2D(depth=18, width=0.125), ("one", "two"), 8, hidden_dim=16)
    )
    reports = load_both_networks(encoder, key_encoder, path)
    assert (reports["backbone"].share_loaded, reports["heads"].share_loaded) == (1.0, 0.0)
    slow = key_encoder.network.state_dict()
    assert all(torch.equal(value, slow[name]) for name, value in encoder.state_dict().items())


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    encoder = build()
    report = load_backbone_weights(encoder.backbone, moco_file(tmp_path / "moco.pth")[0])
    with pytest.raises(WeightsError, match="no such file"):
        load_head_weights(encoder.heads, tmp_path / "other.pth", backbone=report)
