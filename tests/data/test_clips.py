"""Every rule over every small length: indices in range, right strides, hand-worked values, uniform draws."""

import itertools
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from unreel.data.clips import (
    ClipSampling,
    FramePerPart,
    GridFrames,
    RandomClips,
    ShortVideo,
    UniformClips,
    WholeVideo,
)
from unreel.seeding import build_generator

LENGTHS = range(1, 41)
POLICIES: tuple[ShortVideo, ...] = ("shrink_stride", "loop", "repeat_last")


def frames_of(sampling: ClipSampling, num_frames: int, *key: int | str) -> np.ndarray:
    return sampling.sample(num_frames, build_generator("test", *key)).frames_NT


def all_rules() -> list[ClipSampling]:
    """Every rule with small settings, also larger than the shortest videos."""
    rules: list[ClipSampling] = []
    for frames, stride, policy in itertools.product((1, 2, 5), (1, 2, 3), POLICIES):
        rules.append(RandomClips(count=3, num_frames=frames, frame_stride=stride, short_video=policy))
        rules.append(RandomClips(2, frames, stride, reserved_frames=12, short_video=policy))
        rules.append(UniformClips(count=4, num_frames=frames, frame_stride=stride, short_video=policy))
    for frames, span, jitter in itertools.product((1, 3, 8), (0, 1, 7, 16), (True, False)):
        rules.append(FramePerPart(count=3, num_frames=frames, span_frames=span, jitter=jitter))
    rules += [WholeVideo(stride) for stride in (1, 2, 5)]
    rules += [GridFrames(count, every) for count in (1, 3) for every in (1, 4, 50)]
    return rules


@pytest.mark.parametrize("rule", all_rules(), ids=str)
def test_every_frame_lies_in_the_video(rule: ClipSampling) -> None:
    for num_frames in LENGTHS:
        for draw in range(3):
            plan = rule.sample(num_frames, build_generator(num_frames, draw))
            assert plan.frames_NT.dtype == np.int64
            assert plan.frames_NT.ndim == 2
            assert plan.num_clips == rule.num_clips == len(plan.frames_NT)
            assert plan.frames_NT.min() >= 0
            assert plan.frames_NT.max() < num_frames


@pytest.mark.parametrize("rule", all_rules(), ids=str)
def test_the_same_generator_gives_the_same_plan(rule: ClipSampling) -> None:
    assert np.array_equal(frames_of(rule, 30, 1), frames_of(rule, 30, 1))


@pytest.mark.parametrize("rule", all_rules(), ids=str)
def test_a_video_without_frames_is_refused(rule: ClipSampling) -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(rule, 0)


