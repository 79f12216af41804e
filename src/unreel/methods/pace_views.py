"""What pace prediction looks at: clips at different paces, each augmented by itself."""

from dataclasses import dataclass

from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.augment.frame_colors import ColorsOf, augment_with_colors
from unreel.data.batch import VideoBatch
from unreel.data.pace_clips import PaceClips, pace_classes

# B videos, N clips of a video, Q = B * N clips, T frames of a clip, C channels, H W pixels


@dataclass(frozen=True)
class PaceViews:
    """Augmented clips of each video.

    Attributes:
        clips_QCTHW: the clips of a video one behind the other.
        class_Q: int64, which pace each has; `unreel.data.pace_clips.NO_PACE` for a still.
        owner_Q: row of the catalog that each clip is of.
    """

    clips_QCTHW: Tensor
    class_Q: Tensor
    owner_Q: Tensor


def make_pace_views(
    batch: VideoBatch, clips: PaceClips, augmentation: ClipAugmentation, *, color_draws: ColorsOf
) -> PaceViews:
    """Augment every clip by itself, those of one video too, and read its pace from its frames.

    Args:
        batch: with the clips of `PaceClips`.
        clips: the rule that chose them.
        augmentation: what may happen to a clip.
        color_draws: for what the change of colours is drawn.
    """
    num_clips, device = clips.count, batch.frames_BNTHWC.device
    class_Q = pace_classes(batch.frame_index_BNT, clips.paces).flatten()
    return PaceViews(
        clips_QCTHW=augment_with_colors(
            augmentation,
            batch.frames_BNTHWC.flatten(0, 1),
            batch.generator("clips").repeat(num_clips),
            sizes_B2=batch.sizes_B2.repeat_interleave(num_clips, dim=0),
            color_draws=color_draws,
        ),
        class_Q=class_Q.to(device, non_blocking=True),
        owner_Q=batch.video_index_B.repeat_interleave(num_clips),
    )
