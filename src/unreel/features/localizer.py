"""A network that finds segments, together with the vectors that it understands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.errors import FeaturesError
from unreel.features.classifier import find_part
from unreel.features.grid_clips import GridSampling
from unreel.features.table_info import FeatureInfo
from unreel.features.weight_files import FileKind, hash_weights
from unreel.models.bmn import BMN, BMNConfig, BoundaryScores

# B videos, D features, T positions


@dataclass(frozen=True)
class LocalizerConfig:
    """Everything about a localiser but its weights."""

    network: BMNConfig = field(default_factory=BMNConfig)
    """Sizes of the network."""
    encoder_hash: str = ""
    """Of the encoder or classifier whose vectors it learned from."""
    encoder: str = ""
    """Its name, for messages."""
    every_frames: int = 16
    """Distance between two vectors, in frames of the video."""


LOCALIZER_KIND = FileKind("localizer", "a", LocalizerConfig())


class Localizer:
    """A boundary-matching network and the vectors that it takes.

    Attributes:
        network: shared with the caller, not copied.
        config: how it is built, and from which vectors it learned.
        provenance: where the weights come from.
        name: what messages and tables call it, such as ``bmn/localizer``.
        device: where `score` computes.
    """

    def __init__(
        self,
        network: BMN,
        config: LocalizerConfig,
        *,
        provenance: Mapping[str, Any] | None = None,
        name: str = "unnamed localizer",
    ) -> None:
        self.network = network
        self.config = config
        self.provenance = dict(provenance or {})
        self.name = name
        self.device = torch.device("cpu")

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any weight or any setting."""
        return hash_weights(self.network.state_dict(), self.config)

    @property
    def grid(self) -> GridSampling:
        """Where the clips of its vectors lie."""
        return GridSampling(self.config.every_frames)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a localiser that `save` wrote; no code from the files is run.

        Args:
            folder: the one that was written, or that of a run which has it as ``localizer``.

        Raises:
            WeightsError: the folder holds no localiser, a file is damaged or of an unknown kind, or the
                weights do not fit the described network.
        """
        folder = find_part(Path(folder), LOCALIZER_KIND.name, LOCALIZER_KIND.description_file)
        files = LOCALIZER_KIND.read(folder)
        with torch.random.fork_rng(devices=[]):
            network = LOCALIZER_KIND.build(_build_network, BMN.state_dict, files, folder)
        network.load_state_dict(files.state)
        name = "/".join(folder.resolve().parts[-2:])
        return cls(network.eval(), files.config, provenance=files.provenance, name=name)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``, the weights as they are now, and ``localizer.json``, all the rest."""
        LOCALIZER_KIND.write(Path(folder), self.network.state_dict(), self.config, self.provenance)

    def to(self, device: torch.device | str) -> Self:
        """Choose where `score` computes; moves the network."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self

    def check_features(self, info: FeatureInfo) -> None:
        """Refuse vectors of another encoder, or at other moments, than those that it learned from.

        Raises:
            FeaturesError: they are.
        """
        if info.encoder_hash != self.config.encoder_hash:
            raise FeaturesError(
                f"{self.name} learned from vectors of {self.config.encoder} ({self.config.encoder_hash}), "
                f"and these are of {info.encoder} ({info.encoder_hash}); extract them with the former"
            )
        if GridSampling.from_name(info.sampling) != self.grid:
            raise FeaturesError(
                f"{self.name} learned from vectors of {self.grid.name}, and these are of {info.sampling}; "
                f"make them with `unreel localize features --every-frames {self.config.every_frames}`"
            )

    @torch.inference_mode()
    def score(self, features_BDT: Tensor | NDArray[Any]) -> BoundaryScores:
        """Judge every position and every stretch of some videos; the scores lie on the CPU.

        Args:
            features_BDT: float32, vectors at the positions of the grid.

        Raises:
            ValueError: the network is in training mode, or the features have another size.
        """
        if self.network.training:
            raise ValueError("the network is in training mode; call localizer.network.eval() first")
        features = torch.as_tensor(features_BDT).to(self.device)
        return BoundaryScores(*(part.cpu() for part in self.network(features)))


def _build_network(config: LocalizerConfig) -> BMN:
    return BMN(config.network)
