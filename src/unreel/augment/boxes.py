"""Where a clip is cropped: one box per clip, inside the part of the frames that is picture.

A box is a row ``(top, left, height, width)`` in pixels. All laws are vectorised over the batch and draw
only from each clip's own stream, so a clip is cropped alike whatever batch it is in.
"""

import numpy as np
from numpy.typing import NDArray

from unreel.seeding import RowGenerator

# B clips

IntArray = NDArray[np.int64]

NUM_TRIES = 10
"""Boxes proposed by `sample_random_resized_boxes` before it falls back to the centre."""


def sample_random_resized_boxes(
    sizes_B2: IntArray, generator: RowGenerator, *, area: tuple[float, float], aspect: tuple[float, float]
) -> IntArray:
    """Sample boxes of random area and aspect ratio, the random resized crop of Inception.

    Up to ten boxes are proposed per clip, each with an area uniform in ``area`` and an aspect ratio whose
    logarithm is uniform; the first that fits is placed uniformly. Where none fits, the largest centred box
    with an aspect ratio inside ``aspect`` is taken. This is the law of torchvision's ``RandomResizedCrop``.

    Args:
        sizes_B2: height and width of each picture in pixels.
        generator: one stream per clip.
        area: smallest and largest share of the picture that a box covers, in (0, 1].
        aspect: smallest and largest width divided by height.

    Returns:
        Boxes as rows (top, left, height, width).

    Reference: Szegedy et al., 2015, section 6.
    """
    height_B, width_B = sizes_B2[:, 0], sizes_B2[:, 1]
    box_height_B, box_width_B = _fallback_sizes(height_B, width_B, aspect)
    is_found_B = np.zeros(len(sizes_B2), dtype=bool)
    for _ in range(NUM_TRIES):
        area_B = generator.uniform(*area) * height_B * width_B
        aspect_B = generator.log_uniform(*aspect)
        try_width_B = np.rint(np.sqrt(area_B * aspect_B)).astype(np.int64)
        try_height_B = np.rint(np.sqrt(area_B / aspect_B)).astype(np.int64)
        fits_B = (
            (try_width_B > 0) & (try_width_B <= width_B) & (try_height_B > 0) & (try_height_B <= height_B)
        )
        is_new_B = fits_B & ~is_found_B
        box_height_B = np.where(is_new_B, try_height_B, box_height_B)
        box_width_B = np.where(is_new_B, try_width_B, box_width_B)
        is_found_B |= fits_B
    top_B = np.where(
        is_found_B, generator.integers(height_B - box_height_B + 1), _center(height_B, box_height_B)
    )
    left_B = np.where(
        is_found_B, generator.integers(width_B - box_width_B + 1), _center(width_B, box_width_B)
    )
    return np.stack([top_B, left_B, box_height_B, box_width_B], axis=1)


def sample_random_boxes(sizes_B2: IntArray, size_px: int, generator: RowGenerator) -> IntArray:
    """Sample square boxes at places that are all as likely; see `center_boxes` for small pictures.

    Args:
        sizes_B2: height and width of each picture in pixels.
        size_px: side of the box.
        generator: one stream per clip.
    """
    side_B = _sides(sizes_B2, size_px)
    top_B = generator.integers(sizes_B2[:, 0] - side_B + 1)
    left_B = generator.integers(sizes_B2[:, 1] - side_B + 1)
    return np.stack([top_B, left_B, side_B, side_B], axis=1)


def center_boxes(sizes_B2: IntArray, size_px: int) -> IntArray:
    """Return the square boxes of side ``size_px`` in the middle of the pictures.

    A picture with a side shorter than ``size_px`` gives the largest square that it holds, which the
    resampling then scales up to ``size_px``.

    Args:
        sizes_B2: height and width of each picture in pixels.
        size_px: side of the box.
    """
    side_B = _sides(sizes_B2, size_px)
    top_B, left_B = _center(sizes_B2[:, 0], side_B), _center(sizes_B2[:, 1], side_B)
    return np.stack([top_B, left_B, side_B, side_B], axis=1)


def _sides(sizes_B2: IntArray, size_px: int) -> IntArray:
    side_B: IntArray = np.minimum(sizes_B2.min(axis=1), size_px)
    return side_B


def _center(outer_B: IntArray, inner_B: IntArray) -> IntArray:
    """Return the first pixel of a centred interval; an odd pixel goes to the end."""
    first_B: IntArray = (outer_B - inner_B) // 2
    return first_B


def _fallback_sizes(
    height_B: IntArray, width_B: IntArray, aspect: tuple[float, float]
) -> tuple[IntArray, IntArray]:
    """Return height and width of the largest box whose aspect ratio lies inside the limits."""
    box_height_B = np.minimum(height_B, np.rint(width_B / aspect[0]).astype(np.int64))
    box_width_B = np.minimum(width_B, np.rint(height_B * aspect[1]).astype(np.int64))
    return np.maximum(box_height_B, 1), np.maximum(box_width_B, 1)
