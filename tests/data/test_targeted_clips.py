"""Clip A where motion is, clip B anywhere: places by worked examples, laws by chi-square."""

import dataclasses
import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.data.scan_samples import make_catalog
from tests.data.test_clips import LENGTHS, POLICIES
from tests.data.test_segment_clips import chi_square
from unreel.data.catalog import Video
from unreel.data.clips import RandomClips
from unreel.data.frame_index import FrameIndex
from unreel.data.motion_windows import split_windows, window_probabilities
from unreel.data.targeted_clips import TargetedClips
from unreel.errors import CatalogError
from unreel.seeding import build_generator

MOTION = [2, 4, 8, 16, 3, 1, 0, 5, 6, 7]


def make_video(num_frames: int, motion: list[float] | None = None, *, fps: int = 30) -> Video:
    video = make_catalog(["a.mp4"], Path("videos")).video(0)
    index = FrameIndex(np.arange(num_frames, dtype=np.int64), np.array([0]), (1, fps))
    values = None if motion is None else np.array(motion, dtype=np.float32)
    return dataclasses.replace(video, frames=num_frames, index=index, motion=values)


def draw(rule: TargetedClips, video: Video, count: int) -> list[tuple[int, int]]:
    generator = build_generator("targeted", str(rule))
    plans = [rule.sample_video(video, generator).frames_NT for _ in range(count)]
    return [(int(plan[0, 0]), int(plan[1, 0])) for plan in plans]


@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (4, 3), (16, 4)])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_frame_lies_in_the_video(frames: int, stride: int, policy: str) -> None:
    for num_frames, jitter, gap in itertools.product(LENGTHS, (False, True), (0, 1, 7)):
        rule = TargetedClips(frames, stride, math.inf, jitter, gap, policy)  # type: ignore[arg-type]
        plan = rule.sample_video(make_video(num_frames, fps=4), build_generator(num_frames))
        assert plan.frames_NT.shape == (2, frames)
        assert plan.frames_NT.dtype == np.int64
        assert plan.frames_NT.min() >= 0
        assert plan.frames_NT.max() < num_frames


@pytest.mark.parametrize(
    ("window", "start"),
    # 16 frames, 4 apart, span 61: from 30 before a window's middle, which is frame 30 w + 14.5 of window w.
    [(0, 0), (1, 14), (2, 44), (5, 134), (8, 224), (9, 239)],
)
def test_clip_a_without_jitter_is_centred_on_its_window_and_kept_in_the_video(
    window: int, start: int
) -> None:
    motion = [0.0] * 10
    motion[window] = 1000.0
    video = make_video(300, motion)
    starts = {first for first, _ in draw(TargetedClips(beta=1.0, jitter=False), video, 20)}
    assert starts == {start}


def test_windows_are_drawn_by_the_softmax_of_their_motion() -> None:
    video, rule, count = make_video(300, [float(value) for value in MOTION]), TargetedClips(), 6000
    generator = build_generator("windows")
    bounds = split_windows(video.index, 1.0)
    drawn = Counter(rule.draw_window(video, bounds, generator) for _ in range(count))
    assert video.motion is not None
    expected = window_probabilities(video.motion, 5.0) * count
    assert expected[3] == pytest.approx(0.518 * count, rel=0.002)
    statistic = sum((drawn[window] - mean) ** 2 / mean for window, mean in enumerate(expected))
    assert statistic < 9 + 4 * 18**0.5


@pytest.mark.parametrize("motion", [None, [float(value) for value in MOTION]])
def test_an_infinite_beta_draws_all_windows_alike_with_and_without_motion(motion: list[float] | None) -> None:
    rule = TargetedClips(1, 1, beta=math.inf, jitter=False)
    counts = Counter(first for first, _ in draw(rule, make_video(300, motion), 4000))
    assert sorted(counts) == [30 * window + 14 for window in range(10)]
    assert chi_square(counts.values(), 400) < 10 + 4 * 20**0.5


def test_a_video_whose_motion_is_not_known_has_windows_all_alike() -> None:
    counts = Counter(first for first, _ in draw(TargetedClips(1, 1, jitter=False), make_video(300), 4000))
    assert chi_square(counts.values(), 400) < 10 + 4 * 20**0.5


