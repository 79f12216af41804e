"""The settings of VCLR: which losses, over which frames, from which weights."""

from dataclasses import dataclass, field

from unreel.augment.tuple_order import LONGEST_TUPLE
from unreel.data.clips import ClipSampling
from unreel.data.segments import SegmentPairs
from unreel.losses.frames import IntraForm
from unreel.methods.frame_settings import FrameSettings
from unreel.methods.loss_weights import check_loss_weights, choose_losses

LOSSES = ("inter", "intra", "video", "order")


@dataclass(frozen=True)
class VCLRSettings(FrameSettings):
    """Everything that may be chosen about VCLR.

    The defaults are the paper's, and its released code's where the paper is silent, but for
    `exclude_own_keys`: that code keeps earlier keys of a video among its negatives.
    """

    clips: ClipSampling = field(default_factory=SegmentPairs)
    """Pairs of tuples, a frame of every segment in each."""
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
    official_order_norm: bool = False
    """Whether the embeddings of order are normalised over the frames, as in the released code, and not over
    the channels (decision V3)."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that are not left out; each has a head of its own."""
        return choose_losses(self, LOSSES)

    @property
    def has_tuples(self) -> bool:
        """Whether a loss compares tuples, so that the network sees all frames of both."""
        return "video" in self.losses or "order" in self.losses

    @property
    def has_query(self) -> bool:
        """Whether a loss contrasts single frames: the query with its own frame again and with others."""
        return "inter" in self.losses or "intra" in self.losses

    @property
    def min_videos(self) -> int:
        """Two where the batch's other videos are the negatives of a loss."""
        return super().min_videos if "inter" in self.losses or "video" in self.losses else 1

    @property
    def num_segments(self) -> int:
        """N, frames of a tuple."""
        assert isinstance(self.clips, SegmentPairs)
        return self.clips.num_segments

    def cautions(self) -> tuple[str, ...]:
        """Warn of random weights, and of tuples that are decoded and that no loss compares."""
        assert isinstance(self.clips, SegmentPairs)
        if self.has_tuples or self.clips.num_tuples == 1:
            return super().cautions()
        return (
            *super().cautions(),
            "half of the frames of every video are decoded for nothing, as no loss compares tuples; set "
            "--method.clips.num-tuples 1",
        )

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: a number is out of range, the frames do not suit the losses, or none is left.
        """
        super().__post_init__()
        check_loss_weights(self, LOSSES)
        if not isinstance(self.clips, SegmentPairs):
            raise ValueError(f"method.clips must be SegmentPairs, got {type(self.clips).__name__}")
        if self.clips.num_tuples == 1 and self.has_tuples:
            raise ValueError(
                "method.clips.num_tuples = 1 leaves no positive tuple to compare with; set "
                "method.video_weight and method.order_weight to 0, or take 2 tuples"
            )
        if self.num_segments == 1 and ("intra" in self.losses or "order" in self.losses):
            raise ValueError(
                "method.clips.num_segments = 1 leaves no other frame to compare with and no order; set "
                "method.intra_weight and method.order_weight to 0, or take more segments"
            )
        if self.num_segments > LONGEST_TUPLE and "order" in self.losses:
            raise ValueError(
                f"method.clips.num_segments must be at most {LONGEST_TUPLE} where the order of tuples is "
                f"learned, got {self.num_segments}; take fewer, or set method.order_weight to 0"
            )
