import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unreel.errors import TrainingError
from unreel.train.checkpoint import (
    LoadedWeights,
    count_steps,
    list_checkpoints,
    load_checkpoint,
    load_method_weights,
    save_checkpoint,
)

CPU = torch.device("cpu")


def build(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)


def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    network(torch.arange(15.0).view(5, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_restored_state_goes_on_to_the_bit(tmp_path: Path) -> None:
    network, optimizer = build()
    step(network, optimizer)
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=2)
    twin, twin_optimizer = build(seed=1)
    done = load_checkpoint(path, method=twin, optimizer=twin_optimizer, identity="a", device=CPU)
    assert done == 1
    step(network, optimizer)
    step(twin, twin_optimizer)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), twin.state_dict().values(), strict=True)
    )


def test_only_the_newest_are_kept_and_listed_in_order(tmp_path: Path) -> None:
    network, optimizer = build()
    (tmp_path / "step-notes.pt").write_text("a stranger")
    for number in (5, 10, 100, 20):
        save_checkpoint(tmp_path, step=number, method=network, optimizer=optimizer, identity="", keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000020.pt", "step-00000100.pt"]
    assert (tmp_path / "step-notes.pt").exists()


def test_the_name_of_a_checkpoint_tells_its_steps(tmp_path: Path) -> None:
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=120, method=network, optimizer=optimizer, identity="", keep=1)
    assert count_steps(path) == load_method_weights(path, network).step == 120


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_another_recipe_or_other_videos_are_refused(tmp_path: Path) -> None:
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    with pytest.raises(TrainingError, match=r"written with other settings, other videos .* another folder"):
        load_checkpoint(path, method=network, optimizer=optimizer, identity="b", device=CPU)


def test_a_damaged_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TrainingError, match=r"is damaged .* delete it, and the run resumes"):
        load_checkpoint(path, method=network, optimizer=optimizer, identity="a", device=CPU)


def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimizer = build()
    (tmp_path / ".step-00000001.pt.abc.tmp").write_text("left by a killed run")

    def fill_disk(content: object, path: Path) -> None:
        Path(path).write_text("half")
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", fill_disk)
    with pytest.raises(TrainingError, match=r"cannot be written .* make room, then go on with `--resume"):
        save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    assert list(tmp_path.iterdir()) == []


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code from the file was run",))


def test_a_file_with_code_in_it_runs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, optimizer = build()
    path = tmp_path / "step-00000001.pt"
    torch.save({"format": 1, "step": _Code()}, path)
    with pytest.raises(
        TrainingError, match=r"would run code \(.*print\), which is refused; no run"
    ) as caught:
        load_checkpoint(path, method=network, optimizer=optimizer, identity="a", device=CPU)
    assert "code from the file" not in capsys.readouterr().out
    # torch's own text runs over eight lines and recommends to read the file with its code.
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    network, _ = build()
    (tmp_path / "step-00000001.pt").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"is damaged \(File is not a zip file\); delete it"):
        load_method_weights(tmp_path / "step-00000001.pt", network)


def weights_offset(path: Path) -> int:
    """Return where the bytes of the first tensor begin; a local header has 30 bytes, a name and more."""
    with zipfile.ZipFile(path) as archive:
        entry = next(item for item in archive.infolist() if item.filename.endswith("data/0"))
    header = path.read_bytes()[entry.header_offset :][:30]
    return entry.header_offset + 30 + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))


def test_a_single_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """In the exponent of a weight: torch alone would load it as another number."""
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    content = bytearray(path.read_bytes())
    content[weights_offset(path) + 3] ^= 1
    path.write_bytes(content)
    loaded = torch.load(path, weights_only=True)["method"]["0.weight"]
    assert not torch.equal(loaded, network.state_dict()["0.weight"])
    for load in (
        lambda: load_method_weights(path, network),
        lambda: load_checkpoint(path, method=network, optimizer=optimizer, identity="a", device=CPU),
    ):
        with pytest.raises(TrainingError, match=r"is damaged \(the checksum of .*data/0 does not agree\)"):
            load()


