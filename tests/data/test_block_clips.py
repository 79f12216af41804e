import itertools
import tracemalloc

import numpy as np
import pytest

from tests.data.test_clips import LENGTHS, POLICIES, frames_of
from unreel.data.block_clips import BlockClips, BlocksAndSegmentClips
from unreel.data.clips import ClipSampling
from unreel.data.segment_clips import SegmentClips
from unreel.seeding import build_generator

SIZES = list(itertools.product((1, 2, 4), (1, 3), (1, 2, 3), POLICIES))
RULES: list[ClipSampling] = [
    *(BlockClips(*size) for size in SIZES),
    *(
        BlocksAndSegmentClips(blocks, segments, frames, stride, policy)
        for (blocks, frames, stride, policy), segments in itertools.product(SIZES[::5], (0, 1, 3))
    ),
    BlocksAndSegmentClips(num_blocks=0),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_frame_lies_in_the_video(rule: ClipSampling) -> None:
    for num_frames, draw in itertools.product(LENGTHS, range(3)):
        plan = rule.sample(num_frames, build_generator(num_frames, draw))
        assert plan.frames_NT.dtype == np.int64
        assert plan.num_clips == rule.num_clips == len(plan.frames_NT)
        assert plan.frames_NT.min() >= 0
        assert plan.frames_NT.max() < num_frames


@pytest.mark.parametrize("rule", [BlockClips(), BlocksAndSegmentClips()], ids=str)
def test_the_same_generator_gives_the_same_plan(rule: ClipSampling) -> None:
    assert np.array_equal(frames_of(rule, 300, 1), frames_of(rule, 300, 1))
    assert not np.array_equal(frames_of(rule, 300, 1), frames_of(rule, 300, 2))


@pytest.mark.parametrize("rule", [BlockClips(), BlocksAndSegmentClips()], ids=str)
def test_a_video_without_frames_is_refused(rule: ClipSampling) -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(rule, 0)


@pytest.mark.parametrize("name", ["num_blocks", "num_frames", "frame_stride"])
def test_impossible_settings_of_blocks_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        BlockClips(**{name: 0})


def test_a_plan_without_any_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="num_blocks and num_segments are both 0"):
        BlocksAndSegmentClips(num_blocks=0, num_segments=0)
    with pytest.raises(ValueError, match="num_segments must be at least 0, got -1"):
        BlocksAndSegmentClips(num_segments=-1)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        BlocksAndSegmentClips(num_frames=0)


def test_the_defaults_are_eight_blocks_of_five_frames_three_apart() -> None:
    """Written out for a video with room for exactly one plan: (8 * 5 - 1) * 3 + 1 = 118 frames."""
    plan = frames_of(BlockClips(), 118)
    assert plan.shape == (8, 5)
    assert plan[0].tolist() == [0, 3, 6, 9, 12]
    assert plan[1].tolist() == [15, 18, 21, 24, 27]
    assert plan[7].tolist() == [105, 108, 111, 114, 117]


def test_blocks_follow_each_other_without_a_gap_and_without_sharing_a_frame() -> None:
    for draw in range(20):
        frames = frames_of(BlockClips(4, 3, 2), 60, draw).reshape(-1)
        assert (np.diff(frames) == 2).all()


def test_every_start_at_which_the_blocks_fit_comes_up_and_no_other() -> None:
    # 2 blocks of 3 frames, stride 2: a span of 11, so a video of 15 frames has starts 0 to 4.
    starts = [int(frames_of(BlockClips(2, 3, 2), 15, draw)[0, 0]) for draw in range(200)]
    assert set(starts) == {0, 1, 2, 3, 4}
    assert all(20 <= starts.count(start) <= 65 for start in range(5))


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (16, [[0, 3, 6], [9, 12, 15]]),
        (15, None),  # stride 2, a span of 11: five starts
        (11, [[0, 2, 4], [6, 8, 10]]),
        (6, [[0, 1, 2], [3, 4, 5]]),
        (4, [[0, 1, 2], [3, 3, 3]]),
        (1, [[0, 0, 0], [0, 0, 0]]),
    ],
)
def test_in_a_short_video_the_stride_shrinks_and_then_the_last_frame_stands_still(
    num_frames: int, expected: list[list[int]] | None
) -> None:
    plan = frames_of(BlockClips(2, 3, 3), num_frames)
    if expected is None:
        assert (np.diff(plan.reshape(-1)) == 2).all()
    else:
        assert plan.tolist() == expected


def test_time_never_runs_backwards_by_default() -> None:
    for num_frames in LENGTHS:
        assert (np.diff(frames_of(BlockClips(), num_frames).reshape(-1)) >= 0).all()


def test_a_short_video_may_start_again_instead() -> None:
    assert frames_of(BlockClips(2, 2, 1, "loop"), 3)[0].tolist() == [0, 1]
    assert frames_of(BlockClips(2, 2, 1, "loop"), 3)[1].tolist() == [2, 0]


def test_blocks_come_first_and_do_not_depend_on_the_segments_behind_them() -> None:
    for draw in range(5):
        blocks = frames_of(BlockClips(4, 5, 3), 200, draw)
        for segments in (0, 1, 3):
            plan = frames_of(BlocksAndSegmentClips(4, segments, 5, 3), 200, draw)
            assert np.array_equal(plan[:4], blocks)
            assert len(plan) == 4 + 2 * segments


def test_behind_the_blocks_every_segment_has_two_different_clips() -> None:
    # 300 frames in three segments of 100; clips of 5 frames, 3 apart.
    for draw in range(50):
        tuples = frames_of(BlocksAndSegmentClips(), 300, draw)[8:].reshape(2, 3, 5)
        assert (np.diff(tuples, axis=2) == 3).all()
        assert (tuples // 100 == np.arange(3)[None, :, None]).all()
        assert (tuples[0, :, 0] != tuples[1, :, 0]).all()


def test_without_blocks_the_clips_of_the_segments_are_left() -> None:
    plan = frames_of(BlocksAndSegmentClips(0, 3, 5, 3), 200, 7)
    assert np.array_equal(plan, frames_of(SegmentClips(3, 5, 3, "shrink_stride"), 200, 7))


def test_a_long_video_costs_no_more_memory_than_a_short_one() -> None:
    tracemalloc.start()
    for draw in range(20):
        assert BlocksAndSegmentClips().sample(100_000, build_generator(draw)).frames_NT.max() < 100_000
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
