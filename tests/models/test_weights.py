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

from tests.models.test_torchvision_names import resnet18, resnet50
from unreel.errors import WeightsError
from unreel.models.backbone import Backbone
from unreel.models.r3d_plus1 import R3DPlus1
from unreel.models.resnet2d import ResNet2D
from unreel.models.resnet3d import ResNet3D
from unreel.models.torchvision_names import map_to_torchvision, to_torchvision
from unreel.models.weights import explain_torch_error, load_backbone_weights, load_state_dict_file

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2])}


def randomized(backbone: Backbone) -> Backbone:
    """Fill every weight, statistic and counter, small enough that fifty layers of them stay finite."""
    with torch.no_grad():
        for value in backbone.state_dict().values():
            value.copy_(torch.rand(value.shape) * (0.1 if value.is_floating_point() else 10))
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


def test_torchs_many_lines_become_one_reason_and_the_name_of_the_code(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "network.pt")
    with pytest.raises(pickle.UnpicklingError) as caught:
        torch.load(tmp_path / "network.pt", weights_only=True)
    assert len(str(caught.value).splitlines()) > 3
    code = "torch.nn.modules.linear.Linear"
    reason = f"reading it would run code ({code}), which is refused"
    assert explain_torch_error(caught.value) == (reason, code)
    assert explain_torch_error(RuntimeError("no GLOBAL x. At all")) == ("no GLOBAL x", "")
    assert explain_torch_error(EOFError()) == ("EOFError", "")


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
    with pytest.raises(WeightsError, match=r"model.safetensors: no such file; weights are"):
        load_state_dict_file(tmp_path)
    (tmp_path / "encoder").mkdir()
    with pytest.raises(WeightsError, match=rf"no such file; did you mean {tmp_path}/encoder\?"):
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
    features = source.eval()(clips)
    assert features.isfinite().all()
    assert features.abs().max() > 0.01
    assert torch.equal(target.eval()(clips), features)


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


def constants(shapes: list[tuple[str, tuple[int, ...]]], prefix: str, first: float) -> dict[str, Tensor]:
    """Return full-size tensors that take one number each in a file: 0 + first, 1 + first, 2 + first, ..."""
    return {
        prefix + name: torch.tensor(place + first).expand(shape)
        for place, (name, shape) in enumerate(shapes)
        if "num_batches" not in name
    }


def assert_filled(network: ResNet2D, shapes: list[tuple[str, tuple[int, ...]]]) -> None:
    """Check that every weight is the constant of its name, as `constants` made it with ``first = 0``."""
    places = {name: float(place) for place, (name, _) in enumerate(shapes)}
    state = network.state_dict()
    for own, name in map_to_torchvision(network).items():
        if "num_batches" not in name:
            assert (state[own] == places[name]).all(), own


MOCO_HEADS = {
    "v1": {"fc.weight": (128, 2048), "fc.bias": (128,)},
    "v2": {
        "fc.0.weight": (2048, 2048),
        "fc.0.bias": (2048,),
        "fc.2.weight": (128, 2048),
        "fc.2.bias": (128,),
    },
}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("first", ["query", "key"])
def test_the_published_files_of_moco_fill_a_whole_resnet_50(tmp_path: Path, version: str, first: str) -> None:
    """Names and shapes as MoCo's own training code saves them, the two encoders in either order."""
    shapes = [*resnet50(), *MOCO_HEADS[version].items()]
    query = constants(shapes, "module.encoder_q.", 0.0)
    key = constants(shapes, "module.encoder_k.", 1000.0)
    queue = {
        "module.queue": torch.zeros(()).expand(128, 65536),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    encoders = query | key if first == "query" else key | query
    content = {"epoch": 200, "arch": "resnet50", "state_dict": queue | encoders, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / "moco.pth.tar")
    network = ResNet2D(depth=50)
    report = load_backbone_weights(network, tmp_path / "moco.pth.tar")
    assert_filled(network, resnet50())
    assert (report.share_loaded, report.missing, report.mismatched) == (1.0, (), ())
    assert report.ignored_heads == tuple(f"module.encoder_q.{name}" for name in MOCO_HEADS[version])
    assert set(report.outside) == set(key | queue)


def test_torchvisions_own_resnet_50_fills_ours(tmp_path: Path) -> None:
    shapes = [*resnet50(), ("fc.weight", (1000, 2048)), ("fc.bias", (1000,))]
    torch.save(constants(shapes, "", 0.0), tmp_path / "resnet50.pth")
    network = ResNet2D(depth=50)
    report = load_backbone_weights(network, tmp_path / "resnet50.pth")
    assert_filled(network, resnet50())
    assert (report.prefix, report.naming, report.share_loaded) == ("", "torchvision", 1.0)
    assert report.ignored_heads == ("fc.weight", "fc.bias")


@pytest.mark.parametrize(("file_depth", "depth"), [(18, 50), (50, 18)])
def test_a_resnet_of_another_depth_is_refused_and_changes_nothing(
    tmp_path: Path, file_depth: int, depth: int
) -> None:
    shapes = resnet18() if file_depth == 18 else resnet50()
    torch.save({"state_dict": constants(shapes, "module.", 0.0)}, tmp_path / "other.pth")
    network = ResNet2D(depth=depth)
    before = snapshot(network)
    with pytest.raises(
        WeightsError, match=r"other.pth: only \d+% of the weights of ResNet2D fit; .*the architecture, depth"
    ):
        load_backbone_weights(network, tmp_path / "other.pth")
    assert_same(network.state_dict(), before)


def test_a_checkpoint_that_carries_code_beside_good_weights_is_refused(tmp_path: Path) -> None:
    source, target = ResNet2D(depth=18, width=0.125), ResNet2D(depth=18, width=0.125)
    before = snapshot(target)
    torch.save({"state_dict": to_torchvision(source), "args": Innocent()}, tmp_path / "coded.pth.tar")
    with pytest.raises(WeightsError, match=r"coded.pth.tar: reading it would run code \(.*Innocent"):
        load_backbone_weights(target, tmp_path / "coded.pth.tar")
    assert_same(target.state_dict(), before)
