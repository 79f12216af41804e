"""Weights from files: our own, torchvision's, and those of other training code.

A file is read without running any code from it; whatever does not fit the backbone is named.
"""

import dataclasses
import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unreel.errors import WeightsError
from unreel.models.backbone import Backbone
from unreel.models.weight_matching import LoadReport, join_names, match_weights
from unreel.runs import read_json

Color = tuple[float, float, float]
"""A number for red, green and blue."""

_DESCRIPTION_FILE = "encoder.json"
_CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "method",
    "encoder",
    "backbone",
    "network",
    "net",
)


def load_state_dict_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file into memory, on the CPU, by the names they have in the file.

    Usual containers around a state dictionary (``state_dict``, ``model``, ...) are opened; prefixes are kept.

    Args:
        path: a ``.safetensors`` file, a file of ``torch.save``, or a folder with ``model.safetensors``.

    Raises:
        WeightsError: there is no such file, it is damaged, holds no tensors, or would run code when read.
    """
    path = _find_file(path)
    if not path.is_file():
        inner = path.parent / "encoder"
        hint = f"did you mean {inner}?" if inner.is_dir() else "weights are a .safetensors or a PyTorch file"
        raise WeightsError(f"{path}: no such file; {hint}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = _open_containers(content)
    if not state:
        keys = f" with {join_names(content) or 'nothing in it'}" if isinstance(content, Mapping) else ""
        held = f"a {type(content).__name__}{keys}"
        raise WeightsError(f"{path}: holds no weights but {held}; save a state dictionary of tensors")
    return state


def _find_file(path: Path) -> Path:
    path = Path(path)
    return path / "model.safetensors" if path.is_dir() else path


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual formats, which either load or are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        reason, code = explain_torch_error(error)
        if code:
            raise WeightsError(
                f"{path}: {reason}; where you trust the file, read it with torch.load(..., "
                "weights_only=False) and save its state dictionary alone"
            ) from error
        raise WeightsError(
            f"{path}: not a whole PyTorch weights file ({reason}); copy it again, or save a state "
            "dictionary with torch.save"
        ) from error


def explain_torch_error(error: Exception) -> tuple[str, str]:
    """Say in one line why ``torch.load(..., weights_only=True)`` failed.

    torch's own text runs over many lines and advises to read the file with the code in it, whatever is wrong.

    Returns:
        The reason, and the name of the code that reading would have run: empty where the file is only
        damaged, or is no file of torch.
    """
    text = str(error)
    wanted = re.search(r"(?:GLOBAL|class) ([\w.]+)", text)
    if isinstance(error, pickle.UnpicklingError) and wanted:
        return f"reading it would run code ({wanted[1]}), which is refused", wanted[1]
    own_words = text.rpartition("WeightsUnpickler error:")[2].strip()
    return re.split(r"\. |\n", own_words)[0] or type(error).__name__, ""


def _open_containers(content: object) -> dict[str, Tensor]:
    """Return the tensors of the innermost container; empty when there are none."""
    if not isinstance(content, Mapping):
        return {}
    for name in _CONTAINERS:
        if state := _open_containers(content.get(name)):
            return state
    return {str(key): value.detach() for key, value in content.items() if isinstance(value, Tensor)}


def load_backbone_weights(backbone: Backbone, path: Path, *, min_share: float = 0.5) -> LoadReport:
    """Copy the weights of a file into a backbone, in place, and tell what fitted.

    The names may be ours or torchvision's, behind any prefix, so that checkpoints of MoCo and of other
    training code load as they are. A 2D ResNet-18 fills R3D-18+1 up to res5 (decision L16).

    Args:
        backbone: the network.
        path: a weights file, or the folder of an encoder.
        min_share: share of the weights that must fit: half is a start for a network that learns, one that
            never learns needs all (1).

    Raises:
        WeightsError: the file cannot be read, less than ``min_share`` of the weights fit, or more than a
            tenth have another shape in the file; the backbone is then unchanged.
    """
    state = load_state_dict_file(path)
    fitting, report = match_weights(backbone, state)
    # More than half of a ResNet-18 would find its name and shape in a ResNet-50, and be worth nothing there.
    if report.share_loaded < min_share or len(report.mismatched) > 0.1 * len(report.loaded):
        raise WeightsError(f"{path}: {_explain(backbone, report, state)}")
    backbone.load_state_dict(fitting, strict=False)
    file = _find_file(path)
    return dataclasses.replace(report, file=file, file_hash=_hash_file(file))


def read_normalization(path: Path) -> tuple[Color, Color] | None:
    """Return what a network's pixels are normalised with, where an encoder's description says so.

    Args:
        path: the folder of an encoder; of anything else nothing is known.

    Returns:
        Mean and standard deviation of red, green and blue, pixels being in [0, 1].

    Raises:
        WeightsError: the description is damaged.
    """
    description = Path(path) / _DESCRIPTION_FILE
    if not description.is_file():
        return None
    try:
        content = read_json(description)["input"]
        mean, std = (tuple(float(value) for value in content[name]) for name in ("mean", "std"))
        (red, green, blue), (red_std, green_std, blue_std) = mean, std
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{description} describes no encoder ({error}); export it again") from error
    return (red, green, blue), (red_std, green_std, blue_std)


def _explain(backbone: Backbone, report: LoadReport, state: Mapping[str, Tensor]) -> str:
    reasons = [f"only {report.share_loaded:.0%} of the weights of {type(backbone).__name__} fit"]
    if report.missing:
        reasons.append(f"not in the file: {join_names(report.missing)}")
    if report.mismatched:
        reasons.append(f"of another shape: {join_names(report.mismatched, limit=2)}")
    return (
        f"{'; '.join(reasons)}. The file has {join_names(state)}. "
        "Choose the architecture, depth and width that the file was trained with"
    )
