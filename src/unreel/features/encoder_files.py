"""The two files of an encoder: weights in safetensors, everything else in JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from unreel.features.input_spec import InputSpec
from unreel.features.weight_files import FileKind, WeightFiles, hash_weights
from unreel.models.c3d import C3DConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig


@dataclass(frozen=True)
class EncoderConfig:
    """Everything about an encoder but its weights.

    Raises:
        ValueError: the network mixes neighbouring frames and would be fed single ones.
    """

    backbone: BackboneConfig = field(default_factory=C3DConfig)
    """The network."""
    input: InputSpec = field(default_factory=InputSpec)
    """What it must be fed."""

    def __post_init__(self) -> None:
        check_shifted_input(self.backbone, self.input)


def check_shifted_input(backbone: BackboneConfig, spec: InputSpec) -> None:
    """Refuse single frames for a network that looks at neighbours.

    Raises:
        ValueError: the network has a temporal shift and the clips have one frame.
    """
    if isinstance(backbone, ResNetConfig) and backbone.temporal_shift and spec.num_frames == 1:
        raise ValueError(
            "a backbone with temporal_shift needs clips of several frames, and input.num_frames is 1; feed "
            "it clips, or set backbone.temporal_shift to False"
        )


EncoderFiles = WeightFiles[EncoderConfig]
"""What the two files hold."""

ENCODER_KIND = FileKind("encoder", "an", EncoderConfig())


def hash_encoder(state: Mapping[str, Tensor], config: EncoderConfig) -> str:
    """Return 16 hexadecimal digits that change with any weight or any setting."""
    return hash_weights(state, config)


def write_encoder(
    folder: Path, state: Mapping[str, Tensor], config: EncoderConfig, provenance: Mapping[str, Any]
) -> None:
    """Write both files, each in one step, so that a killed process leaves none that gives wrong features."""
    ENCODER_KIND.write(folder, state, config, provenance)


def read_encoder(folder: Path) -> EncoderFiles:
    """Read both files; no code from them is run.

    Raises:
        WeightsError: a file is missing, damaged or of an unknown kind.
    """
    return ENCODER_KIND.read(folder)
