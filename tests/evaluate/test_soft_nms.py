import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.evaluate.soft_nms import measure_iou, suppress_softly


def draw(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.random((count, 2)), axis=1), rng.random(count)


def iou_slowly(a: list[float], b: list[float]) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    joint = a[1] - a[0] + b[1] - b[0] - shared
    return shared / joint if joint > 0 else 0.0


def suppress_slowly(segments: list[list[float]], scores: list[float], top: int) -> list[tuple[list, float]]:
    left = list(zip(segments, scores, strict=True))
    kept: list[tuple[list, float]] = []
    while left and len(kept) < top:
        best = max(range(len(left)), key=lambda place: left[place][1])
        chosen, score = left.pop(best)
        kept.append((chosen, score))
        limit = 0.5 + 0.4 * (chosen[1] - chosen[0])
        for place, (other, old) in enumerate(left):
            iou = iou_slowly(chosen, other)
            if iou > limit:
                left[place] = (other, old * math.exp(-(iou**2) / 0.4))
    return kept


@given(st.integers(0, 2**32 - 1), st.integers(0, 15), st.integers(1, 15))
def test_the_best_is_taken_and_the_rest_weakened_again_and_again(seed: int, count: int, top: int) -> None:
    segments, scores = draw(seed, count)
    found = suppress_softly(segments, scores, top=top)
    expected = suppress_slowly(segments.tolist(), scores.tolist(), top)
    assert found.segments_K2.tolist() == [segment for segment, _ in expected]
    assert found.scores_K == pytest.approx([score for _, score in expected])


def test_a_worked_case() -> None:
    """[0, 0.4] weakens [0, 0.3] (tIoU 0.75 > 0.66) by exp(-0.5625 / 0.4) = 0.245, not [0.1, 0.5] (0.6)."""
    segments = np.array([[0.0, 0.3], [0.1, 0.5], [0.0, 0.4], [0.6, 0.9]])
    found = suppress_softly(segments, np.array([0.8, 0.5, 0.9, 0.1]))
    assert found.segments_K2.tolist() == [[0.0, 0.4], [0.1, 0.5], [0.0, 0.3], [0.6, 0.9]]
    assert found.scores_K == pytest.approx([0.9, 0.5, 0.8 * math.exp(-0.5625 / 0.4), 0.1])


def test_scores_only_fall_and_come_in_order() -> None:
    segments, scores = draw(1, 40)
    found = suppress_softly(segments, scores, top=40)
    assert (np.diff(found.scores_K) <= 0).all()
    assert sorted(map(tuple, found.segments_K2.tolist())) == sorted(map(tuple, segments.tolist()))
    before = {tuple(segment): score for segment, score in zip(segments.tolist(), scores, strict=True)}
    for segment, score in zip(found.segments_K2.tolist(), found.scores_K, strict=True):
        assert score <= before[tuple(segment)]


def test_long_proposals_tolerate_more() -> None:
    """A pair with tIoU 0.8 is weakened when it is short (0.5 + 0.4 * 0.1 = 0.54) and kept when it is long."""
    short = np.array([[0.0, 0.1], [0.0, 0.08]])
    assert suppress_softly(short, np.array([1.0, 0.5])).scores_K[1] < 0.2
    long = np.array([[0.0, 1.0], [0.0, 0.8]])
    assert suppress_softly(long, np.array([1.0, 0.5])).scores_K[1] == 0.5


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_iou_is_symmetric_bounded_and_as_defined(seed: int, left: int, right: int) -> None:
    segments, others = draw(seed, left)[0], draw(seed + 1, right)[0]
    found = measure_iou(segments, others)
    assert found.shape == (left, right)
    assert np.allclose(found, measure_iou(others, segments).T)
    for row, segment in enumerate(segments.tolist()):
        for column, other in enumerate(others.tolist()):
            assert found[row, column] == pytest.approx(iou_slowly(segment, other))


def test_stretches_without_length_share_nothing() -> None:
    point = np.array([[0.5, 0.5]])
    assert measure_iou(point, point).tolist() == [[0.0]]
    assert suppress_softly(np.empty((0, 2)), np.empty(0)).segments_K2.shape == (0, 2)
