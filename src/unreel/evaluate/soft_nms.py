"""Let the best proposal of a video weaken those that say the same."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# P proposals, K that are kept


class ScoredSegments(NamedTuple):
    """Stretches of one video, the best first.

    Attributes:
        segments_K2: float64, start and end.
        scores_K: float64, descending.
    """

    segments_K2: NDArray[np.float64]
    scores_K: NDArray[np.float64]


def suppress_softly(
    segments_P2: NDArray[np.float64],
    scores_P: NDArray[np.float64],
    *,
    alpha: float = 0.4,
    low_threshold: float = 0.5,
    high_threshold: float = 0.9,
    top: int = 100,
) -> ScoredSegments:
    """Take the best proposal again and again, and weaken what overlaps it: Gaussian soft suppression.

    A proposal of width w, as a share of the video, multiplies the score of every other one whose tIoU with it
    is above ``low_threshold + (high_threshold - low_threshold) * w`` by ``exp(-tIoU ** 2 / alpha)``. Of equal
    scores the first counts as better.

    Args:
        segments_P2: start and end as shares of the video.
        scores_P: any numbers that are not negative.
        alpha: the smaller, the harder an overlap counts.
        low_threshold: tIoU that the shortest proposals tolerate.
        high_threshold: tIoU that a proposal of the whole video tolerates.
        top: most proposals to keep.

    Reference: Soft-NMS (Bodla et al., 2017), section 3; BMN (Lin et al., 2019), section 3.5.
    """
    segments, scores = segments_P2.astype(np.float64), scores_P.astype(np.float64)
    is_left_P = np.ones(len(scores), dtype=bool)
    order: list[int] = []
    while len(order) < min(top, len(scores)):
        best = int(np.argmax(np.where(is_left_P, scores, -np.inf)))
        is_left_P[best] = False
        order.append(best)
        iou_P = measure_iou(segments, segments[best : best + 1])[:, 0]
        width = segments[best, 1] - segments[best, 0]
        tolerated = low_threshold + (high_threshold - low_threshold) * width
        is_weakened_P = is_left_P & (iou_P > tolerated)
        scores = np.where(is_weakened_P, scores * np.exp(-np.square(iou_P) / alpha), scores)
    kept = np.array(order, dtype=np.int64)
    return ScoredSegments(segments[kept], scores[kept])


def measure_iou(left_P2: NDArray[np.float64], right_S2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the temporal intersection over union of every pair, shape (P, S), in [0, 1].

    Stretches without length have a tIoU of 0, with themselves too.
    """
    starts_PS = np.maximum(left_P2[:, None, 0], right_S2[None, :, 0])
    ends_PS = np.minimum(left_P2[:, None, 1], right_S2[None, :, 1])
    shared_PS = np.maximum(0.0, ends_PS - starts_PS)
    lengths_P, lengths_S = left_P2[:, 1] - left_P2[:, 0], right_S2[:, 1] - right_S2[:, 0]
    joint_PS = lengths_P[:, None] + lengths_S[None] - shared_PS
    iou_PS: NDArray[np.float64] = shared_PS / np.where(joint_PS > 0, joint_PS, 1.0)
    return iou_PS
