import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.test_clips import LENGTHS, frames_of
from unreel.data.segments import SegmentFrames
from unreel.data.spaced_frames import SpacedFrames


@given(num_frames=st.integers(1, 10_000), count=st.integers(2, 60))
def test_frames_are_those_of_the_formula_in_exact_arithmetic(num_frames: int, count: int) -> None:
    # Counted from 1: the i-th of N is 1 + i (F - 1) / (N - 1), halves up.
    exact = [1 + Fraction(i * (num_frames - 1), count - 1) for i in range(count)]
    expected = [[math.floor(value + Fraction(1, 2)) - 1] for value in exact]
    assert frames_of(SpacedFrames(count), num_frames).tolist() == expected


@given(num_frames=st.integers(1, 20_000))
def test_thirty_frames_need_no_rule_for_halves_and_are_numpys(num_frames: int) -> None:
    # i (F - 1) / 29 = k + 1/2 would make 2 i (F - 1) = 29 (2 k + 1), an even number equal to an odd one.
    expected = np.round(np.linspace(1, num_frames, 30)).astype(np.int64) - 1
    assert frames_of(SpacedFrames(30), num_frames)[:, 0].tolist() == expected.tolist()


def test_halves_are_rounded_up() -> None:
    # linspace(1, 2, 3) is 1, 1.5, 2 and linspace(1, 4, 3) is 1, 2.5, 4: from 0, the middles are 1 and 2.
    assert frames_of(SpacedFrames(3), 2).tolist() == [[0], [1], [1]]
    assert frames_of(SpacedFrames(3), 4).tolist() == [[0], [2], [3]]


def test_frames_by_hand() -> None:
    # F = 100: 99 / 29 = 3.4138 between two; 3.41, 6.83, 10.24 become 3, 7, 10.
    frames = frames_of(SpacedFrames(30), 100)[:, 0].tolist()
    assert frames[:4] == [0, 3, 7, 10]
    assert frames[-2:] == [96, 99]


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_the_first_and_the_last_frame_are_among_them_and_gaps_differ_by_one_at_most(count: int) -> None:
    for num_frames in LENGTHS:
        frames = frames_of(SpacedFrames(count), num_frames)
        assert frames.shape == (count, 1)
        assert frames.dtype == np.int64
        assert (frames[0, 0], frames[-1, 0]) == (0, num_frames - 1)
        gaps = np.diff(frames[:, 0])
        assert gaps.max() - gaps.min() <= 1


@given(num_frames=st.integers(1, 30))
def test_a_short_video_shows_all_its_frames(num_frames: int) -> None:
    frames = frames_of(SpacedFrames(30), num_frames)[:, 0]
    assert sorted(set(frames.tolist())) == list(range(num_frames))
    counts = np.bincount(frames)
    assert counts.max() <= counts.min() * 2 + 1


def test_thirty_times_the_only_frame() -> None:
    assert frames_of(SpacedFrames(30), 1).tolist() == [[0]] * 30


def test_a_single_frame_is_the_middle_one_as_of_one_segment() -> None:
    assert [frames_of(SpacedFrames(1), length).tolist() for length in (1, 2, 3, 9, 10)] == [
        [[0]],
        [[1]],
        [[1]],
        [[4]],
        [[5]],
    ]
    for length in LENGTHS:
        segment = frames_of(SegmentFrames(1, jitter=False), length)
        assert frames_of(SpacedFrames(1), length).tolist() == segment.tolist()


def test_no_chance_is_used() -> None:
    assert frames_of(SpacedFrames(7), 50, 1).tolist() == frames_of(SpacedFrames(7), 50, 2).tolist()
    assert SpacedFrames(7).num_clips == 7


def test_a_video_without_frames_and_no_frame_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(SpacedFrames(30), 0)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        SpacedFrames(0)