@pytest.mark.parametrize("error", [IndexError("pop from empty list"), KeyError("x"), TypeError("y")])
def test_whatever_torch_raises_becomes_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(TrainingError, match=rf"is damaged \({re.escape(str(error))}\)"):
        load_method_weights(path, network)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": None}, "method"),
        ({"method": [1, 2]}, "method"),
        ({"step": None}, "step"),
        ({"step": "seven", "identity": 3}, "step and identity"),
        ({"optimizer": None}, "optimizer"),
    ],
)
def test_what_is_missing_or_of_another_kind_is_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """None stands for an entry that is not there at all."""
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    content = torch.load(path, weights_only=True) | change
    torch.save({name: value for name, value in content.items() if value is not None}, path)
    for load in (
        lambda: load_method_weights(path, network),
        lambda: load_checkpoint(path, method=network, optimizer=optimizer, identity="a", device=CPU),
    ):
        with pytest.raises(
            TrainingError, match=rf"without a sound {words}\); delete it, and the run resumes"
        ):
            load()


def test_states_that_do_not_fit_are_refused_whatever_is_in_them(tmp_path: Path) -> None:
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    whole = torch.load(path, weights_only=True)
    for name, state in (("method", {3: torch.ones(2)}), ("optimizer", {"state": {}}), ("method", {})):
        torch.save(whole | {name: state}, path)
        with pytest.raises(TrainingError, match=r"(?s)does not fit the network .* restore recipe.json"):
            load_checkpoint(path, method=network, optimizer=optimizer, identity="a", device=CPU)


def test_a_file_that_is_gone_or_no_file_is_not_called_damaged(tmp_path: Path) -> None:
    network, _ = build()
    with pytest.raises(TrainingError, match=r"is gone: a run that goes on replaces its checkpoints"):
        load_method_weights(tmp_path / "step-00000001.pt", network)
    with pytest.raises(TrainingError, match=r"cannot be read \(.*Is a directory"):
        load_method_weights(tmp_path, network)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    network, optimizer = build()
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    with pytest.raises(TrainingError, match="no checkpoint of this version"):
        load_checkpoint(tmp_path / "other.pt", method=network, optimizer=optimizer, identity="a", device=CPU)


def test_the_weights_alone_need_neither_the_optimiser_nor_the_identity(tmp_path: Path) -> None:
    network, optimizer = build()
    step(network, optimizer)
    path = save_checkpoint(tmp_path, step=7, method=network, optimizer=optimizer, identity="a", keep=1)
    twin, _ = build(seed=1)
    loaded = load_method_weights(path, twin)
    assert loaded.step == 7
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), twin.state_dict().values(), strict=True)
    )


def test_weights_of_another_network_are_refused_with_the_remedy(tmp_path: Path) -> None:
    network, optimizer = build()
    path = save_checkpoint(tmp_path, step=1, method=network, optimizer=optimizer, identity="a", keep=1)
    with pytest.raises(TrainingError, match=r"(?s)does not fit the network .* restore recipe.json"):
        load_method_weights(path, nn.Linear(3, 5))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TrainingError, match=r"is damaged"):
        load_method_weights(path, network)
    torch.save({"format": 0, "method": network.state_dict()}, path)
    with pytest.raises(TrainingError, match=r"no checkpoint of this version of unreel \(format 1\)"):
        load_method_weights(path, network)


def test_weights_are_named_by_a_hash_that_any_of_them_changes(tmp_path: Path) -> None:
    network, optimizer = build()

    def save_and_load(step: int) -> LoadedWeights:
        path = save_checkpoint(tmp_path, step=step, method=network, optimizer=optimizer, identity="", keep=1)
        return load_method_weights(path, build(seed=1)[0])

    first = save_and_load(1)
    assert re.fullmatch("[0-9a-f]{16}", first.hash)
    assert save_and_load(2) == LoadedWeights(2, first.hash)
    hashes = {first.hash}
    for name in ("0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked"):
        network.state_dict()[name].view(-1)[0] += 1
        hashes.add(save_and_load(3).hash)
    assert len(hashes) == 5
