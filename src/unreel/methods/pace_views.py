"""What pace prediction looks at: clips at different paces, each augmented by itself."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch
from unreel.data.pace_clips import PaceClips, pace_classes
from unreel.seeding import RowGenerator

# B videos, N clips of a video, Q = B * N clips, F = Q * T frames, T frames of a clip, C channels, H W pixels

Colors = Literal["clip", "frame"]
"""For what a change of colours is drawn: once for all frames of a clip, or for each frame by itself."""


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
    batch: VideoBatch, clips: PaceClips, augmentation: ClipAugmentation, *, colors: Colors
) -> PaceViews:
    """Augment every clip by itself, those of one video too, and read its pace from its frames.

    Args:
        batch: with the clips of `PaceClips`.
        clips: the rule that chose them.
        augmentation: what may happen to a clip.
        colors: for what the change of colours is drawn.
    """
    num_clips, device = clips.count, batch.frames_BNTHWC.device
    class_Q = pace_classes(batch.frame_index_BNT, clips.paces).flatten()
    return PaceViews(
        clips_QCTHW=augment_clips(
            augmentation,
            batch.frames_BNTHWC.flatten(0, 1),
            batch.generator("clips").repeat(num_clips),
            batch.sizes_B2.repeat_interleave(num_clips, dim=0),
            colors=colors,
        ),
        class_Q=class_Q.to(device, non_blocking=True),
        owner_Q=batch.video_index_B.repeat_interleave(num_clips),
    )


def augment_clips(
    augmentation: ClipAugmentation,
    frames_QTHWC: Tensor,
    generator: RowGenerator,
    sizes_Q2: Tensor,
    *,
    colors: Colors,
) -> Tensor:
    """Augment clips, all frames of one alike; with ``colors="frame"``, alike but for their colours.

    Crop, flip and blur are the same either way. Colours of single frames are changed in a second pass over
    what the first one cut out, rounded to bytes.

    Args:
        augmentation: what may happen.
        frames_QTHWC: uint8 RGB.
        generator: one stream per clip.
        sizes_Q2: height and width of the part of each clip that is picture.
        colors: for what the change of colours is drawn.

    Returns:
        Float32 (Q, C, T, size_px, size_px), as from `ClipAugmentation.apply`.
    """
    if colors == "clip":
        return augmentation.apply(frames_QTHWC, generator, sizes_B2=sizes_Q2)
    cut = replace(augmentation, jitter_prob=0.0, grayscale_prob=0.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    color = replace(augmentation, crop="center", flip_prob=0.0, blur_prob=0.0)
    cut_QCTHW = cut.apply(frames_QTHWC, generator, sizes_B2=sizes_Q2)
    num_clips, num_frames = frames_QTHWC.shape[:2]
    bytes_QTHWC = (cut_QCTHW * 255).round().to(torch.uint8).permute(0, 2, 3, 4, 1)
    frames_FCHW = color.apply(
        bytes_QTHWC.flatten(0, 1)[:, None].contiguous(), generator.fork("frames").repeat(num_frames)
    ).squeeze(2)
    frames_QTCHW = frames_FCHW.reshape(num_clips, num_frames, *frames_FCHW.shape[1:])
    return frames_QTCHW.transpose(1, 2).contiguous()
