"""The settings of VCLR on clips: which losses, over which clips of a video, in which network."""

from dataclasses import dataclass, field

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.augment.tuple_order import LONGEST_TUPLE
from unreel.data.clips import ClipSampling
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips
from unreel.losses.contrastive import check_temperature
from unreel.methods.loss_weights import check_loss_weights, choose_losses
from unreel.methods.method import MethodConfig
from unreel.models.momentum import check_momentum
from unreel.models.resnet2d import ResNetConfig
from unreel.models.s3d import S3DConfig
from unreel.models.zoo import BackboneConfig

LOSSES = ("clip", "video", "order")


@dataclass(frozen=True)
class VCLRClipsSettings(MethodConfig):
    """Everything that may be chosen; the defaults are those of Table 8's last row, on CoCLR's baseline."""

    clips: ClipSampling = field(default_factory=ClipPairAndSegments)
    """A pair of clips for the contrast of clips, and two clips of every segment for video and order; without
    the pair, `SegmentClips`."""
    augmentation: ClipAugmentation = field(
        default_factory=lambda: ClipAugmentation(
            crop="random_resized", size_px=128, mean=IMAGENET_MEAN, std=IMAGENET_STD
        )
    )
    """What happens to every clip, all its frames alike, independently of the other clips (decision E1)."""
    backbone: BackboneConfig = field(default_factory=S3DConfig)
    """The network that learns; any that sees several frames at once (decision V9)."""
    clip_weight: float = 1.0
    """Weight of the contrast of two clips, CoCLR's InfoNCE baseline; 0 leaves it out."""
    video_weight: float = 1.0
    """Weight of the contrast of averages over tuples, eq. 6; 0 leaves it out."""
    order_weight: float = 1.0
    """Weight of the task of order, eq. 10; 0 leaves it out."""
    embedding_dim: int = 128
    """Length of the embeddings of all heads."""
    hidden_dim: int = 1024
    """Width of the hidden layer of every head; 0 makes them linear."""
    clip_temperature: float = 0.07
    """Divides the cosine similarities of clips, as in CoCLR."""
    video_temperature: float = 0.1
    """Divides the cosine similarities of averages, as in VCLR (decision V7)."""
    queue_length: int = 2048
    """K, keys in each queue, CoCLR's number for both; 0 takes the keys of the batch's other videos."""
    momentum: float = 0.999
    """Share of itself that the momentum encoder keeps in a step."""
    exclude_own_keys: bool = True
    """Whether earlier keys of a video are left out of its negatives; the released codes keep them."""
    shuffle_bn_group: int = 32
    """Clips that the key network normalises together on one device; 0 turns Shuffle-BN off everywhere."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that are not left out; each has a head of its own."""
        return choose_losses(self, LOSSES)

    @property
    def has_tuples(self) -> bool:
        """Whether a loss compares tuples."""
        return "video" in self.losses or "order" in self.losses

    @property
    def num_segments(self) -> int:
        """N, clips of a tuple."""
        assert isinstance(self.clips, (SegmentClips, ClipPairAndSegments))
        return self.clips.num_segments

    @property
    def first_segment_row(self) -> int:
        """Row of the plan behind the pair, if there is one."""
        return self.clips.num_clips - 2 * self.num_segments

    @property
    def min_videos(self) -> int:
        """Two where the batch's other videos are the negatives."""
        return 1 if self.queue_length or self.losses == ("order",) else 2

    def cautions(self) -> tuple[str, ...]:
        """Warn of clips that are decoded and that no loss looks at."""
        cautions = []
        if self.num_segments and not self.has_tuples:
            cautions.append(
                f"{2 * self.num_segments} of {self.clips.num_clips} clips of every video are decoded for "
                "nothing, as no loss compares tuples; set --method.clips.num-segments 0"
            )
        if self.first_segment_row and "clip" not in self.losses:
            cautions.append(
                f"2 of {self.clips.num_clips} clips of every video are decoded for nothing, as no loss "
                "contrasts single clips; a recipe with clips=SegmentClips(...) leaves them out"
            )
        return tuple(cautions)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range, or clips or backbone do not suit the losses.
        """
        check_loss_weights(self, LOSSES)
        check_temperature(self.clip_temperature)
        check_temperature(self.video_temperature)
        check_momentum(self.momentum)
        for name in ("queue_length", "shuffle_bn_group"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
        if isinstance(self.backbone, ResNetConfig):
            raise ValueError(
                "method.backbone must see several frames at once, got ResNetConfig, which sees one: "
                "take a 3D network such as s3d or r3d_18, or a recipe of vclr"
            )
        self._check_clips()

    def _check_clips(self) -> None:
        if not isinstance(self.clips, (SegmentClips, ClipPairAndSegments)):
            raise ValueError(
                f"method.clips must be ClipPairAndSegments or SegmentClips, got {type(self.clips).__name__}"
            )
        if "clip" in self.losses and not self.first_segment_row:
            raise ValueError(
                "method.clips has no pair of clips to contrast; set method.clip_weight to 0 or take "
                "ClipPairAndSegments"
            )
        if self.has_tuples and not self.num_segments:
            raise ValueError(
                "method.clips.num_segments = 0 leaves no tuples to compare; set method.video_weight and "
                "method.order_weight to 0, or take more segments"
            )
        if "order" in self.losses and not 2 <= self.num_segments <= LONGEST_TUPLE:
            raise ValueError(
                f"method.clips.num_segments must lie between 2 and {LONGEST_TUPLE} where the order of tuples "
                f"is learned, got {self.num_segments}; or set method.order_weight to 0"
            )
