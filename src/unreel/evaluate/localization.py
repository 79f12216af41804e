"""Average recall of proposals: how many segments are found when every video may propose so many stretches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.evaluate.soft_nms import measure_iou

# V videos, S segments and P proposals of a video, A average numbers of proposals, I thresholds of tIoU

THRESHOLDS = tuple((50 + 5 * step) / 100 for step in range(10))
"""tIoU above which a segment counts as found: 0.5, 0.55, ..., 0.95."""

MOST_PROPOSALS = 100
"""Largest average number of proposals per video."""

SHOWN_NUMBERS = (1, 5, 10, 50, 100)
"""Average numbers of proposals that are reported."""


@dataclass(frozen=True)
class AverageRecall:
    """How well proposals find segments.

    Attributes:
        videos: videos with segments.
        segments: of all of these.
        proposals: of these videos, all in all.
        videos_without_proposals: of these videos, those that have none: all their segments are missed.
        recall_IA: share of the segments that are found at a threshold of tIoU and an average number of
            proposals per video of 1 to 100.
        auc: area under the average recall over these numbers, divided by the largest, in percent; 99 when all
            is found at once.
    """

    videos: int
    segments: int
    proposals: int
    videos_without_proposals: int
    recall_IA: NDArray[np.float64]
    auc: float

    @property
    def mean_recall(self) -> NDArray[np.float64]:
        """Recall at 1 to 100 proposals per video, the mean over thresholds."""
        recall_A: NDArray[np.float64] = self.recall_IA.mean(axis=0)
        return recall_A

    def average_recall(self, number: int) -> float:
        """Return AR@number, in [0, 1]."""
        return float(self.mean_recall[number - 1])

    def recall_at(self, number: int) -> dict[float, float]:
        """Return the recall at every threshold, in [0, 1]."""
        return dict(zip(THRESHOLDS, self.recall_IA[:, number - 1].tolist(), strict=True))


def measure_average_recall(
    segments: Sequence[NDArray[np.float64]], proposals: Sequence[NDArray[np.float64]]
) -> AverageRecall:
    """Measure the average recall as ActivityNet defines it.

    For an average number of proposals per video, every video keeps the same share of its own, best first and
    rounded down, so that there are so many on average: videos with more proposals keep more. A segment is
    found when one of those kept has a tIoU with it of at least the threshold. Shares are counted in whole
    numbers, where the published program's floating-point numbers now and then lose a proposal.

    Args:
        segments: (S, 2) per video, at least one each.
        proposals: (P, 2) per video, in the same unit, the best first.

    Raises:
        ValueError: there is no video, or one without segments.

    Reference: ActivityNet challenge, task of temporal action proposals; BMN (Lin et al., 2019), section 4.1.
    """
    if not segments or not all(map(len, segments)):
        raise ValueError("the recall of proposals needs videos that all have segments; leave out the others")
    num_videos, total = len(segments), sum(map(len, proposals))
    wanted = MOST_PROPOSALS * num_videos
    retrieved_V = [min(len(own) * wanted // total, len(own)) if total else 0 for own in proposals]
    num_retrieved = sum(retrieved_V)
    found_IA = np.zeros((len(THRESHOLDS), MOST_PROPOSALS))
    for truth_S2, own_P2, retrieved in zip(segments, proposals, retrieved_V, strict=True):
        if not retrieved:
            continue
        # Every segment's best tIoU with the first proposals, however many.
        iou_PS = measure_iou(own_P2[:retrieved], truth_S2)
        best_PS = np.vstack([np.zeros(len(truth_S2)), np.maximum.accumulate(iou_PS, axis=0)])
        kept_A = [
            min(retrieved * number * num_videos // num_retrieved, retrieved)
            for number in range(1, MOST_PROPOSALS + 1)
        ]
        found_IA += (best_PS[kept_A] >= np.array(THRESHOLDS)[:, None, None]).sum(axis=2)
    num_segments = sum(map(len, segments))
    recall_IA = found_IA / num_segments
    area = float(np.trapezoid(recall_IA.mean(axis=0), np.arange(1, MOST_PROPOSALS + 1)))
    return AverageRecall(
        videos=num_videos,
        segments=num_segments,
        proposals=total,
        videos_without_proposals=sum(not len(own) for own in proposals),
        recall_IA=recall_IA,
        auc=100 * area / MOST_PROPOSALS,
    )


def recall_to_json(measured: AverageRecall) -> dict[str, object]:
    """Return what is measured as plain numbers; recall as shares, the area in percent."""
    shown: Mapping[int, float] = {number: measured.average_recall(number) for number in SHOWN_NUMBERS}
    return {
        "videos": measured.videos,
        "segments": measured.segments,
        "proposals": measured.proposals,
        "videos_without_proposals": measured.videos_without_proposals,
        "average_recall": {str(number): value for number, value in shown.items()},
        "auc": measured.auc,
        "recall_at_100": {f"{threshold:.2f}": value for threshold, value in measured.recall_at(100).items()},
        "average_recall_curve": measured.mean_recall.tolist(),
    }
