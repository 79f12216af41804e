from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.test_soft_nms import iou_slowly
from unreel.evaluate.localization import THRESHOLDS, measure_average_recall, recall_to_json
from unreel.evaluate.proposals import propose_uniformly

Videos = list[np.ndarray]


def measure_slowly(segments: Videos, proposals: Videos) -> tuple[list[list[float]], float]:
    """Count as the definition says: video by video, threshold by threshold, number by number."""
    num_videos, total = len(segments), sum(len(own) for own in proposals)
    share = Fraction(100 * num_videos, total) if total else Fraction(0)
    retrieved = [own[: min(int(len(own) * share), len(own))].tolist() for own in proposals]
    num_retrieved = sum(map(len, retrieved))
    recall = []
    for threshold in THRESHOLDS:
        row = []
        for number in range(1, 101):
            found = count = 0
            for truth, own in zip(segments, retrieved, strict=True):
                kept = own
                if own:
                    kept = own[: int(len(own) * Fraction(number * num_videos, num_retrieved))]
                for segment in truth.tolist():
                    count += 1
                    found += any(iou_slowly(segment, proposal) >= threshold for proposal in kept)
            row.append(found / count)
        recall.append(row)
    average = [sum(column) / 10 for column in zip(*recall, strict=True)]
    area = sum((left + right) / 2 for left, right in pairwise(average))
    return recall, 100 * area / 100


def draw(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sort(rng.random((count, 2)), axis=1)


@given(st.integers(1, 4), st.integers(0, 2**32 - 1), st.integers(1, 250))
def test_recall_is_counted_as_defined(num_videos: int, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    segments = [draw(rng, rng.integers(1, 4)) for _ in range(num_videos)]
    proposals = [draw(rng, rng.integers(0, most)) for _ in range(num_videos)]
    measured = measure_average_recall(segments, proposals)
    recall, auc = measure_slowly(segments, proposals)
    assert np.allclose(measured.recall_IA, recall)
    assert measured.auc == pytest.approx(auc)
    assert measured.proposals == sum(map(len, proposals))
    assert measured.videos_without_proposals == sum(not len(own) for own in proposals)


def test_the_right_answer_first_finds_everything() -> None:
    """Recall is 1 from one proposal on: the area from 1 to 100 is 99, of 100."""
    segments = [np.array([[0.1, 0.4]]), np.array([[0.5, 0.9]])]
    rest = draw(np.random.default_rng(0), 99)
    measured = measure_average_recall(segments, [np.vstack([truth, rest]) for truth in segments])
    assert measured.recall_IA.min() == 1.0
    assert measured.auc == pytest.approx(99.0)


def test_a_worked_case() -> None:
    """Two segments in one video of 100 proposals; the third covers the first with tIoU 0.8, none the second.

    Found at 0.5 ... 0.8, which are 7 of 10 thresholds: half of 0.7 = 0.35 from 3 proposals on. The trapezoids
    from 2 to 3 have 0.175 and from 3 to 100 97 * 0.35.
    """
    segments = [np.array([[0.0, 0.5], [0.9, 1.0]])]
    proposals = np.tile([[0.6, 0.61]], (100, 1))
    proposals[2] = [0.1, 0.5]
    measured = measure_average_recall(segments, [proposals])
    assert measured.average_recall(2) == 0.0
    assert measured.average_recall(3) == pytest.approx(0.35)
    assert measured.average_recall(100) == pytest.approx(0.35)
    assert measured.auc == pytest.approx(0.175 + 97 * 0.35)
    assert measured.recall_at(100)[0.8] == 0.5
    assert measured.recall_at(100)[0.85] == 0.0


def test_a_video_keeps_the_same_share_of_its_own_proposals() -> None:
    """30 and 10 proposals, 20 on average: at an average of 10 each keeps half, so 15 and 5."""
    segments = [np.array([[0.0, 0.1]]), np.array([[0.0, 0.1]])]
    for place, is_found in ((14, True), (15, False)):
        own = np.tile([[0.5, 0.6]], (30, 1))
        own[place] = [0.0, 0.1]
        measured = measure_average_recall(segments, [own, np.tile([[0.5, 0.6]], (10, 1))])
        assert measured.average_recall(10) == 0.5 * is_found
        assert measured.average_recall(20) == 0.5
    # Beyond what there is, nothing is added.
    assert measured.average_recall(100) == 0.5


def test_the_order_of_videos_does_not_matter_and_that_of_proposals_does() -> None:
    rng = np.random.default_rng(5)
    segments, proposals = [draw(rng, 2) for _ in range(5)], [draw(rng, 100) for _ in range(5)]
    measured = measure_average_recall(segments, proposals)
    turned = measure_average_recall(segments[::-1], proposals[::-1])
    assert np.array_equal(measured.recall_IA, turned.recall_IA)
    assert (np.diff(measured.mean_recall) >= 0).all()
    best_first = [
        own[np.argsort([-max(iou_slowly(p, s) for s in truth.tolist()) for p in own.tolist()])]
        for truth, own in zip(segments, proposals, strict=True)
    ]
    assert measure_average_recall(segments, best_first).auc > measured.auc + 5


def test_a_proposal_of_exactly_the_threshold_counts() -> None:
    """tIoU of [0, 3] and [0, 4] is 0.75, which both floats hold exactly."""
    measured = measure_average_recall([np.array([[0.0, 4.0]])], [np.array([[0.0, 3.0]])])
    assert [bool(value) for value in measured.recall_at(1).values()] == [True] * 6 + [False] * 4


def test_uniform_proposals_find_long_segments_and_miss_short_ones() -> None:
    proposals = [propose_uniformly(str(number)).segments_K2 for number in range(40)]
    long = measure_average_recall([np.array([[0.2, 0.8]])] * 40, proposals)
    short = measure_average_recall([np.array([[0.5, 0.53]])] * 40, proposals)
    assert long.average_recall(100) > 0.8
    assert short.average_recall(100) < 0.1


@pytest.mark.parametrize("segments", [[], [np.empty((0, 2))]])
def test_videos_without_segments_are_refused(segments: Videos) -> None:
    with pytest.raises(ValueError, match="needs videos that all have segments"):
        measure_average_recall(segments, [np.array([[0.0, 1.0]])] * len(segments))


def test_the_numbers_are_kept_as_json() -> None:
    values = recall_to_json(measure_average_recall([np.array([[0.0, 4.0]])], [np.array([[0.0, 3.0]])]))
    assert values["average_recall"] == {str(number): pytest.approx(0.6) for number in (1, 5, 10, 50, 100)}
    assert values["recall_at_100"]["0.75"] == 1.0  # type: ignore[index]
    assert len(values["average_recall_curve"]) == 100  # type: ignore[arg-type]
    assert (values["videos"], values["segments"], values["proposals"]) == (1, 1, 1)
