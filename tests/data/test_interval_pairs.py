"""CVRL's law of the interval: pairs by enumeration and by chi-square, against the published density."""

import itertools
from collections import Counter

import numpy as np
import pytest

from tests.data.test_clips import LENGTHS, POLICIES, frames_of
from tests.data.test_segment_clips import chi_square
from unreel.data.interval_pairs import IntervalPairs, count_starts, draw_partner
from unreel.seeding import build_generator

RULES = [
    IntervalPairs(frames, stride, gap, policy)
    for frames, stride, gap, policy in itertools.product((1, 4), (1, 3), (0, 1, 5), POLICIES)
]


def draw_starts(num_starts: int, min_gap: int, count: int) -> list[tuple[int, int]]:
    rule = IntervalPairs(num_frames=3, frame_stride=2, min_gap=min_gap)
    generator = build_generator("pairs", num_starts, min_gap)
    plans = [rule.sample(num_starts + 4, generator).frames_NT for _ in range(count)]
    return [(int(plan[0, 0]), int(plan[1, 0])) for plan in plans]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_frame_lies_in_the_video(rule: IntervalPairs) -> None:
    for num_frames, draw in itertools.product(LENGTHS, range(4)):
        plan = rule.sample(num_frames, build_generator(num_frames, draw))
        assert plan.frames_NT.shape == (2, rule.num_frames)
        assert plan.frames_NT.dtype == np.int64
        assert plan.frames_NT.min() >= 0
        assert plan.frames_NT.max() < num_frames


@pytest.mark.parametrize("min_gap", [0, 1, 2, 4])
def test_every_ordered_pair_that_keeps_the_gap_is_as_likely(min_gap: int) -> None:
    num_starts, count = 6, 6000
    pairs = [(a, b) for a, b in itertools.product(range(num_starts), repeat=2) if abs(a - b) >= min_gap]
    counts = Counter(draw_starts(num_starts, min_gap, count))
    assert counts.keys() == set(pairs)
    # The statistic has about the pairs as mean and the root of twice that as deviation; four are allowed.
    assert chi_square(counts.values(), count / len(pairs)) < len(pairs) + 4 * (2 * len(pairs)) ** 0.5


def test_distances_follow_the_published_density() -> None:
    # 40 bins of 5 starts: the density (2 / W)(1 - d / W) over a bin [a, b) integrates to F(b) - F(a).
    num_starts, count = 200, 8000
    distances = np.array([abs(a - b) for a, b in draw_starts(num_starts, 1, count)])
    edges = np.arange(0, num_starts + 1, 5)
    cumulative = 2 * edges / num_starts - (edges / num_starts) ** 2
    found, _ = np.histogram(distances, edges)
    np.testing.assert_allclose(np.cumsum(found) / count, cumulative[1:], atol=0.02)
    # Another law, even distances, is far away: half of the pairs would be closer than half of the video.
    assert (distances < num_starts / 2).mean() == pytest.approx(0.75, abs=0.02)


def test_the_published_way_of_drawing_gives_the_same_law() -> None:
    num_starts, count = 100, 40_000
    rng = np.random.default_rng(0)
    distance = num_starts * (1 - np.sqrt(1 - rng.random(count)))
    earlier = rng.random(count) * (num_starts - distance)
    # Both starts of a random order, on a grid of 10 x 10: all cells are alike.
    first, second = np.where(
        rng.random(count) < 0.5, (earlier, earlier + distance), (earlier + distance, earlier)
    )
    cells = Counter(zip((first // 10).astype(int).tolist(), (second // 10).astype(int).tolist(), strict=True))
    assert len(cells) == 100
    assert chi_square(cells.values(), count / 100) < 100 + 4 * 200**0.5


def test_the_order_of_the_two_clips_is_random() -> None:
    pairs = draw_starts(50, 1, 1000)
    assert 400 < sum(a < b for a, b in pairs) < 600


def test_the_same_generator_gives_the_same_pair() -> None:
    assert np.array_equal(frames_of(IntervalPairs(), 300, 1), frames_of(IntervalPairs(), 300, 1))


@pytest.mark.parametrize("start", [0, 3, 9])
@pytest.mark.parametrize("min_gap", [0, 1, 4])
def test_a_partner_is_even_among_the_starts_that_keep_the_gap(start: int, min_gap: int) -> None:
    generator = build_generator("partner", start, min_gap)
    allowed = [other for other in range(10) if abs(other - start) >= min_gap]
    counts = Counter(draw_partner(start, 10, min_gap, generator) for _ in range(3000))
    assert counts.keys() == set(allowed)
    assert chi_square(counts.values(), 3000 / len(allowed)) < len(allowed) + 4 * (2 * len(allowed)) ** 0.5


def test_a_pair_is_a_start_and_its_partner() -> None:
    # With a gap of one frame the first start is even, so drawing it and then its partner is CVRL's law.
    generator = build_generator("both")
    starts = [int(generator.integers(5)) for _ in range(8000)]
    counts = Counter((start, draw_partner(start, 5, 1, generator)) for start in starts)
    assert len(counts) == 20
    assert chi_square(counts.values(), 400) < 20 + 4 * 40**0.5


@pytest.mark.parametrize(
    ("num_starts", "start", "expected"), [(1, 0, {0}), (3, 0, {2}), (3, 1, {0, 2}), (4, 1, {3})]
)
def test_too_little_room_gives_the_farthest(num_starts: int, start: int, expected: set[int]) -> None:
    generator = build_generator("far")
    assert {draw_partner(start, num_starts, 9, generator) for _ in range(50)} == expected
    assert set(draw_starts(num_starts, 9, 60)) == {(0, num_starts - 1), (num_starts - 1, 0)}


@pytest.mark.parametrize(
    ("video", "frames", "stride", "starts"), [(300, 16, 4, 240), (61, 16, 4, 1), (60, 16, 4, 1), (1, 3, 2, 1)]
)
def test_starts_are_counted(video: int, frames: int, stride: int, starts: int) -> None:
    assert count_starts(video, frames, stride) == starts


@pytest.mark.parametrize(("name", "value"), [("num_frames", 0), ("frame_stride", 0), ("min_gap", -1)])
def test_impossible_settings_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least {value + 1}, got {value}"):
        IntervalPairs(**{name: value})


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(IntervalPairs(), 0)
