"""A backbone together with what it must be fed: the portable result of training."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.views import center_crop
from unreel.features.encoder_files import (
    ENCODER_KIND,
    EncoderConfig,
    hash_encoder,
    read_encoder,
    write_encoder,
)
from unreel.features.input_spec import InputSpec
from unreel.features.pooling import Pooling, check_poolings, pool_features
from unreel.models.backbone import Backbone
from unreel.models.zoo import build_backbone

# B clips, R rows per clip, C channels, T frames, H W pixels, D features

Precision = Literal["float32", "bfloat16"]
"""Arithmetic of the network; features are float32 either way."""


class Encoder:
    """A backbone and its input specification.

    Attributes:
        backbone: the network; shared with the caller, not copied.
        config: how the network is built and what it is fed.
        provenance: where the weights come from: method, recipe, step, versions.
        name: what messages and tables call it, such as ``ccl/encoder``.
        device: where `embed_clips` computes.
        precision: arithmetic of `embed_clips`.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: EncoderConfig,
        *,
        provenance: Mapping[str, Any] | None = None,
        name: str = "unnamed encoder",
    ) -> None:
        self.backbone = backbone
        self.config = config
        self.provenance = dict(provenance or {})
        self.name = name
        self.device = torch.device("cpu")
        self.precision: Precision = "float32"

    @property
    def spec(self) -> InputSpec:
        """What the backbone must be fed."""
        return self.config.input

    @property
    def num_features(self) -> int:
        """D, length of a vector of pooling "average" or "frame"."""
        return self.backbone.num_features

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any weight or any setting; taken when first asked for."""
        return hash_encoder(self.backbone.state_dict(), self.config)

    @classmethod
    def untrained(cls, config: EncoderConfig, *, seed: int = 0) -> Self:
        """Build an encoder with fresh weights, the yardstick of a trained one.

        torch's global generator is left as it was.

        Args:
            config: such as the ``config`` of the trained encoder.
            seed: of the weights.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone = build_backbone(config.backbone)
        return cls(backbone.eval(), config, provenance={"method": "none"}, name=f"untrained, seed {seed}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read an encoder that `save` wrote; no code from the files is run.

        Raises:
            WeightsError: the folder holds no encoder, a file is damaged or of an unknown kind, or the
                weights do not fit the described network.
        """
        folder = Path(folder)
        files = read_encoder(folder)
        backbone = ENCODER_KIND.build(_build_backbone, Backbone.state_dict, files, folder)
        backbone.load_state_dict(files.state)
        name = "/".join(folder.resolve().parts[-2:])
        return cls(backbone.eval(), files.config, provenance=files.provenance, name=name)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``, the weights as they are now, and ``encoder.json``, all the rest."""
        write_encoder(Path(folder), self.backbone.state_dict(), self.config, self.provenance)

    def to(self, device: torch.device | str, *, precision: Precision = "float32") -> Self:
        """Choose where and how `embed_clips` computes; moves the backbone."""
        self.device = torch.device(device)
        self.precision = precision
        self.backbone.to(self.device)
        return self

    @torch.inference_mode()
    def embed_clips(
        self, frames_BTHWC: Tensor | Sequence[Tensor], poolings: Sequence[Pooling] = ("average",)
    ) -> dict[Pooling, NDArray[np.float32]]:
        """Turn decoded clips into vectors: centre crop, normalise, one pass of the backbone.

        Args:
            frames_BTHWC: uint8 RGB at the specification's decoded size; several tensors where sizes differ.
            poolings: forms of the features; all come from the same pass.

        Returns:
            One array of shape (B, R, D) per pooling, the clips of all tensors in order; R and D are those
            of `pool_features`.

        Raises:
            ValueError: the backbone is in training mode, in which a clip's features depend on its
                neighbours, or a pooling is unknown or does not suit the network.
        """
        check_poolings(poolings)
        if self.backbone.training:
            raise ValueError(
                "the backbone is in training mode; call encoder.backbone.eval() before embedding"
            )
        parts = [frames_BTHWC] if isinstance(frames_BTHWC, Tensor) else frames_BTHWC
        clips_BCTHW = torch.cat([self._prepare(part) for part in parts])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features = pool_features(self.backbone, clips_BCTHW, poolings)
        return {pooling: rows_BRD.float().cpu().numpy() for pooling, rows_BRD in features.items()}

    def _prepare(self, frames_BTHWC: Tensor) -> Tensor:
        frames = frames_BTHWC.to(self.device, non_blocking=True)
        return center_crop(frames, self.spec.crop_px, mean=self.spec.mean, std=self.spec.std)


def _build_backbone(config: EncoderConfig) -> Backbone:
    return build_backbone(config.backbone)


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device; "auto" takes a GPU when there is one.

    Raises:
        ValueError: the name means nothing to torch, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used ({reason}); `unreel doctor` lists them") from error
    return device
