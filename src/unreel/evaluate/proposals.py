"""From the scores of a boundary-matching network to the stretches that it proposes; and a floor for those."""

import numpy as np
from numpy.typing import NDArray

from unreel.evaluate.soft_nms import ScoredSegments, suppress_softly
from unreel.seeding import build_generator

# T positions, L lengths of a stretch (as many as T), P candidates

Scores = NDArray[np.float32]


def propose(
    start_T: Scores, end_T: Scores, regression_LT: Scores, classification_LT: Scores, *, top: int = 100
) -> ScoredSegments:
    """Combine the boundaries of one video to stretches, score them, and weaken what is said twice.

    Every candidate for a start goes with every later candidate for an end. A stretch from position s to
    before position e has the score ``start[s] * end[e] * regression[e - s - 1, s] * classification[e - s - 1,
    s]``.

    Args:
        start_T: probability that a segment starts at a position.
        end_T: probability that one ends there.
        regression_LT: tIoU of the stretch of l + 1 positions from t on, as the network sees it.
        classification_LT: probability that it covers a segment.
        top: most proposals to keep.

    Returns:
        Stretches as shares of the video, the best first.

    Reference: BMN (Lin et al., 2019), section 3.5.
    """
    size = len(start_T)
    starts, ends = find_candidates(start_T), find_candidates(end_T)
    # The first start and the last end are kept whatever their scores, so that no video is without a proposal.
    starts, ends = np.union1d(starts, [0]), np.union1d(ends, [size - 1])
    start_P, end_P = (side.ravel() for side in np.meshgrid(starts, ends, indexing="ij"))
    is_forward_P = end_P > start_P
    start_P, end_P = start_P[is_forward_P], end_P[is_forward_P]
    where = (end_P - start_P - 1, start_P)
    boundary_P = start_T[start_P].astype(np.float64) * end_T[end_P]
    scores_P = boundary_P * regression_LT[where] * classification_LT[where]
    return suppress_softly(np.stack([start_P, end_P], axis=1) / size, scores_P, top=top)


def find_candidates(score_T: Scores) -> NDArray[np.int64]:
    """Return the inner positions that are above both neighbours, or above half of the highest score."""
    inner = score_T[1:-1]
    is_peak = (inner > score_T[:-2]) & (inner > score_T[2:])
    return np.flatnonzero(is_peak | (inner > 0.5 * score_T.max())) + 1


def propose_uniformly(video_id: str, *, count: int = 100, seed: int = 0) -> ScoredSegments:
    """Return stretches that know nothing: both ends uniform over the video, in random order.

    What every localiser must beat. The draw depends on the video and the seed alone.

    Args:
        video_id: of the video.
        count: stretches.
        seed: of the draw.
    """
    segments_K2 = np.sort(build_generator(seed, "uniform proposals", video_id).random((count, 2)), axis=1)
    return ScoredSegments(segments_K2, np.arange(count, 0, -1) / count)
