"""What DPC's network sees: the blocks of a video, placed alike, their colours drawn frame by frame or not."""

from torch import Tensor

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.augment.frame_colors import ColorsOf, augment_with_colors
from unreel.seeding import RowGenerator

# B videos, N blocks, T frames, C channels, H W pixels

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


def augment_blocks(
    augmentation: ClipAugmentation,
    blocks_BNTHWC: Tensor,
    generator: RowGenerator,
    *,
    sizes_B2: Tensor,
    color_draws: ColorsOf,
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
