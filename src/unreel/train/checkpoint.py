"""Everything that is needed to go on as if nothing had happened."""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unreel.errors import TrainingError
from unreel.models.weights import explain_torch_error
from unreel.runs import atomic_path

_FORMAT = 1
_NAME = re.compile(r"step-(\d{8})\.pt")
_ENTRIES: dict[str, type] = {"step": int, "identity": str, "method": Mapping, "optimizer": Mapping}


@dataclass(frozen=True)
class LoadedWeights:
    """Which weights a method has.

    Attributes:
        step: optimiser steps done.
        hash: 16 hexadecimal digits that change with any of the weights.
    """

    step: int
    hash: str


def save_checkpoint(
    folder: Path, *, step: int, method: nn.Module, optimizer: torch.optim.Optimizer, identity: str, keep: int
) -> Path:
    """Write the state after ``step`` optimiser steps, then remove all but the newest ``keep`` files.

    Random numbers need no state: every draw is a function of the seed and the step.

    Args:
        folder: ``checkpoints/`` of the run.
        step: optimiser steps done.
        method: its parameters and buffers, queue and momentum encoder included, are saved.
        optimizer: its state is saved.
        identity: of recipe and catalog; a resumed run must have the same.
        keep: files that stay.

    Raises:
        TrainingError: the file cannot be written, most often for want of space.
    """
    path = folder / f"step-{step:08d}.pt"
    content = {
        "format": _FORMAT,
        "step": step,
        "identity": identity,
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    for left_by_a_killed_run in folder.glob(".step-*.tmp"):
        left_by_a_killed_run.unlink()
    try:
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"{path} cannot be written ({error}); make room, then go on with `--resume {folder.parent}`"
        ) from error
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, the newest last."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def count_steps(path: Path) -> int:
    """Return how many steps were done before a checkpoint, by its name."""
    return int(path.stem.removeprefix("step-"))


def load_checkpoint(
    path: Path, *, method: nn.Module, optimizer: torch.optim.Optimizer, identity: str, device: torch.device
) -> int:
    """Restore method and optimiser and return the number of steps done. No code of the file is run.

    Raises:
        TrainingError: the file is damaged, of another format, or of a run with other settings or videos.
    """
    content = _read_content(path, device)
    if content["identity"] != identity:
        raise TrainingError(
            f"{path} was written with other settings, other videos or other motion than recipe.json, the "
            "catalog and its table of motion hold now; restore them, or start a new run in another folder"
        )
    _fill(path, method, content["method"])
    _fill(path, optimizer, content["optimizer"])
    return int(content["step"])


def load_method_weights(path: Path, method: nn.Module) -> LoadedWeights:
    """Restore the method alone, to measure it, and tell which weights it has now. No code is run.

    Args:
        path: the checkpoint.
        method: built from the recipe of the run, on the CPU.

    Raises:
        TrainingError: the file is damaged, of another format, or of another network.
    """
    content = _read_content(path, torch.device("cpu"))
    _fill(path, method, content["method"])
    return LoadedWeights(int(content["step"]), _hash_state(method))


def _read_content(path: Path, device: torch.device) -> dict[str, Any]:
    remedy = "delete it, and the run resumes from the checkpoint before it"
    try:
        # torch does not look at the checksums that it writes: a flipped bit would load as a wrong weight.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} does not agree")
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(
            f"{path} is gone: a run that goes on replaces its checkpoints; try again"
        ) from error
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error}); check its permissions and the disk") from error
    except Exception as error:  # a damaged file may raise anything
        reason, code = explain_torch_error(error)
        if code:
            raise TrainingError(f"{path}: {reason}; no run has written this, so {remedy}") from error
        raise TrainingError(f"{path} is damaged ({reason}); {remedy}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TrainingError(f"{path} is no checkpoint of this version of unreel (format {_FORMAT})")
    wrong = [name for name, kind in _ENTRIES.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise TrainingError(f"{path} is damaged (without a sound {' and '.join(wrong)}); {remedy}")
    return content


def _fill(path: Path, target: nn.Module | torch.optim.Optimizer, state: dict[str, Any]) -> None:
    try:
        target.load_state_dict(state)
    except Exception as error:  # what does not fit may raise anything
        reason = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
        raise TrainingError(
            f"{path} does not fit the network that recipe.json describes ({reason}); restore recipe.json, "
            "and use the version of unreel, and of a recipe of your own, that the run was trained with"
        ) from error


def _hash_state(method: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(method.state_dict().items()):
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