@pytest.mark.parametrize(
    ("rule", "fields", "message"),
    [
        (RandomClips, {"count": 0}, "count must be at least 1, got 0"),
        (RandomClips, {"frame_stride": 0}, "frame_stride must be at least 1, got 0"),
        (RandomClips, {"reserved_frames": -1}, "reserved_frames must be at least 0, got -1"),
        (UniformClips, {"num_frames": -2}, "num_frames must be at least 1, got -2"),
        (FramePerPart, {"span_frames": -1}, "span_frames must be at least 0, got -1"),
        (FramePerPart, {"num_frames": 0}, "num_frames must be at least 1, got 0"),
        (WholeVideo, {"frame_stride": 0}, "frame_stride must be at least 1, got 0"),
        (GridFrames, {"count": 0}, "count must be at least 1, got 0"),
        (GridFrames, {"every": 0}, "every must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(rule: type, fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(**fields)


def test_a_rule_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        WholeVideo().frame_stride = 2  # type: ignore[misc]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (4, 1), (4, 2), (3, 5)])
def test_a_clip_that_fits_has_its_stride(policy: ShortVideo, frames: int, stride: int) -> None:
    fits_random, fits_uniform = (frames - 1) * stride + 1, frames * stride
    for rule, shortest in (
        (RandomClips(3, frames, stride, 0, policy), fits_random),
        (UniformClips(3, frames, stride, policy), fits_uniform),
    ):
        for num_frames in range(shortest, shortest + 12):
            assert (np.diff(frames_of(rule, num_frames), axis=1) == stride).all()


def test_random_starts_reach_every_place_where_the_clip_fits_and_no_other() -> None:
    # 4 frames 2 apart span 7, so a video of 10 frames has the starts 0, 1, 2, 3.
    rule = RandomClips(count=400, num_frames=4, frame_stride=2)
    assert set(frames_of(rule, 10)[:, 0]) == {0, 1, 2, 3}


def test_random_starts_are_uniform() -> None:
    rule = RandomClips(count=20_000, num_frames=16, frame_stride=2)
    counts = np.bincount(frames_of(rule, 40)[:, 0], minlength=10)
    # 40 - 31 + 1 = 10 starts; chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand.
    assert len(counts) == 10
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9


def test_the_clips_of_a_video_start_independently() -> None:
    rule = RandomClips(count=2, num_frames=4, frame_stride=1)
    starts = np.array([frames_of(rule, 13, draw)[:, 0] for draw in range(4000)])
    # Ten starts each: all hundred pairs occur, and equal starts are one in ten.
    assert len({tuple(pair) for pair in starts}) == 100
    assert abs((starts[:, 0] == starts[:, 1]).mean() - 0.1) < 0.02


def test_reserved_frames_keep_starts_away_from_the_end() -> None:
    # CACL's released code draws starts in [0, F - 46] although the clip spans 31 frames: 50 leave 0..4.
    rule = RandomClips(count=500, num_frames=16, frame_stride=2, reserved_frames=46)
    assert set(frames_of(rule, 50)[:, 0]) == {0, 1, 2, 3, 4}
    assert set(frames_of(rule, 46)[:, 0]) == {0}
    # A video that is too short for the reserve, not for the clip, starts at 0.
    assert set(frames_of(rule, 40)[:, 0]) == {0}


def test_a_short_video_is_looped() -> None:
    # Three frames 2 apart in a video of 4: 0, 2, 4 -> 0.
    rule = RandomClips(count=1, num_frames=3, frame_stride=2, short_video="loop")
    assert frames_of(rule, 4).tolist() == [[0, 2, 0]]


def test_a_short_video_repeats_its_last_frame() -> None:
    rule = RandomClips(count=1, num_frames=4, frame_stride=2, short_video="repeat_last")
    assert frames_of(rule, 4).tolist() == [[0, 2, 3, 3]]


def test_a_short_video_lowers_the_stride_until_the_clip_fits() -> None:
    # Four frames: stride 3 spans 10, stride 2 spans 7, stride 1 spans 4.
    rule = RandomClips(count=1, num_frames=4, frame_stride=3, short_video="shrink_stride")
    assert np.diff(frames_of(rule, 9)[0]).tolist() == [2, 2, 2]
    assert frames_of(rule, 7).tolist() == [[0, 2, 4, 6]]
    assert np.diff(frames_of(rule, 6)[0]).tolist() == [1, 1, 1]
    assert frames_of(rule, 4).tolist() == [[0, 1, 2, 3]]
    # Where not even stride 1 fits, the last frame is repeated.
    assert frames_of(rule, 2).tolist() == [[0, 1, 1, 1]]


def test_uniform_clips_start_as_in_the_released_code_of_cacl() -> None:
    # linspace(0, 100 - 32, 10) = 0, 7.56, 15.11, 22.67, 30.22, 37.78, 45.33, 52.89, 60.44, 68, truncated.
    frames = frames_of(UniformClips(count=10, num_frames=16, frame_stride=2), 100)
    assert frames[:, 0].tolist() == [0, 7, 15, 22, 30, 37, 45, 52, 60, 68]
    assert frames[-1].tolist() == list(range(68, 100, 2))


def test_uniform_clips_of_a_short_video_take_consecutive_frames() -> None:
    # 20 frames hold no 16 frames 2 apart, but 16 consecutive ones; linspace(0, 4, 3) = 0, 2, 4.
    frames = frames_of(UniformClips(count=3, num_frames=16, frame_stride=2), 20)
    assert frames.tolist() == [list(range(16)), list(range(2, 18)), list(range(4, 20))]


def test_uniform_starts_equal_linspace_rounded_down() -> None:
    for last_start, count in itertools.product(range(60), (1, 2, 3, 10)):
        starts = frames_of(UniformClips(count=count, num_frames=1, frame_stride=1), last_start + 1)[:, 0]
        assert starts.tolist() == [int(x) for x in np.linspace(0, last_start, count)]


def test_uniform_starts_are_exact_where_floating_point_is_not() -> None:
    # 15 * 392 / 24 = 245, which linspace computes as 244.99999999999997.
    assert frames_of(UniformClips(25, 1, 1), 393)[15, 0] == 245


def test_a_single_uniform_clip_starts_at_the_beginning() -> None:
    assert frames_of(UniformClips(1, 4, 1), 100).tolist() == [[0, 1, 2, 3]]


def test_ccl_takes_one_frame_of_each_part() -> None:
    # L = 4 parts of 5 frames each cover a video of 20 frames.
    rule = FramePerPart(count=1, num_frames=4, span_frames=20, jitter=True)
    draws = np.concatenate([frames_of(rule, 20, draw) for draw in range(300)])
    for part, column in enumerate(draws.T):
        assert set(column) == set(range(5 * part, 5 * part + 5))


def test_ccl_draws_the_frame_of_a_part_uniformly() -> None:
    rule = FramePerPart(count=20_000, num_frames=2, span_frames=20)
    counts = np.bincount(frames_of(rule, 20)[:, 0], minlength=10)
    assert len(counts) == 10
    # Chi-square with 9 degrees of freedom, one in a thousand.
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9


def test_ccl_tests_with_the_centres_of_the_parts() -> None:
    # Parts of 8 frames: centres 4, 12, ..., 60; a second clip starts at 100 - 64 = 36.
    rule = FramePerPart(count=2, num_frames=8, span_frames=64, jitter=False)
    centres = [4, 12, 20, 28, 36, 44, 52, 60]
    assert frames_of(rule, 100).tolist() == [centres, [36 + frame for frame in centres]]


def test_ccl_covers_the_whole_video_when_the_span_is_zero() -> None:
    rule = FramePerPart(count=1, num_frames=4, span_frames=0, jitter=False)
    assert frames_of(rule, 80).tolist() == [[10, 30, 50, 70]]


def test_ccl_frames_never_go_back() -> None:
    rule = FramePerPart(count=5, num_frames=8, span_frames=16)
    for num_frames in LENGTHS:
        assert (np.diff(frames_of(rule, num_frames), axis=1) >= 0).all()


def test_ccl_repeats_frames_of_a_short_video() -> None:
    # Eight parts of three frames: part k holds the instant 3 (k + 1/2) / 8 = .19 .56 .94 1.3 1.7 2.1 2.4 2.8.
    rule = FramePerPart(count=1, num_frames=8, span_frames=64, jitter=False)
    assert frames_of(rule, 3).tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]


def test_ccl_clips_start_anywhere_and_stay_within_their_span() -> None:
    rule = FramePerPart(count=600, num_frames=4, span_frames=8)
    frames = frames_of(rule, 12)
    assert (frames[:, -1] - frames[:, 0] < 8).all()
    # Parts of two frames in clips that start at 0..4: the first frame is one of 0..5, the last one of 6..11.
    assert set(frames[:, 0]) == set(range(6))
    assert set(frames[:, -1]) == set(range(6, 12))


def test_the_whole_video_is_one_clip_of_every_nth_frame() -> None:
    assert frames_of(WholeVideo(), 5).tolist() == [[0, 1, 2, 3, 4]]
    assert frames_of(WholeVideo(frame_stride=3), 8).tolist() == [[0, 3, 6]]


@pytest.mark.parametrize(("frames", "stride"), [(31, 1), (32, 2), (47, 2)])
def test_a_test_clip_keeps_its_stride_from_t_times_s_frames_on(frames: int, stride: int) -> None:
    """CACL's test clips: 16 frames with stride 2 from 32 frames on, 16 consecutive ones below."""
    clips = frames_of(UniformClips(count=10, num_frames=16, frame_stride=2), frames)
    assert (np.diff(clips, axis=1) == stride).all()
    assert clips[0, 0] == 0
    assert clips[-1, 0] == frames - 16 * stride


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(1, {0}), (10, {0}), (11, {0, 10}), (40, {0, 10, 20, 30}), (41, {0, 10, 20, 30, 40})],
)
def test_grid_frames_are_those_that_extracting_every_tenth_frame_gives(
    num_frames: int, expected: set[int]
) -> None:
    frames = frames_of(GridFrames(count=300, every=10), num_frames)
    assert frames.shape == (300, 1)
    assert set(frames[:, 0]) == expected == set(range(0, num_frames, 10))


def test_grid_frames_are_drawn_uniformly() -> None:
    counts = np.bincount(frames_of(GridFrames(count=20_000, every=7), 64)[:, 0] // 7, minlength=10)
    # Ten frames 0, 7, ..., 63; chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand.
    assert len(counts) == 10
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9
