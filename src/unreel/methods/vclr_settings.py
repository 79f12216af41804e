"""The settings of VCLR: which losses, over which frames, from which weights."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.augment.tuple_order import LONGEST_TUPLE
from unreel.data.clips import ClipSampling
from unreel.data.segments import OppositeHalves, SegmentPairs
from unreel.losses.contrastive import check_temperature
from unreel.losses.frames import IntraForm
from unreel.methods.method import MethodConfig
from unreel.models.momentum import check_momentum
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BackboneConfig

RANDOM_WEIGHTS = "random"
"""Stands for ``initial_weights`` where there are none, on purpose."""

LOSSES = ("inter", "intra", "video", "order")


@dataclass(frozen=True)
class VCLRSettings(MethodConfig):
    """Everything that may be chosen about VCLR; the defaults are the paper's, or its released code's."""

    clips: ClipSampling = field(default_factory=SegmentPairs)
    """Pairs of tuples, a frame of every segment in each; or, without the losses that need tuples, a query
    and frames of the other half of the video (SeCo)."""
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
    inter_weight: float = 1.0
    """Weight of the contrast of frames with frames of other videos, eq. 2; 0 leaves it out."""
    intra_weight: float = 1.0
    """Weight of the contrast of a frame with other frames of its video, eq. 3; 0 leaves it out."""
    video_weight: float = 1.0
    """Weight of the contrast of averages over tuples, eq. 6; 0 leaves it out."""
    order_weight: float = 1.0
    """Weight of the task of order, eq. 10; 0 leaves it out."""
    intra_form: IntraForm = "official"
    """Whether other frames push one at a time (released code) or in one softmax, as printed (decision V2)."""
    order_task: Literal["tuples", "query"] = "tuples"
    """What is told: which of the two tuples is shuffled (VCLR), or whether the query comes before or after
    the other frames (SeCo)."""
    official_order_norm: bool = False
    """Whether the embeddings of order are normalised over the frames, as in the released code, and not over
    the channels (decision V3)."""
    embedding_dim: int = 128
    """Length of the embeddings of all heads."""
    hidden_dim: int = 2048
    """Width of the hidden layer of every head; 0 makes them linear."""
    temperature: float = 0.1
    """tau, divides the cosine similarities of all losses (decision V7)."""
    queue_length: int = 131_072
    """K of both queues, of frame keys and of video keys; 0 takes the keys of the batch's other videos."""
    momentum: float = 0.999
    """Share of itself that the momentum encoder keeps in a step, eq. 12."""
    exclude_own_keys: bool = True
    """Whether earlier keys of a video are left out of its negatives; the released code keeps them."""
    shuffle_bn_group: int = 64
    """Frames that the key network normalises together on one device; 0 turns Shuffle-BN off everywhere."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that are not left out; each has a head of its own."""
        return tuple(name for name in LOSSES if getattr(self, f"{name}_weight"))

    @property
    def has_tuples(self) -> bool:
        """Whether a loss compares tuples, so that the network sees all frames of both."""
        return "video" in self.losses or ("order" in self.losses and self.order_task == "tuples")

    @property
    def has_twin(self) -> bool:
        """Whether a loss needs the query's frame in a second augmentation."""
        return "inter" in self.losses or "intra" in self.losses

    @property
    def has_others(self) -> bool:
        """Whether a loss needs keys of the other frames of the anchor tuple."""
        return self.has_twin or ("order" in self.losses and self.order_task == "query")

    @property
    def num_frames(self) -> int:
        """N, frames of a tuple; with SeCo's frames, the query and the others."""
        if isinstance(self.clips, OppositeHalves):
            return 1 + self.clips.num_others
        assert isinstance(self.clips, SegmentPairs)
        return self.clips.num_segments

    @property
    def has_initial_weights(self) -> bool:
        """Whether training starts from a file."""
        return str(self.initial_weights) not in (str(Path()), RANDOM_WEIGHTS)

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
            ValueError: a number is out of range, the frames do not suit the losses, or none is left.
        """
        check_temperature(self.temperature)
        check_momentum(self.momentum)
        for name in (*(f"{name}_weight" for name in LOSSES), "queue_length", "shuffle_bn_group"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
        if not self.losses:
            raise ValueError(
                f"nothing is learned: give one of {', '.join(f'method.{name}_weight' for name in LOSSES)} a "
                "positive value"
            )
        for name in LOSSES:
            weight = getattr(self, f"{name}_weight")
            if not math.isfinite(weight):
                raise ValueError(f"method.{name}_weight must be a number, got {weight}")
        if not isinstance(self.backbone, ResNetConfig):
            raise ValueError(
                f"method.backbone must see single frames, got {type(self.backbone).__name__}: a 3D network "
                "would see clips of one frame; take resnet_18 or resnet_50"
            )
        if self.official_order_norm and self.order_task == "query":
            raise ValueError(
                "method.official_order_norm normalises over the frames of a tuple, and the query of SeCo's "
                "task of order is a single frame; leave it off, or set method.order_task to tuples"
            )
        self._check_clips()

    def _check_clips(self) -> None:
        if not isinstance(self.clips, (SegmentPairs, OppositeHalves)):
            raise ValueError(
                f"method.clips must be SegmentPairs or OppositeHalves, got {type(self.clips).__name__}"
            )
        if self.has_tuples and not isinstance(self.clips, SegmentPairs):
            raise ValueError(
                "method.clips must be SegmentPairs where tuples are compared; set method.video_weight to 0 "
                "and method.order_task to query, or take segments"
            )
        if self.num_frames == 1 and ("intra" in self.losses or "order" in self.losses):
            raise ValueError(
                "method.clips.num_segments = 1 leaves no other frame to compare with and no order; set "
                "method.intra_weight and method.order_weight to 0, or take more segments"
            )
        if self.num_frames > LONGEST_TUPLE and "order" in self.losses and self.order_task == "tuples":
            raise ValueError(
                f"method.clips.num_segments must be at most {LONGEST_TUPLE} where the order of tuples is "
                f"learned, got {self.num_frames}; take fewer, or set method.order_weight to 0"
            )
