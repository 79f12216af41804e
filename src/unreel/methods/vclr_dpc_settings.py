"""The settings of DPC with VCLR's losses: which losses, over which blocks and clips."""

from dataclasses import dataclass, field

from unreel.augment.compose import ClipAugmentation
from unreel.augment.frame_colors import ColorsOf
from unreel.augment.tuple_order import LONGEST_TUPLE
from unreel.data.block_clips import BlocksAndSegmentClips
from unreel.losses.contrastive import check_temperature
from unreel.methods.dpc_task import check_prediction
from unreel.methods.dpc_views import DPC_AUGMENTATION
from unreel.methods.loss_weights import check_loss_weights, choose_losses
from unreel.methods.method import MethodConfig
from unreel.models.momentum import check_momentum
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.zoo import BackboneConfig

LOSSES = ("dense", "video", "order")

TUPLE_LOSSES = ("video", "order")
"""What VCLR adds; each has a head of its own."""


@dataclass(frozen=True)
class VCLRDPCSettings(MethodConfig):
    """Everything that may be chosen; the defaults are those of DPC, and of VCLR for what it adds."""

    clips: BlocksAndSegmentClips = field(default_factory=BlocksAndSegmentClips)
    """Blocks that follow each other, and two clips from every segment of the video."""
    augmentation: ClipAugmentation = DPC_AUGMENTATION
    """What happens to the blocks of a video, all alike, and to every clip of a tuple, by itself."""
    backbone: BackboneConfig = field(default_factory=R2D3DConfig)
    """The network that learns; it sees one block or clip at a time."""
    dense_weight: float = 1.0
    """Weight of DPC's prediction; 0 leaves it out."""
    video_weight: float = 1.0
    """Weight of the contrast of averages over tuples, VCLR's eq. 6; 0 leaves it out."""
    order_weight: float = 1.0
    """Weight of the task of order, VCLR's eq. 10; 0 leaves it out."""
    num_predicted: int = 3
    """Blocks at the end that are predicted from those before."""
    dropout_prob: float = 0.1
    """Share of the recurrent state that is left out at every step."""
    color_draws: ColorsOf = "frame"
    """Whether colours change from frame to frame, as in DPC's released code, or per video and clip."""
    embedding_dim: int = 128
    """Length of the embeddings of both heads."""
    hidden_dim: int = 256
    """Width of the hidden layer of both heads; 0 makes them linear."""
    temperature: float = 0.1
    """tau of the contrast of videos, divides the cosine similarities (decision V7)."""
    queue_length: int = 2048
    """K, video keys in the queue, as in VCLR on clips: VCLR's 131,072 would reach back fourteen epochs of
    UCF101. 0 takes the keys of the batch's other videos."""
    momentum: float = 0.999
    """Share of itself that the momentum encoder keeps in a step, VCLR's eq. 12."""
    exclude_own_keys: bool = True
    """Whether earlier keys of a video are left out of its negatives."""
    shuffle_bn_group: int = 64
    """Clips that the key network normalises together on one device; 0 turns Shuffle-BN off everywhere."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that are not left out."""
        return choose_losses(self, LOSSES)

    @property
    def tuple_losses(self) -> tuple[str, ...]:
        """Those of them that VCLR adds."""
        return choose_losses(self, TUPLE_LOSSES)

    @property
    def min_videos(self) -> int:
        """Two where the batch's other videos are the negatives of a video."""
        return 2 if self.video_weight and not self.queue_length else 1

    def cautions(self) -> tuple[str, ...]:
        """Warn of blocks and clips that are decoded and that no loss looks at."""
        unused = []
        if not self.dense_weight and self.clips.num_blocks:
            unused.append(("blocks", self.clips.num_blocks))
        if not self.tuple_losses and self.clips.num_segments:
            unused.append(("segments", 2 * self.clips.num_segments))
        return tuple(
            f"{count} of {self.clips.num_clips} clips of every video are decoded for nothing, as no loss "
            f"looks at them; set --method.clips.num-{name} 0"
            for name, count in unused
        )

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range, the clips do not suit the losses, or no loss is left.
        """
        check_temperature(self.temperature)
        check_momentum(self.momentum)
        check_loss_weights(self, LOSSES)
        for name in ("queue_length", "shuffle_bn_group"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, got {getattr(self, name)}")
        if self.dense_weight:
            check_prediction(self.backbone, self.clips.num_blocks, self.num_predicted, self.dropout_prob)
        num_segments = self.clips.num_segments
        if self.tuple_losses and not num_segments:
            raise ValueError(
                "method.clips.num_segments = 0 leaves no tuple to compare; take segments, or set "
                "method.video_weight and method.order_weight to 0"
            )
        if self.order_weight and not 2 <= num_segments <= LONGEST_TUPLE:
            raise ValueError(
                f"method.clips.num_segments must lie between 2 and {LONGEST_TUPLE} where the order of tuples "
                f"is learned, got {num_segments}; change it, or set method.order_weight to 0"
            )
