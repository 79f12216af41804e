import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.boundary_labels import label_boundaries, relate_segments

sizes = st.integers(2, 12)


def draw_segments(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sort(rng.random((count, 2)), axis=1)


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


@given(sizes, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_labels_are_those_of_the_definition_position_by_position(size: int, count: int, seed: int) -> None:
    segments = draw_segments(np.random.default_rng(seed), count)
    labels = label_boundaries(segments, size)
    for place in range(size):
        position = (place / size, (place + 1) / size)
        for side, found in enumerate((labels.start_T, labels.end_T)):
            regions = [(float(s[side]) - 1.5 / size, float(s[side]) + 1.5 / size) for s in segments]
            expected = max(overlap(position, region) for region in regions) * size
            assert found[place] == pytest.approx(min(expected, 1.0), abs=1e-6)
        for length in range(1, size + 1):
            stretch = (place / size, (place + length) / size)
            shares = []
            for start, end in segments.tolist():
                shared = overlap(stretch, (start, end))
                shares.append(shared / (stretch[1] - stretch[0] + end - start - shared))
            expected = max(shares) if place + length <= size else 0.0
            assert labels.iou_LT[length - 1, place] == pytest.approx(expected, abs=1e-6)


def test_a_worked_video() -> None:
    """Grid of 10; the segment is [0.2, 0.5], positions 2, 3 and 4.

    The region of its start is [0.05, 0.35]: half of position 0, all of 1 and 2, half of 3.
    """
    labels = label_boundaries(np.array([[0.2, 0.5]]), 10)
    assert labels.start_T == pytest.approx([0.5, 1, 1, 0.5, 0, 0, 0, 0, 0, 0], abs=1e-6)
    assert labels.end_T == pytest.approx([0, 0, 0, 0.5, 1, 1, 0.5, 0, 0, 0], abs=1e-6)
    assert labels.iou_LT[2, 2] == pytest.approx(1.0)
    assert labels.iou_LT[1, 2] == pytest.approx(2 / 3)
    assert labels.iou_LT[2, 3] == pytest.approx(2 / 4)
    assert labels.iou_LT[9, 0] == pytest.approx(3 / 10)
    assert labels.iou_LT[0, 6] == 0.0
    assert {array.dtype for array in (labels.start_T, labels.end_T, labels.iou_LT)} == {np.dtype(np.float32)}


def test_time_reversed_swaps_starts_and_ends() -> None:
    segments = draw_segments(np.random.default_rng(3), 3)
    labels, mirrored = label_boundaries(segments, 9), label_boundaries(1 - segments[:, ::-1], 9)
    assert mirrored.start_T == pytest.approx(labels.end_T[::-1], abs=1e-6)
    for length in range(9):
        kept = 9 - length
        assert mirrored.iou_LT[length, :kept] == pytest.approx(labels.iou_LT[length, :kept][::-1], abs=1e-6)


def test_a_video_without_segments_has_labels_of_zero() -> None:
    labels = label_boundaries(np.empty((0, 2)), 5)
    assert not labels.start_T.any()
    assert not labels.end_T.any()
    assert not labels.iou_LT.any()


def test_what_lies_outside_the_video_is_cut_off() -> None:
    shares = relate_segments(np.array([[-1.0, 2.0], [3.0, 9.0], [4.5, 6.0], [0.0, 4.0]]), 4.0)
    assert shares.tolist() == [[0.0, 0.5], [0.75, 1.0], [0.0, 1.0]]
    assert relate_segments(np.empty((0, 2)), 4.0).shape == (0, 2)
