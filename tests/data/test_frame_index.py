"""A frame index survives its compact row, and says where decoding may start."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.frame_index import FrameIndex

ROW_COLUMNS = {
    "frames",
    "first_pts",
    "pts_step_num",
    "pts_step_den",
    "frame_pts",
    "key_frames",
    "time_base_num",
    "time_base_den",
}


def make_index(pts: list[int], key_frames: list[int] | None = None) -> FrameIndex:
    keys = np.array([0] if key_frames is None else key_frames, np.int64)
    return FrameIndex(np.array(pts, np.int64), keys, (1, 1000))


def assert_same_after_row(index: FrameIndex) -> dict[str, object]:
    row = index.to_row()
    assert row.keys() == ROW_COLUMNS
    again = FrameIndex.from_row(row)
    assert again.pts.tolist() == index.pts.tolist()
    assert again.pts.dtype == again.key_frames.dtype == np.int64
    assert again.key_frames.tolist() == index.key_frames.tolist()
    assert again.time_base == index.time_base
    return row


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=30))
def test_any_timestamps_survive_a_row(pts: list[int]) -> None:
    assert_same_after_row(make_index(pts))


@given(
    st.integers(-(2**40), 2**40),
    st.fractions(min_value=Fraction(1), max_value=Fraction(10**5), max_denominator=1001),
    st.integers(2, 300),
)
def test_a_rounded_line_survives_a_row(first: int, step: Fraction, num_frames: int) -> None:
    # Rounded as containers do it: to the nearest tick, halves up.
    pts = [
        first + (2 * number * step.numerator + step.denominator) // (2 * step.denominator)
        for number in range(num_frames)
    ]
    assert_same_after_row(make_index(pts))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Fraction(512), (512, 1)),  # MP4 at 25 frames per second: 12800 ticks / 25
        (Fraction(1001, 30), (1001, 30)),  # Matroska at 29.97: 33.3667 milliseconds
        (Fraction(125, 3), (125, 3)),  # Matroska at 24: 41.6667 milliseconds
    ],
)
def test_usual_frame_rates_need_three_numbers(step: Fraction, expected: tuple[int, int]) -> None:
    pts = [7 + int(number * step + Fraction(1, 2)) for number in range(2000)]
    row = assert_same_after_row(make_index(pts))
    assert row["frame_pts"] == []
    assert row["first_pts"] == 7
    assert (row["pts_step_num"], row["pts_step_den"]) == expected


def test_worked_line() -> None:
    # 3 + floor((i * 5 + 1) / 3) for i = 0, 1, 2, 3: 3 + 0, 3 + 2, 3 + 3, 3 + 5.
    row = {**make_index([0]).to_row(), "frames": 4, "first_pts": 3, "pts_step_num": 5, "pts_step_den": 3}
    assert FrameIndex.from_row(row).pts.tolist() == [3, 5, 6, 8]


@pytest.mark.parametrize("pts", [[0, 40, 80, 160], [0, 40, 40, 80], [2, 3, 5, 4], [5, 4, 3, 2]])
def test_timestamps_that_are_no_line_are_written_out(pts: list[int]) -> None:
    row = assert_same_after_row(make_index(pts))
    assert row["frame_pts"] == pts
    assert (row["pts_step_num"], row["pts_step_den"]) == (0, 1)


def test_a_single_frame_and_no_frame_survive_a_row() -> None:
    assert assert_same_after_row(make_index([9]))["first_pts"] == 9
    assert assert_same_after_row(make_index([], []))["frames"] == 0


@given(st.sets(st.integers(0, 50)), st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_the_last_key_frame_before_a_frame_is_found(keys: set[int], frames: list[int]) -> None:
    index = make_index(list(range(61)), sorted(keys))
    expected = [max((key for key in keys if key <= frame), default=-1) for frame in frames]
    assert index.find_key_frames(np.array(frames, np.int64)).tolist() == expected


def test_times_rise_even_where_labels_do_not() -> None:
    assert make_index([20, 30, 50, 40]).timestamps_sec() == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert make_index([], []).timestamps_sec().tolist() == []


def test_an_index_without_key_frames_cannot_address_frames() -> None:
    assert make_index([0, 1]).is_addressable
    assert not make_index([0, 1], []).is_addressable
