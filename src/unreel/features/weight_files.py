"""A network as two files: weights in safetensors, everything else in JSON.

Encoders, classifiers and what else is built on them differ in their settings and in what they are called; how
they are written, read, hashed and refused is the same.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.errors import WeightsError
from unreel.runs import atomic_path, collect_provenance, read_json, write_json

FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"

NOT_BUILDABLE = (ValueError, TypeError, OverflowError, RuntimeError, MemoryError)
"""What building a network raises when a foreign file names sizes that make no sense."""

ConfigT = TypeVar("ConfigT")
NetworkT = TypeVar("NetworkT")


@dataclass(frozen=True)
class WeightFiles(Generic[ConfigT]):
    """What the two files hold.

    Attributes:
        config: how the network is built and what it is fed.
        state: the weights, by the network's own names.
        provenance: where the weights come from.
        hash: as it was when the files were written.
    """

    config: ConfigT
    state: dict[str, Tensor]
    provenance: dict[str, Any]
    hash: str


def hash_weights(state: Mapping[str, Tensor], config: object) -> str:
    """Return 16 hexadecimal digits that change with any weight or any setting."""
    digest = hashlib.blake2b(hash_config(config).encode(), digest_size=8)
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class FileKind(Generic[ConfigT]):
    """One kind of network in files.

    Attributes:
        name: what it is called, such as ``encoder``; also of the folder in a run, and of the JSON file.
        article: "a" or "an".
        template: settings with which those of a file are completed.
    """

    name: str
    article: str
    template: ConfigT

    @property
    def description_file(self) -> str:
        """Name of the JSON file."""
        return f"{self.name}.json"

    def write(
        self, folder: Path, state: Mapping[str, Tensor], config: ConfigT, provenance: Mapping[str, Any]
    ) -> None:
        """Write both files, each in one step.

        A process killed between the two leaves a pair that `read` and `check_fit` refuse, never one that
        gives wrong results.
        """
        weights = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        with atomic_path(folder / WEIGHTS_FILE) as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
        versions = collect_provenance()
        description = {
            "format": f"unreel-{self.name}",
            "format_version": FORMAT_VERSION,
            "hash": hash_weights(weights, config),
            **config_to_dict(config),
            "provenance": {**provenance, "unreel": versions["unreel"], "packages": versions["packages"]},
        }
        write_json(folder / self.description_file, description)

    def read(self, folder: Path) -> WeightFiles[ConfigT]:
        """Read both files; no code from them is run.

        Raises:
            WeightsError: a file is missing, damaged or of an unknown kind.
        """
        description = self._read_description(folder)
        names = [field.name for field in fields(self.template)]  # type: ignore[arg-type]
        try:
            config = config_from_dict(self.template, {name: description[name] for name in names})
            expected_hash = str(description["hash"])
            provenance = dict(description["provenance"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{folder / self.description_file} describes no {self.name} that this version knows: "
                f"{error}; update unreel, or export the {self.name} again"
            ) from error
        try:
            state = load_file(folder / WEIGHTS_FILE)
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{folder / WEIGHTS_FILE} cannot be read: {error}; copy or export the {self.name} again"
            ) from error
        return WeightFiles(config, state, provenance, expected_hash)

    def build(
        self,
        make: Callable[[ConfigT], NetworkT],
        read_state: Callable[[NetworkT], Mapping[str, Tensor]],
        files: WeightFiles[ConfigT],
        folder: Path,
    ) -> NetworkT:
        """Build the network that the files describe; its weights are still to be set.

        Before any memory is taken for it, its names and shapes are compared with the weights, so that a
        foreign description of a network of terabytes is refused at once.

        Args:
            make: builds it, on the device that torch builds on.
            read_state: returns its weights by their names.
            files: what `read` returned.
            folder: where they lie, for messages.

        Raises:
            WeightsError: there is no such network, or the weights do not fit it; see `check_fit`.
        """
        try:
            with torch.device("meta"):
                outline = read_state(make(files.config))
            self.check_fit(outline, files, folder)
            return make(files.config)
        except NOT_BUILDABLE as error:
            raise WeightsError(f"{folder} describes a network that cannot be built: {error}") from error

    def check_fit(self, network: Mapping[str, Tensor], files: WeightFiles[ConfigT], folder: Path) -> None:
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
                f"{folder / WEIGHTS_FILE} does not fit the network of {self.description_file}: "
                f"{'; '.join(sorted(problems)[:3])}{more}; copy or export both files again"
            )
        actual = hash_weights(found, files.config)
        if actual != files.hash:
            raise WeightsError(
                f"{folder}: {WEIGHTS_FILE} and {self.description_file} do not belong together or are damaged "
                f"(hash {actual}, expected {files.hash}); copy or export both again"
            )

    def _read_description(self, folder: Path) -> dict[str, Any]:
        path = folder / self.description_file
        try:
            description = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            inner = folder / self.name
            hint = f"; did you mean {inner}?" if (inner / self.description_file).exists() else ""
            raise WeightsError(
                f"{folder} holds no {self.name} (no {self.description_file}); give the folder `{self.name}` "
                f"of a run{hint}"
            ) from None
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{path} cannot be read: {error}; copy or export the {self.name} again"
            ) from error
        if not isinstance(description, dict) or description.get("format") != f"unreel-{self.name}":
            raise WeightsError(
                f"{path} does not describe {self.article} {self.name}; give the folder `{self.name}` of a run"
            )
        if description.get("format_version") != FORMAT_VERSION:
            raise WeightsError(
                f"{path} has format version {description.get('format_version')!r} and this version of unreel "
                f"reads {FORMAT_VERSION}; update unreel, or export the {self.name} again"
            )
        return description
