import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.test_clips import LENGTHS, frames_of
from unreel.data.clips import ShortVideo, UniformClips
from unreel.data.offset_clips import OffsetClips


@given(num_frames=st.integers(64, 5000), count=st.integers(2, 12))
def test_starts_are_those_of_the_formula(num_frames: int, count: int) -> None:
    expected = []
    for k in range(count):
        start = k * ((num_frames - 64) // (count - 1))
        expected.append([start + 4 * time for time in range(16)])
    assert frames_of(OffsetClips(count, 16, 4), num_frames).tolist() == expected


def test_starts_by_hand_are_not_those_of_evenly_spaced_clips() -> None:
    # F = 300: floor(236 / 9) = 26, so 0, 26, ..., 234; spaced evenly the last would start at 236.
    assert frames_of(OffsetClips(10, 16, 4), 300)[:, 0].tolist() == list(range(0, 235, 26))
    assert frames_of(UniformClips(10, 16, 4), 300)[-1, 0] == 236


def test_a_single_clip_is_the_middle_one() -> None:
    assert frames_of(OffsetClips(1, 16, 4), 301)[0, 0] == 118  # floor(237 / 2)


@pytest.mark.parametrize("short_video", ["shrink_stride", "loop", "repeat_last"])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_every_frame_is_one_of_the_video(count: int, short_video: ShortVideo) -> None:
    for num_frames in LENGTHS:
        frames = frames_of(OffsetClips(count, 16, 4, short_video), num_frames)
        assert frames.shape == (count, 16)
        assert frames.dtype == np.int64
        assert frames.min() >= 0
        assert frames.max() < num_frames


def test_a_short_video_is_handled_as_in_all_tests() -> None:
    # 40 frames: stride 2 is the largest with 16 * stride <= 40, which leaves floor(8 / 9) = 0 between starts.
    assert frames_of(OffsetClips(10, 16, 4), 40).tolist() == [list(range(0, 32, 2))] * 10
    assert frames_of(OffsetClips(2, 16, 4), 40)[:, 0].tolist() == [0, 8]
    repeated = frames_of(OffsetClips(1, 4, 4, "repeat_last"), 6)
    assert repeated.tolist() == [[0, 4, 5, 5]]


@pytest.mark.parametrize("name", ["count", "num_frames", "frame_stride"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        OffsetClips(**{name: 0})


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(OffsetClips(), 0)
    assert OffsetClips(7).num_clips == 7