def test_clip_a_has_its_middle_anywhere_in_its_window_and_nowhere_else() -> None:
    motion = [0.0] * 10
    motion[5] = 1000.0
    rule = TargetedClips(beta=1.0)
    counts = Counter(first for first, _ in draw(rule, make_video(300, motion), 3000))
    # Middles 150 to 179 of clips of 61 frames.
    assert sorted(counts) == list(range(120, 150))
    assert chi_square(counts.values(), 100) < 30 + 4 * 60**0.5


@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_clip_b_is_even_over_all_other_starts_whatever_moves(beta: float) -> None:
    motion = [0.0, 1000.0, 0.0]
    rule = TargetedClips(2, 10, beta=beta, jitter=False)
    pairs = draw(rule, make_video(30, motion, fps=10), 12_000)
    for first in {start for start, _ in pairs}:
        counts = Counter(other for start, other in pairs if start == first)
        assert sorted(counts) == [start for start in range(20) if start != first]
        assert chi_square(counts.values(), counts.total() / 19) < 19 + 4 * 38**0.5


def test_clips_keep_the_gap() -> None:
    pairs = draw(TargetedClips(2, 10, math.inf, min_gap=6), make_video(30, fps=10), 500)
    assert min(abs(first - other) for first, other in pairs) == 6


def test_windows_of_another_length_move_the_clip() -> None:
    video = dataclasses.replace(make_video(300, [0.0, 0.0, 90.0]), motion_window_sec=4.0)
    # 10 s are three windows of 4 s, the last of 2 s: frames 240 to 299, middle 269.5
    assert {first for first, _ in draw(TargetedClips(1, 1, 1.0, jitter=False), video, 9)} == {269}


@pytest.mark.parametrize(
    ("policy", "row"),
    [("loop", [0, 2, 4, 1, 3]), ("repeat_last", [0, 2, 4, 4, 4]), ("shrink_stride", [0, 1, 2, 3, 4])],
)
def test_a_video_that_is_shorter_than_a_clip_gives_one_clip_twice(policy: str, row: list[int]) -> None:
    rule = TargetedClips(5, 2, math.inf, short_video=policy)  # type: ignore[arg-type]
    plan = rule.sample_video(make_video(5), build_generator("short"))
    assert plan.frames_NT.tolist() == [row, row]


def test_the_same_generator_gives_the_same_clips() -> None:
    video, rule = make_video(300, [float(value) for value in MOTION]), TargetedClips()
    plans = [rule.sample_video(video, build_generator("x", seed)).frames_NT for seed in (1, 1, 2)]
    assert np.array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])


def test_motion_of_other_windows_is_refused() -> None:
    with pytest.raises(CatalogError, match=r"a.mp4: has 10 windows of 1 s, .* measured in 3; measure again"):
        draw(TargetedClips(), make_video(300, [1.0, 2.0, 3.0]), 1)


def test_only_a_finite_beta_needs_motion() -> None:
    assert TargetedClips().needs_motion
    assert not TargetedClips(beta=math.inf).needs_motion
    assert not RandomClips().needs_motion
    assert TargetedClips().num_clips == 2


def test_a_number_of_frames_is_not_enough() -> None:
    with pytest.raises(
        ValueError, match=r"takes the video, not its number of frames \(300\); use sample_video"
    ):
        TargetedClips().sample(300, build_generator("x"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_frames", 0, "num_frames must be at least 1, got 0"),
        ("frame_stride", 0, "frame_stride must be at least 1, got 0"),
        ("min_gap", -1, "min_gap must be at least 0, got -1"),
        ("beta", 0.0, r"beta must be positive, got 0\.0"),
        ("beta", -math.inf, "beta must be positive, got -inf"),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TargetedClips(**{name: value})  # type: ignore[arg-type]


def test_other_rules_look_at_the_length_of_a_video_alone() -> None:
    video, rule = make_video(80), RandomClips()
    plan = rule.sample_video(video, build_generator("y"))
    assert np.array_equal(plan.frames_NT, rule.sample(80, build_generator("y")).frames_NT)
