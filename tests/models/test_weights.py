import collections
import hashlib
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unreel.errors import WeightsError
from unreel.models.backbone import Backbone
from unreel.models.r3d_plus1 import R3DPlus1
from unreel.models.resnet2d import ResNet2D
from unreel.models.resnet3d import ResNet3D
from unreel.models.torchvision_names import to_torchvision
from unreel.models.weights import load_backbone_weights, load_state_dict_file

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2])}


def randomized(backbone: Backbone) -> Backbone:
    with torch.no_grad():
        for value in backbone.state_dict().values():
            value.copy_(torch.rand(value.shape) * 10)
    return backbone


def snapshot(backbone: Backbone) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in backbone.state_dict().items()}


def assert_same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert state.keys() == expected.keys()
    assert all(
        torch.equal(state[key], value) and state[key].dtype == value.dtype for key, value in expected.items()
    )


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "tar", "pth.tar", "bin"])
def test_torch_files_are_read_whatever_their_ending(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    torch.save(STATE, path)
    assert_same(load_state_dict_file(path), STATE)


def test_torch_files_of_the_old_format_are_read(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(load_state_dict_file(tmp_path / "old.pth"), STATE)


def test_safetensors_are_read_alone_or_in_a_folder(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert_same(load_state_dict_file(tmp_path / "model.safetensors"), STATE)
    assert_same(load_state_dict_file(tmp_path), STATE)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {0: {"momentum": torch.ones(2)}}}},
        {"model_state": STATE, "lr": 0.1},
        {"model_state_dict": STATE},
        {"model": STATE, "queue": torch.zeros(3)},
        {"encoder": STATE},
        {"checkpoint": 1, "model": {"state_dict": STATE}},
        {"state_dict": {}, "model": STATE},
        {**STATE, "note": "trained on Tuesday", "epoch": 7},
        collections.OrderedDict(STATE),
    ],
)
def test_usual_containers_are_opened(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert_same(load_state_dict_file(tmp_path / "weights.pt"), STATE)


def test_parameters_come_without_gradient(tmp_path: Path) -> None:
    torch.save({"model": {"w": nn.Parameter(torch.ones(2))}}, tmp_path / "weights.pt")
    assert not load_state_dict_file(tmp_path / "weights.pt")["w"].requires_grad


class Innocent:
    """A class that a file would have to import."""


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"state_dict": STATE, "options": Harmful()}, tmp_path / "harmful.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"state_dict": Innocent()}, protocol=2))
    for name in ("harmful.pt", "plain.pkl"):
        with pytest.raises(WeightsError, match=rf"{name}: reading it would run code \(.*weights_only=False"):
            load_state_dict_file(tmp_path / name)
    assert not (tmp_path / "harm").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "network.pt")
    with pytest.raises(
        WeightsError, match=r"run code \(torch.nn.modules.linear.Linear\).*state dictionary alone"
    ):
        load_state_dict_file(tmp_path / "network.pt")


def test_a_compiled_network_is_refused_without_reading_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "compiled.pt")
    with pytest.raises(WeightsError, match=r"compiled.pt: .* with TorchScript archives.*save a state"):
        load_state_dict_file(tmp_path / "compiled.pt")


def test_a_missing_file_or_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere.pt: no such file"):
        load_state_dict_file(tmp_path / "nowhere.pt")
    with pytest.raises(WeightsError, match=r"model.safetensors: no such file"):
        load_state_dict_file(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "whole.pt")
    save_file(STATE, tmp_path / "whole.safetensors")
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    broken = {
        "empty.pt": b"",
        "text.pth": b"<html>404</html>",
        "cut.pt": (tmp_path / "whole.pt").read_bytes()[:-300],
        "cut_old.pt": (tmp_path / "old.pt").read_bytes()[:200],
        "cut.safetensors": (tmp_path / "whole.safetensors").read_bytes()[:-3],
        "text.safetensors": b"version https://git-lfs.github.com/spec/v1",
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=rf"{name}: not a whole (PyTorch|safetensors)") as caught:
            load_state_dict_file(tmp_path / name)
        # torch's own text recommends to read the file with its code, whatever is wrong with it.
        assert "weights_only" not in str(caught.value)
        assert "Weights only load failed" not in str(caught.value)
        assert len(str(caught.value)) < 350
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with pytest.raises(WeightsError, match=r"zip.pt: not a whole PyTorch weights file"):
        load_state_dict_file(tmp_path / "zip.pt")


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ([torch.ones(2)], "a list;"),
        ({"epoch": 3, "loss": 0.5}, "a dict with epoch, loss;"),
        ({}, "a dict with nothing in it;"),
        (torch.ones(2), "a Tensor;"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object, held: str) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=f"holds no weights but {held} save a state dictionary"):
        load_state_dict_file(tmp_path / "weights.pt")


