"""Crops without chance, for evaluation: the middle, or three along the long side."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.color import ColorMap
from unreel.augment.inputs import check_frames
from unreel.augment.render import Resampler, render_clips
from unreel.augment.spatial import AxisMap

# B clips, T frames, H W pixels, C channels


def center_crop(
    frames_BTHWC: Tensor,
    size_px: int,
    *,
    short_side: int | None = None,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    sizes_B2: Tensor | None = None,
) -> Tensor:
    """Cut the middle square out of every frame.

    Args:
        frames_BTHWC: uint8 RGB.
        size_px: side of the square in pixels. Without ``short_side``, a smaller picture gives its largest
            square, scaled up.
        short_side: the pictures are first scaled to this short side, their aspect ratio kept; not at all
            when None.
        mean: subtracted from red, green and blue on the scale [0, 1].
        std: divides red, green and blue after that.
        sizes_B2: height and width of the part that is picture; all of it when None.

    Returns:
        Float32 (B, C, T, size_px, size_px), without gradient.

    Raises:
        ValueError: the frames are not uint8 RGB clips, or the square does not fit the scaled picture.
    """
    sizes = check_frames(frames_BTHWC, sizes_B2)
    resampler = _cut_squares(sizes, size_px, short_side, place=0.5)
    identity = ColorMap.identity(len(sizes))
    return render_clips(frames_BTHWC, resampler, identity, mean=mean, std=std, size_px=size_px)


def three_crops(
    frames_BTHWC: Tensor,
    size_px: int,
    *,
    short_side: int | None = None,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    sizes_B2: Tensor | None = None,
) -> Tensor:
    """Cut three squares out of every frame: at the beginning, the middle and the end of its long side.

    With ``short_side`` equal to ``size_px`` the squares cover pictures up to three times as long as short.

    Args:
        frames_BTHWC: uint8 RGB.
        size_px: side of the squares, as in `center_crop`.
        short_side: as in `center_crop`.
        mean: subtracted from red, green and blue on the scale [0, 1].
        std: divides red, green and blue after that.
        sizes_B2: height and width of the part that is picture; all of it when None.

    Returns:
        Float32 (B, 3, C, T, size_px, size_px), without gradient.

    Raises:
        ValueError: the frames are not uint8 RGB clips, or the square does not fit the scaled picture.

    Reference: Wang et al., 2018 (non-local networks), section 4, on testing with three crops.
    """
    sizes = check_frames(frames_BTHWC, sizes_B2)
    identity = ColorMap.identity(len(sizes))
    crops = []
    for place in (0.0, 0.5, 1.0):
        resampler = _cut_squares(sizes, size_px, short_side, place=place)
        crops.append(render_clips(frames_BTHWC, resampler, identity, mean=mean, std=std, size_px=size_px))
    return torch.stack(crops, dim=1)


def _cut_squares(
    sizes_B2: NDArray[np.int64], size_px: int, short_side: int | None, *, place: float
) -> Resampler:
    """Cut squares at ``place`` of the long side, 0 its beginning and 1 its end, midway on the short side."""
    if size_px < 1:
        raise ValueError(f"size_px must be at least 1 pixel, got {size_px}")
    if short_side is not None and short_side < size_px:
        raise ValueError(f"short_side={short_side} is smaller than size_px={size_px}; make it larger")
    is_tall_B = sizes_B2[:, 0] > sizes_B2[:, 1]
    rows = _cut_axis(sizes_B2, 0, size_px, short_side, np.where(is_tall_B, place, 0.5))
    cols = _cut_axis(sizes_B2, 1, size_px, short_side, np.where(is_tall_B, 0.5, place))
    return Resampler(rows, cols, size_px)


def _cut_axis(
    sizes_B2: NDArray[np.int64], side: int, size_px: int, short_side: int | None, place_B: NDArray[np.float64]
) -> AxisMap:
    length_B, shortest_B = sizes_B2[:, side], sizes_B2.min(axis=1)
    is_mirrored_B = np.zeros(len(length_B), dtype=bool)
    if short_side is None:
        cut_B = np.minimum(shortest_B, size_px)
        first_B = np.floor((length_B - cut_B) * place_B).astype(np.int64)
        return AxisMap.stretch(first_B, cut_B, size_px, is_mirrored_B)
    scaled_B = np.rint(length_B * short_side / shortest_B).astype(np.int64)
    offset_B = np.floor((scaled_B - size_px) * place_B).astype(np.int64)
    return AxisMap(np.zeros_like(length_B), length_B, length_B / scaled_B, offset_B, is_mirrored_B)
