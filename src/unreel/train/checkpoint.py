"""Everything that is needed to go on as if nothing had happened."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unreel.errors import TrainingError
from unreel.runs import atomic_path

_FORMAT = 1
_NAME = re.compile(r"step-(\d{8})\.pt")


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
            f"{path} cannot be written ({error}); make room, then `unreel pretrain --resume {folder.parent}`"
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
            f"{path} was written with other settings or other videos than recipe.json and the catalog hold "
            "now; restore them, or start a new run in another folder"
        )
    method.load_state_dict(content["method"])
    optimizer.load_state_dict(content["optimizer"])
    return int(content["step"])


def load_method_weights(path: Path, method: nn.Module) -> int:
    """Restore the method alone, to measure it, and return the number of steps done. No code is run.

    Args:
        path: the checkpoint.
        method: built from the recipe of the run, on the CPU.

    Raises:
        TrainingError: the file is damaged, of another format, or of another network.
    """
    content = _read_content(path, torch.device("cpu"))
    try:
        method.load_state_dict(content["method"])
    except RuntimeError as error:
        raise TrainingError(
            f"{path} does not fit the network that recipe.json describes ({error}); restore recipe.json, and "
            "use the version of unreel, and of a recipe of your own, that the run was trained with"
        ) from error
    return int(content["step"])


def _read_content(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path} is damaged ({error}); delete it, and the run resumes from the checkpoint before it"
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TrainingError(f"{path} is no checkpoint of this version of unreel (format {_FORMAT})")
    return content
