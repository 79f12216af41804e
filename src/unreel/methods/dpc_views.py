"""What DPC's network sees: the blocks of a video, placed alike, their colours drawn frame by frame or not."""

import dataclasses
from typing import Literal

from torch import Tensor

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.seeding import RowGenerator

# B videos or clips, N blocks, T frames, C channels, H W pixels

ColorDraws = Literal["frame", "clip"]
"""Whether each frame of a view gets colours of its own, or all of them the same."""

DPC_AUGMENTATION = ClipAugmentation(
    crop="random",
    size_px=128,
    jitter_prob=1.0,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.25,
    grayscale_prob=0.5,
    blur_prob=0.0,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
"""What DPC's released code does to the frames of UCF101, as far as settings go."""


def augment_with_colors(
    augmentation: ClipAugmentation,
    frames_BTHWC: Tensor,
    generator: RowGenerator,
    *,
    sizes_B2: Tensor,
    color_draws: ColorDraws,
) -> Tensor:
    """Augment clips, all frames of a clip placed alike, their colours drawn per frame or per clip.

    With colours per frame a clip is first placed, then rounded to bytes, then each of its frames recoloured
    by itself; contrast then turns about the mean of the frame.

    Args:
        augmentation: what may happen.
        frames_BTHWC: uint8 RGB.
        generator: one stream per clip.
        sizes_B2: height and width of the part of each clip that is picture.
        color_draws: "frame" or "clip".

    Returns:
        Float32 (B, C, T, H, W).
    """
    has_color = augmentation.jitter_prob > 0 or augmentation.grayscale_prob > 0
    if color_draws == "clip" or not has_color:
        return augmentation.apply(frames_BTHWC, generator, sizes_B2=sizes_B2)
    placing = dataclasses.replace(
        augmentation, mean=(0.0,) * 3, std=(1.0,) * 3, jitter_prob=0.0, grayscale_prob=0.0
    )
    coloring = dataclasses.replace(augmentation, crop="center", flip_prob=0.0, blur_prob=0.0)
    placed_BCTHW = placing.apply(frames_BTHWC, generator, sizes_B2=sizes_B2)
    bytes_BTHWC = placed_BCTHW.mul_(255.0).round_().byte().permute(0, 2, 3, 4, 1)
    num_frames = bytes_BTHWC.shape[1]
    frames_F1HWC = bytes_BTHWC.reshape(-1, 1, *bytes_BTHWC.shape[2:])
    colored_FCHW = coloring.apply(frames_F1HWC, generator.repeat(num_frames)).squeeze(2)
    return colored_FCHW.reshape(-1, num_frames, *colored_FCHW.shape[1:]).transpose(1, 2)


def augment_blocks(
    augmentation: ClipAugmentation,
    blocks_BNTHWC: Tensor,
    generator: RowGenerator,
    *,
    sizes_B2: Tensor,
    color_draws: ColorDraws,
) -> Tensor:
    """Augment the blocks of a video as one clip, so that all of them show the same part of the picture.

    Args:
        augmentation: what may happen.
        blocks_BNTHWC: uint8 RGB.
        generator: one stream per video.
        sizes_B2: height and width of the part of each video that is picture.
        color_draws: "frame" or "clip", the clip being all blocks of a video.

    Returns:
        Float32 (B, N, C, T, H, W).
    """
    num_blocks, num_frames = blocks_BNTHWC.shape[1:3]
    whole_BCTHW = augment_with_colors(
        augmentation, blocks_BNTHWC.flatten(1, 2), generator, sizes_B2=sizes_B2, color_draws=color_draws
    )
    whole_BNTCHW = whole_BCTHW.transpose(1, 2).reshape(
        -1, num_blocks, num_frames, *whole_BCTHW.shape[1:2], *whole_BCTHW.shape[3:]
    )
    return whole_BNTCHW.transpose(2, 3)
