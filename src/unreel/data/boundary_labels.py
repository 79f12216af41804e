"""What a localiser should answer: where segments start and end, and how well every stretch covers one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# S segments, T positions of the grid, L lengths of a stretch in positions (as many as T)

BOUNDARY_POSITIONS = 3.0
"""Width of the region around a boundary, in positions of the grid."""


@dataclass(frozen=True)
class BoundaryLabels:
    """The truth of one video on a grid of T positions; position t reaches from t / T to (t + 1) / T of it.

    Attributes:
        start_T: float32 in [0, 1], share of a position that lies within the region of some start.
        end_T: the same of ends.
        iou_LT: float32 in [0, 1], temporal intersection over union of the stretch of l + 1 positions that
            begins with position t and the segment that it covers best; 0 where it would leave the grid.
    """

    start_T: NDArray[np.float32]
    end_T: NDArray[np.float32]
    iou_LT: NDArray[np.float32]


def label_boundaries(segments_S2: NDArray[np.float64], num_positions: int) -> BoundaryLabels:
    """Turn segments into what boundary-matching networks are trained on.

    The region of a boundary is three positions wide and has the boundary in its middle. A video without
    segments has labels of zero.

    Args:
        segments_S2: start and end as shares of the video, in [0, 1].
        num_positions: T.

    Reference: BMN (Lin et al., 2019), section 3.4.
    """
    half = BOUNDARY_POSITIONS / 2 / num_positions
    lefts_T = np.arange(num_positions) / num_positions
    length_L1 = (np.arange(num_positions)[:, None] + 1) / num_positions
    is_inside_LT = np.add.outer(np.arange(num_positions), np.arange(num_positions)) < num_positions
    iou_LT = np.zeros((num_positions, num_positions))
    for start, end in segments_S2:
        np.maximum(iou_LT, _measure_iou(lefts_T[None], lefts_T[None] + length_L1, start, end), out=iou_LT)
    starts_S, ends_S = segments_S2[:, 0], segments_S2[:, 1]
    return BoundaryLabels(
        start_T=_cover(lefts_T, num_positions, starts_S - half, starts_S + half),
        end_T=_cover(lefts_T, num_positions, ends_S - half, ends_S + half),
        iou_LT=(iou_LT * is_inside_LT).astype(np.float32),
    )


def relate_segments(segments_S2: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Turn seconds into shares of a video; what lies outside it is cut off, and what is left of nothing goes.

    Args:
        segments_S2: start and end in seconds.
        seconds: length of the video.
    """
    shares_S2 = np.clip(segments_S2.reshape(-1, 2) / seconds, 0.0, 1.0)
    kept_S2: NDArray[np.float64] = shares_S2[shares_S2[:, 1] > shares_S2[:, 0]]
    return kept_S2


def _measure_iou(
    lefts: NDArray[np.float64], rights: NDArray[np.float64], start: float, end: float
) -> NDArray[np.float64]:
    shared = np.maximum(0.0, np.minimum(rights, end) - np.maximum(lefts, start))
    iou: NDArray[np.float64] = shared / (rights - lefts + end - start - shared)
    return iou


def _cover(
    lefts_T: NDArray[np.float64],
    num_positions: int,
    region_left_S: NDArray[np.float64],
    region_right_S: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the share of every position that lies within the region that covers it best."""
    rights_T = lefts_T + 1 / num_positions
    shared_ST = np.minimum(rights_T, region_right_S[:, None]) - np.maximum(lefts_T, region_left_S[:, None])
    shares_ST = np.clip(shared_ST * num_positions, 0.0, 1.0)
    best_T: NDArray[np.float32] = shares_ST.max(axis=0, initial=0.0).astype(np.float32)
    return best_T
