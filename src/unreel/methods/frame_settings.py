"""What methods that contrast single frames of videos share in their settings: VCLR, SeCo, VINCE."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.losses.contrastive import check_temperature
from unreel.methods.method import MethodConfig
from unreel.models.momentum import check_momentum
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig

RANDOM_WEIGHTS = "random"
"""Stands for ``initial_weights`` where there are none, on purpose."""


@dataclass(frozen=True)
class FrameSettings(MethodConfig):
    """A 2D network with heads, its momentum encoder and queues; the defaults are VCLR's and SeCo's."""

    augmentation: ClipAugmentation = field(
        default_factory=lambda: ClipAugmentation(
            crop="random_resized", size_px=224, mean=IMAGENET_MEAN, std=IMAGENET_STD
        )
    )
    """What happens to every single frame, independently of the others."""
    backbone: BackboneConfig = field(default_factory=ResNetConfig)
    """The network that learns; it sees one frame at a time."""
    initial_weights: Path = Path()
    """Where backbone and heads start: a file of MoCo v2, or of the backbone alone. Without one they are
    random, which is warned of; the word "random" says that it is meant (decision V1)."""
    embedding_dim: int = 128
    """Length of the embeddings of all heads."""
    hidden_dim: int = 2048
    """Width of the hidden layer of every head; 0 makes them linear."""
    temperature: float = 0.1
    """tau, divides the cosine similarities of all losses (decision V7)."""
    queue_length: int = 131_072
    """K, keys in each queue; 0 takes the keys of the batch's other videos."""
    momentum: float = 0.999
    """Share of itself that the momentum encoder keeps in a step."""
    exclude_own_keys: bool = True
    """Whether earlier keys of a video are left out of its negatives; the released code keeps them."""
    shuffle_bn_group: int = 64
    """Frames that the key network normalises together on one device; 0 turns Shuffle-BN off everywhere."""

    @property
    def has_initial_weights(self) -> bool:
        """Whether training starts from a file."""
        return str(self.initial_weights) not in (str(Path()), RANDOM_WEIGHTS)

    @property
    def min_videos(self) -> int:
        """Two where the batch's other videos are the negatives."""
        return 1 if self.queue_length else 2

    def with_absolute_paths(self) -> Self:
        """Return the settings with ``initial_weights`` found from any folder."""
        if not self.has_initial_weights:
            return self
        return dataclasses.replace(self, initial_weights=self.initial_weights.absolute())

    def cautions(self) -> tuple[str, ...]:
        """Warn of random weights, from which no published number comes (decision V1)."""
        if self.initial_weights != Path():
            return ()
        return (
            "training starts from random weights, while every published number of VCLR and SeCo comes from "
            "an ImageNet MoCo v2 network; give its file with --method.initial-weights, or the word "
            f'"{RANDOM_WEIGHTS}" where this is meant',
        )

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range, or the backbone does not see single frames.
        """
        check_temperature(self.temperature)
        check_momentum(self.momentum)
        for name in ("queue_length", "shuffle_bn_group"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
        if not isinstance(self.backbone, ResNetConfig) or self.backbone.temporal_shift:
            kind = (
                "temporal_shift" if isinstance(self.backbone, ResNetConfig) else type(self.backbone).__name__
            )
            raise ValueError(
                f"method.backbone must see single frames, got {kind}: a network that looks for neighbouring "
                "frames would see clips of one; take resnet_18 or resnet_50, or vclr_clips for 3D networks"
            )
