"""Colours that change for a clip as a whole, or for each of its frames by itself."""

import dataclasses
from typing import Literal

from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.seeding import RowGenerator

# B clips, T frames, F = B * T frames, C channels, H W pixels

ColorsOf = Literal["clip", "frame"]
"""For what a change of colours is drawn: once for all frames of a clip, or for each frame by itself."""


def augment_with_colors(
    augmentation: ClipAugmentation,
    frames_BTHWC: Tensor,
    generator: RowGenerator,
    *,
    sizes_B2: Tensor,
    color_draws: ColorsOf,
) -> Tensor:
    """Augment clips, all frames of one alike, or alike but for their colours (the exception to decision E1).

    Crop, flip and blur are the same for all frames either way. Colours of single frames are changed in a
    second pass over what the first one cut out, rounded to bytes; contrast then turns about the mean of the
    frame.

    Args:
        augmentation: what may happen.
        frames_BTHWC: uint8 RGB.
        generator: one stream per clip.
        sizes_B2: height and width of the part of each clip that is picture.
        color_draws: for what the change of colours is drawn.

    Returns:
        Float32 (B, C, T, size_px, size_px), as from `ClipAugmentation.apply`.
    """
    has_color = augmentation.jitter_prob > 0 or augmentation.grayscale_prob > 0
    if color_draws == "clip" or not has_color:
        return augmentation.apply(frames_BTHWC, generator, sizes_B2=sizes_B2)
    placing = dataclasses.replace(
        augmentation, mean=(0.0,) * 3, std=(1.0,) * 3, jitter_prob=0.0, grayscale_prob=0.0
    )
    coloring = dataclasses.replace(augmentation, crop="center", flip_prob=0.0, blur_prob=0.0)
    num_frames = frames_BTHWC.shape[1]
    of_frames = generator.fork("frames").repeat(num_frames)
    placed_BCTHW = placing.apply(frames_BTHWC, generator, sizes_B2=sizes_B2)
    bytes_BTHWC = placed_BCTHW.mul_(255.0).round_().byte().permute(0, 2, 3, 4, 1)
    frames_F1HWC = bytes_BTHWC.reshape(-1, 1, *bytes_BTHWC.shape[2:])
    colored_FCHW = coloring.apply(frames_F1HWC, of_frames).squeeze(2)
    return colored_FCHW.reshape(-1, num_frames, *colored_FCHW.shape[1:]).transpose(1, 2)
