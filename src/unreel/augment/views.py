"""Crops without chance, for evaluation: the middle, three along the long side, or ten with corners."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.color import ColorMap
from unreel.augment.inputs import check_frames
from unreel.augment.render import Resampler, render_clips
from unreel.augment.spatial import AxisMap

# B clips, R crops, T frames, H W pixels, C channels

CropLayout = Literal["center", "three", "ten"]
"""Which squares are cut out of every frame."""

_ENDS = (0.0, 1.0)
_CORNERS = [(top, left) for top in _ENDS for left in _ENDS]


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
    crops = iterate_crops(
        frames_BTHWC, size_px, "center", short_side=short_side, mean=mean, std=std, sizes_B2=sizes_B2
    )
    return next(crops)


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
    crops = iterate_crops(
        frames_BTHWC, size_px, "three", short_side=short_side, mean=mean, std=std, sizes_B2=sizes_B2
    )
    return torch.stack(list(crops), dim=1)


def ten_crops(
    frames_BTHWC: Tensor,
    size_px: int,
    *,
    short_side: int | None = None,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    sizes_B2: Tensor | None = None,
) -> Tensor:
    """Cut the four corners and the middle out of every frame, as they are and mirrored.

    The order is: top left, top right, bottom left, bottom right, middle; then these five mirrored.

    Args:
        frames_BTHWC: uint8 RGB.
        size_px: side of the squares, as in `center_crop`.
        short_side: as in `center_crop`.
        mean: subtracted from red, green and blue on the scale [0, 1].
        std: divides red, green and blue after that.
        sizes_B2: height and width of the part that is picture; all of it when None.

    Returns:
        Float32 (B, 10, C, T, size_px, size_px), without gradient.

    Raises:
        ValueError: the frames are not uint8 RGB clips, or the square does not fit the scaled picture.

    Reference: Krizhevsky et al., 2012, section 4.1; VCLR's tests on Something-Something.
    """
    crops = iterate_crops(
        frames_BTHWC, size_px, "ten", short_side=short_side, mean=mean, std=std, sizes_B2=sizes_B2
    )
    return torch.stack(list(crops), dim=1)


def iterate_crops(
    frames_BTHWC: Tensor,
    size_px: int,
    layout: CropLayout,
    *,
    short_side: int | None = None,
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    sizes_B2: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yield one crop of all clips after the other, so that only one need be in memory.

    Args:
        frames_BTHWC: uint8 RGB.
        size_px: side of the squares, as in `center_crop`.
        layout: those of `center_crop`, `three_crops` or `ten_crops`, in their order.
        short_side: as in `center_crop`.
        mean: subtracted from red, green and blue on the scale [0, 1].
        std: divides red, green and blue after that.
        sizes_B2: height and width of the part that is picture; all of it when None.

    Yields:
        Float32 (B, C, T, size_px, size_px), without gradient.

    Raises:
        ValueError: the frames are not uint8 RGB clips, or the square does not fit the scaled picture.
    """
    sizes = check_frames(frames_BTHWC, sizes_B2)
    _check_square(size_px, short_side)
    identity = ColorMap.identity(len(sizes))
    for row_place_B, col_place_B, is_mirrored in _place_crops(sizes, layout):
        upright_B, mirrored_B = np.zeros(len(sizes), dtype=np.bool_), np.full(len(sizes), is_mirrored)
        rows = _cut_axis(sizes, 0, size_px, short_side, place_B=row_place_B, is_mirrored_B=upright_B)
        cols = _cut_axis(sizes, 1, size_px, short_side, place_B=col_place_B, is_mirrored_B=mirrored_B)
        resampler = Resampler(rows, cols, size_px)
        yield render_clips(frames_BTHWC, resampler, identity, mean=mean, std=std, size_px=size_px)


def _check_square(size_px: int, short_side: int | None) -> None:
    if size_px < 1:
        raise ValueError(f"size_px must be at least 1 pixel, got {size_px}")
    if short_side is not None and short_side < size_px:
        raise ValueError(f"short_side={short_side} is smaller than size_px={size_px}; make it larger")


def _place_crops(
    sizes_B2: NDArray[np.int64], layout: CropLayout
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], bool]]:
    """Yield where crops lie, 0 the beginning of rows and columns and 1 their end, and whether mirrored.

    A value per clip for rows and for columns.
    """
    middle_B = np.full(len(sizes_B2), 0.5)
    if layout == "ten":
        for is_mirrored in (False, True):
            for top, left in [*_CORNERS, (0.5, 0.5)]:
                yield np.full_like(middle_B, top), np.full_like(middle_B, left), is_mirrored
        return
    is_tall_B = sizes_B2[:, 0] > sizes_B2[:, 1]
    for place in (0.0, 0.5, 1.0) if layout == "three" else (0.5,):
        yield np.where(is_tall_B, place, middle_B), np.where(is_tall_B, middle_B, place), False


def _cut_axis(
    sizes_B2: NDArray[np.int64],
    side: int,
    size_px: int,
    short_side: int | None,
    *,
    place_B: NDArray[np.float64],
    is_mirrored_B: NDArray[np.bool_],
) -> AxisMap:
    length_B, shortest_B = sizes_B2[:, side], sizes_B2.min(axis=1)
    if short_side is None:
        cut_B = np.minimum(shortest_B, size_px)
        first_B = np.floor((length_B - cut_B) * place_B).astype(np.int64)
        return AxisMap.stretch(first_B, cut_B, size_px, is_mirrored_B)
    scaled_B = np.rint(length_B * short_side / shortest_B).astype(np.int64)
    offset_B = np.floor((scaled_B - size_px) * place_B).astype(np.int64)
    return AxisMap(np.zeros_like(length_B), length_B, length_B / scaled_B, offset_B, is_mirrored_B)
