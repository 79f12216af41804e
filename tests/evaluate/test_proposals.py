import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.test_soft_nms import suppress_slowly
from unreel.evaluate.proposals import find_candidates, propose, propose_uniformly

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw(seed: int, size: int) -> Arrays:
    rng = np.random.default_rng(seed)
    shapes = ((size,), (size,), (size, size), (size, size))
    return tuple(rng.random(shape).astype(np.float32) for shape in shapes)  # type: ignore[return-value]


def propose_slowly(scores: Arrays, top: int) -> list[tuple[list, float]]:
    """Follow the published inference pair by pair."""
    start, end, regression, classification = (array.astype(float).tolist() for array in scores)
    size = len(start)
    start_bins, end_bins = [0] * size, [0] * size
    start_bins[0] = end_bins[-1] = 1
    for place in range(1, size - 1):
        for values, bins in ((start, start_bins), (end, end_bins)):
            is_peak = values[place] > values[place + 1] and values[place] > values[place - 1]
            if is_peak or values[place] > 0.5 * max(values):
                bins[place] = 1
    segments, found = [], []
    for length in range(size):
        for first in range(size):
            last = first + length + 1
            if last < size and start_bins[first] and end_bins[last]:
                segments.append([first / size, last / size])
                found.append(start[first] * end[last] * regression[length][first])
                found[-1] *= classification[length][first]
    return suppress_slowly(segments, found, top)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 12))
def test_proposals_are_those_of_the_published_inference(seed: int, size: int, top: int) -> None:
    scores = draw(seed, size)
    found = propose(*scores, top=top)
    expected = propose_slowly(scores, top)
    assert found.scores_K == pytest.approx([score for _, score in expected], rel=1e-5)
    assert found.segments_K2.tolist() == pytest.approx(np.array([segment for segment, _ in expected]))


def test_candidates_are_peaks_and_what_is_above_half_the_highest() -> None:
    # 0.3 at 2 is a peak; 5 and 6 are above 0.5 * 0.9, of which 6 is no peak; the borders are left alone.
    score = np.array([0.9, 0.1, 0.3, 0.2, 0.2, 0.8, 0.5, 0.4, 0.7], dtype=np.float32)
    assert find_candidates(score).tolist() == [2, 5, 6]
    assert find_candidates(np.array([0.1, 0.2], dtype=np.float32)).tolist() == []


def test_a_video_without_peaks_still_has_a_proposal() -> None:
    flat = np.zeros(5, dtype=np.float32)
    found = propose(flat, flat, np.zeros((5, 5), np.float32), np.zeros((5, 5), np.float32))
    assert found.segments_K2.tolist() == [[0.0, 0.8]]
    assert found.scores_K.tolist() == [0.0]


def test_a_clear_segment_comes_first() -> None:
    start, end = np.full(10, 0.01, np.float32), np.full(10, 0.01, np.float32)
    start[3], end[7] = 0.9, 0.9
    quality = np.full((10, 10), 0.1, np.float32)
    quality[3, 3] = 0.9
    found = propose(start, end, quality, quality)
    assert found.segments_K2[0].tolist() == [0.3, 0.7]
    assert found.scores_K[0] == pytest.approx(0.9**4)


def test_uniform_proposals_depend_on_video_and_seed_alone() -> None:
    found = propose_uniformly("a", count=50)
    assert found.segments_K2.shape == (50, 2)
    assert ((found.segments_K2 >= 0) & (found.segments_K2 <= 1)).all()
    assert (found.segments_K2[:, 0] <= found.segments_K2[:, 1]).all()
    assert (np.diff(found.scores_K) < 0).all()
    assert np.array_equal(found.segments_K2, propose_uniformly("a", count=50).segments_K2)
    assert not np.array_equal(found.segments_K2, propose_uniformly("b", count=50).segments_K2)
    assert not np.array_equal(found.segments_K2, propose_uniformly("a", count=50, seed=1).segments_K2)


def test_uniform_proposals_are_uniform() -> None:
    """The ends of two uniform draws lie at 1/3 and 2/3 on average."""
    segments = np.concatenate([propose_uniformly(str(number)).segments_K2 for number in range(100)])
    assert segments.mean(axis=0) == pytest.approx([1 / 3, 2 / 3], abs=0.01)
