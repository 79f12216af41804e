"""The two files of an encoder: weights in safetensors, everything else in JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.errors import WeightsError
from unreel.features.input_spec import InputSpec
from unreel.models.c3d import C3DConfig
from unreel.models.zoo import BackboneConfig
from unreel.runs import atomic_path, collect_provenance, write_json

FORMAT = "unreel-encoder"
FORMAT_VERSION = 1
WEIGHTS_FILE, DESCRIPTION_FILE = "model.safetensors", "encoder.json"


@dataclass(frozen=True)
class EncoderConfig:
    """Everything about an encoder but its weights."""

    backbone: BackboneConfig = field(default_factory=C3DConfig)
    """The network."""
    input: InputSpec = field(default_factory=InputSpec)
    """What it must be fed."""


@dataclass(frozen=True)
class EncoderFiles:
    """What the two files hold.

    Attributes:
        config: how the network is built and what it is fed.
        state: the weights, by the backbone's own names.
        provenance: where the weights come from.
        hash: as it was when the files were written.
    """

    config: EncoderConfig
    state: dict[str, Tensor]
    provenance: dict[str, Any]
    hash: str


def hash_encoder(state: Mapping[str, Tensor], config: EncoderConfig) -> str:
    """Return 16 hexadecimal digits that change with any weight or any setting."""
    digest = hashlib.blake2b(hash_config(config).encode(), digest_size=8)
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_encoder(
    folder: Path, state: Mapping[str, Tensor], config: EncoderConfig, provenance: Mapping[str, Any]
) -> None:
    """Write both files, each in one step.

    A process killed between the two leaves a pair that `read_encoder` refuses, never one that gives wrong
    features.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    versions = collect_provenance()
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "hash": hash_encoder(weights, config),
        **config_to_dict(config),
        "provenance": {**provenance, "unreel": versions["unreel"], "packages": versions["packages"]},
    }
    write_json(folder / DESCRIPTION_FILE, description)


def read_encoder(folder: Path) -> EncoderFiles:
    """Read both files and check that they belong together; no code from them is run.

    Raises:
        WeightsError: a file is missing, damaged or of an unknown kind, or the two are not of one encoder.
    """
    description = _read_description(folder)
    try:
        config = config_from_dict(EncoderConfig(), {key: description[key] for key in ("backbone", "input")})
        expected_hash = str(description["hash"])
        provenance = dict(description["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{folder / DESCRIPTION_FILE} describes no encoder that this version knows: {error}; "
            "update unreel, or export the encoder again"
        ) from error
    try:
        state = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{folder / WEIGHTS_FILE} cannot be read: {error}; copy or export the encoder again"
        ) from error
    return EncoderFiles(config, state, provenance, expected_hash)


def check_fit(network: Mapping[str, Tensor], files: EncoderFiles, folder: Path) -> None:
    """Refuse weights that are not the network's, or not those that were written with the description.

    Raises:
        WeightsError: a name or a shape differs (the first few are named), or the hash does.
    """
    found = files.state
    problems = [f"{name} is missing" for name in network.keys() - found.keys()]
    problems += [f"{name} is not part of the network" for name in found.keys() - network.keys()]
    problems += [
        f"{name} has shape {tuple(found[name].shape)} instead of {tuple(network[name].shape)}"
        for name in network.keys() & found.keys()
        if found[name].shape != network[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(
            f"{folder / WEIGHTS_FILE} does not fit the network of {DESCRIPTION_FILE}: "
            f"{'; '.join(sorted(problems)[:3])}{more}; copy or export both files again"
        )
    actual = hash_encoder(found, files.config)
    if actual != files.hash:
        raise WeightsError(
            f"{folder}: {WEIGHTS_FILE} and {DESCRIPTION_FILE} do not belong together or are damaged "
            f"(hash {actual}, expected {files.hash}); copy or export both again"
        )


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        inner = folder / "encoder"
        hint = f"; did you mean {inner}?" if (inner / DESCRIPTION_FILE).exists() else ""
        raise WeightsError(
            f"{folder} holds no encoder (no {DESCRIPTION_FILE}); give the folder `encoder` of a run{hint}"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}; copy or export the encoder again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise WeightsError(f"{path} does not describe an encoder; give the folder `encoder` of a run")
    if description.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format version {description.get('format_version')!r} and this version of unreel "
            f"reads {FORMAT_VERSION}; update unreel, or export the encoder again"
        )
    return description