def test_a_moco_checkpoint_of_several_processes_fills_the_backbone(tmp_path: Path) -> None:
    """Public MoCo files: DDP's prefix, a query and a key encoder, a queue, no counters of batches."""
    source = randomized(ResNet2D(depth=50, width=0.125))
    weights = {key: value for key, value in to_torchvision(source).items() if "num_batches" not in key}
    query = {f"module.encoder_q.{key}": value for key, value in weights.items()}
    key = {f"module.encoder_k.{key}": value + 1 for key, value in weights.items()}
    heads = {"module.encoder_q.fc.0.weight": torch.zeros(2), "module.encoder_q.fc.2.weight": torch.zeros(2)}
    queue = {"module.queue": torch.zeros(4), "module.queue_ptr": torch.zeros(1)}
    content = {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": query | heads | key | queue,
        "optimizer": {"state": {}},
    }
    torch.save(content, tmp_path / "moco.pth.tar")
    target = ResNet2D(depth=50, width=0.125)
    report = load_backbone_weights(target, tmp_path / "moco.pth.tar")
    assert (report.prefix, report.naming) == ("module.encoder_q.", "torchvision")
    assert report.missing == report.mismatched == report.unexpected == ()
    assert report.ignored_heads == tuple(heads)
    assert report.outside == tuple(key | queue)
    for name, value in source.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(target.state_dict()[name], value), name
    clips = torch.randn(1, 3, 2, 32, 32)
    assert torch.equal(target.eval()(clips), source.eval()(clips))


def test_our_own_weights_come_back_bit_by_bit(tmp_path: Path) -> None:
    source, target = randomized(ResNet3D(depth=10, width=0.125)), ResNet3D(depth=10, width=0.125)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    report = load_backbone_weights(target, tmp_path)
    assert_same(target.state_dict(), source.state_dict())
    assert report.loaded == tuple(source.state_dict())
    assert report.naming == "unreel"


def test_a_2d_resnet_18_fills_r3d_plus1_and_leaves_conv6_as_it_was(tmp_path: Path) -> None:
    source, target = randomized(ResNet2D(depth=18, width=0.125)), R3DPlus1(width=0.125)
    before = snapshot(target.conv6)
    torch.save(to_torchvision(source) | {"fc.weight": torch.zeros(1000, 64)}, tmp_path / "resnet18.pth")
    report = load_backbone_weights(target, tmp_path / "resnet18.pth")
    assert_same(target.frames.state_dict(), source.state_dict())
    assert_same(target.conv6.state_dict(), before)
    assert {name.split(".")[0] for name in report.missing} == {"conv6"}
    assert report.ignored_heads == ("fc.weight",)


def test_half_precision_files_fill_full_precision_networks(tmp_path: Path) -> None:
    source, target = randomized(ResNet2D(depth=18, width=0.125)), ResNet2D(depth=18, width=0.125)
    torch.save({key: value.half() for key, value in source.state_dict().items()}, tmp_path / "half.pt")
    load_backbone_weights(target, tmp_path / "half.pt")
    assert target.stem.conv.weight.dtype == torch.float32
    torch.testing.assert_close(target.stem.conv.weight, source.stem.conv.weight, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (
            ResNet2D(depth=18, width=0.25),
            r"only 0% of the weights of ResNet2D fit; of another shape: stem.conv.weight",
        ),
        (
            ResNet3D(depth=10, width=0.125),
            r"of ResNet2D fit; not in the file: .*The file has stem.conv.weight",
        ),
    ],
    ids=["another width", "another architecture"],
)
def test_a_file_that_hardly_fits_is_refused_and_changes_nothing(
    tmp_path: Path, other: Backbone, reason: str
) -> None:
    target = ResNet2D(depth=18, width=0.125)
    before = snapshot(target)
    torch.save(randomized(other).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=rf"{reason}.*Choose the architecture, depth and width"):
        load_backbone_weights(target, tmp_path / "other.pt")
    assert_same(target.state_dict(), before)


def test_half_is_enough_and_less_is_not(tmp_path: Path) -> None:
    """A ResNet-18 has 100 weights and statistics beside its counters."""
    source, target = ResNet2D(depth=18, width=0.125), ResNet2D(depth=18, width=0.125)
    weights = [item for item in source.state_dict().items() if "num_batches" not in item[0]]
    assert len(weights) == 100
    torch.save(dict(weights[:50]), tmp_path / "half.pt")
    assert len(load_backbone_weights(target, tmp_path / "half.pt").missing) == 50
    torch.save(dict(weights[:49]), tmp_path / "less.pt")
    with pytest.raises(WeightsError, match="only 49% of the weights"):
        load_backbone_weights(target, tmp_path / "less.pt")


def test_the_report_names_the_file_and_hashes_its_bytes(tmp_path: Path) -> None:
    network = ResNet2D(depth=18, width=0.125)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    report = load_backbone_weights(network, tmp_path)
    assert report.file == tmp_path / "model.safetensors"
    content = (tmp_path / "model.safetensors").read_bytes()
    assert report.file_hash == hashlib.blake2b(content, digest_size=8).hexdigest()
    (tmp_path / "moved").mkdir()
    (tmp_path / "model.safetensors").rename(tmp_path / "moved" / "a.safetensors")
    assert load_backbone_weights(network, tmp_path / "moved" / "a.safetensors").file_hash == report.file_hash
    network.stem.conv.weight.data[0, 0, 0, 0] += 1
    save_file(network.state_dict(), tmp_path / "b.safetensors")
    assert load_backbone_weights(network, tmp_path / "b.safetensors").file_hash != report.file_hash
