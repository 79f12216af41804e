"""Crops of a few fixed sizes at a few fixed places, as TSN trains."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unreel.seeding import RowGenerator

# B clips

IntArray = NDArray[np.int64]

NumPlaces = Literal[5, 13]
"""Places that a crop may have: the corners and the middle, or eight more between them."""

_QUARTERS: dict[int, tuple[tuple[int, int], ...]] = {
    5: ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
    13: (
        *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
        *((2, 0), (2, 4), (4, 2), (0, 2)),
        *((1, 1), (1, 3), (3, 1), (3, 3)),
    ),
}
"""Top and left of the places, in quarters of the room that is left."""


def sample_multi_scale_boxes(
    sizes_B2: IntArray,
    generator: RowGenerator,
    *,
    scales: tuple[float, ...],
    num_places: NumPlaces,
    max_gap: int = 1,
) -> IntArray:
    """Sample boxes whose height and width are shares of the short side, all sizes and places as likely.

    Height and width are drawn together among the pairs of shares that lie at most ``max_gap`` apart in
    ``scales``: with the four of TSN there are ten. The place is the corner of a grid of quarters of the room
    that the box leaves in the picture.

    Args:
        sizes_B2: height and width of each picture in pixels.
        generator: one stream per clip.
        scales: shares of the short side in falling order, in (0, 1]; (1, 0.875, 0.75, 0.66) in TSN.
        num_places: 5 or 13 places.
        max_gap: how far apart in ``scales`` height and width may be.

    Returns:
        Boxes as rows (top, left, height, width).

    Reference: Wang et al., 2016 (TSN), section 3.2, and its released code.
    """
    pairs = [
        (height, width)
        for place, height in enumerate(scales)
        for other, width in enumerate(scales)
        if abs(place - other) <= max_gap
    ]
    shares_B2 = np.array(pairs)[generator.integers(len(pairs))]
    box_B2 = np.maximum((shares_B2 * sizes_B2.min(axis=1)[:, None]).astype(np.int64), 1)
    quarters_B2 = np.array(_QUARTERS[num_places])[generator.integers(num_places)]
    first_B2 = quarters_B2 * ((sizes_B2 - box_B2) // 4)
    return np.concatenate([first_B2, box_B2], axis=1)
