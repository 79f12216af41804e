"""Every rule over every small length: frames in the video and in their segment, worked values, draws."""

import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from tests.data.test_clips import LENGTHS, frames_of
from unreel.data.clips import ClipSampling
from unreel.data.segments import OppositeHalves, SegmentFrames, SegmentPairs
from unreel.seeding import build_generator

RULES: list[ClipSampling] = [
    *(SegmentFrames(segments, jitter) for segments in (1, 2, 3, 8) for jitter in (True, False)),
    *(SegmentPairs(segments) for segments in (1, 2, 3, 4, 5, 8)),
    *(OppositeHalves(others) for others in (1, 2, 5)),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_frame_lies_in_the_video(rule: ClipSampling) -> None:
    for num_frames, draw in itertools.product(LENGTHS, range(3)):
        plan = rule.sample(num_frames, build_generator(num_frames, draw))
        assert plan.frames_NT.dtype == np.int64
        assert plan.num_clips == rule.num_clips == len(plan.frames_NT)
        assert plan.frames_NT.min() >= 0
        assert plan.frames_NT.max() < num_frames


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_same_generator_gives_the_same_plan(rule: ClipSampling) -> None:
    assert np.array_equal(frames_of(rule, 30, 1), frames_of(rule, 30, 1))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_video_without_frames_is_refused(rule: ClipSampling) -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(rule, 0)


@pytest.mark.parametrize(
    ("rule", "name"),
    [(SegmentFrames, "num_segments"), (SegmentPairs, "num_segments"), (OppositeHalves, "num_others")],
)
def test_impossible_settings_are_refused(rule: type, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        rule(**{name: 0})


@pytest.mark.parametrize("rule", [SegmentPairs(3), OppositeHalves(2)], ids=str)
def test_a_long_video_costs_no_more_memory_than_a_short_one(rule: ClipSampling) -> None:
    tracemalloc.start()
    for draw in range(20):
        assert rule.sample(100_000, build_generator(draw)).frames_NT.max() < 100_000
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_segments_draw_within_equal_parts_as_tsn() -> None:
    # F = 11, N = 3: avg = 3, so segment i draws from i * 3 + {0, 1, 2}; frames 9 and 10 are never reached.
    draws = np.concatenate([frames_of(SegmentFrames(3), 11, draw) for draw in range(200)])
    for segment, column in enumerate(draws.T):
        assert set(column) == set(range(3 * segment, 3 * segment + 3))


def test_segments_test_with_centres_as_tsn() -> None:
    # floor(i * 11 / 3 + 11 / 6) = floor(1.83), floor(5.5), floor(9.17).
    assert frames_of(SegmentFrames(3, jitter=False), 11).tolist() == [[1, 5, 9]]


def test_segment_centres_follow_the_formula_for_every_length() -> None:
    for num_frames, segments in itertools.product(LENGTHS, (1, 2, 3, 8, 25)):
        expected = [
            int(i * num_frames / segments + num_frames / (2 * segments) + 1e-9) for i in range(segments)
        ]
        assert frames_of(SegmentFrames(segments, jitter=False), num_frames)[0].tolist() == expected


def test_segments_of_a_video_with_fewer_frames_repeat() -> None:
    for jitter in (True, False):
        assert frames_of(SegmentFrames(4, jitter), 2).tolist() == [[0, 0, 1, 1]]


def test_a_pair_of_tuples_has_two_different_frames_of_every_segment() -> None:
    # F = 11, N = 3: segments of 3, 3 and 5 frames, 0-2, 3-5 and 6-10; all of them come up in both tuples.
    draws = np.stack([frames_of(SegmentPairs(3), 11, draw) for draw in range(300)])
    assert (draws[:, 0] != draws[:, 1]).all()
    for segment, (first, last) in enumerate([(0, 2), (3, 5), (6, 10)]):
        for place in (0, 1):
            assert set(draws[:, place, segment]) == set(range(first, last + 1))


def test_the_frames_of_a_pair_are_in_order_of_time_and_in_their_segments() -> None:
    for num_frames, segments in itertools.product(LENGTHS, (1, 2, 3, 5)):
        average = num_frames // segments
        for tuple_N in frames_of(SegmentPairs(segments), num_frames):
            assert (np.diff(tuple_N) >= 0).all()
            if average:
                expected = np.arange(segments)
                assert (np.minimum(tuple_N // average, segments - 1) == expected).all()


@pytest.mark.parametrize("num_frames", [1, 2, 3, 7, 300])
def test_the_anchor_alone_is_the_anchor_of_the_pair(num_frames: int) -> None:
    alone = SegmentPairs(3, num_tuples=1)
    assert (alone.num_clips, SegmentPairs(3).num_clips) == (1, 2)
    for draw in range(20):
        pair = frames_of(SegmentPairs(3), num_frames, draw)
        assert np.array_equal(frames_of(alone, num_frames, draw), pair[:1])


@pytest.mark.parametrize(("num_tuples", "message"), [(0, "at least 1, got 0"), (3, "must be 1 or 2, got 3")])
def test_there_is_an_anchor_and_at_most_one_positive_tuple(num_tuples: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"num_tuples .*{message}"):
        SegmentPairs(3, num_tuples=num_tuples)


def test_every_ordered_pair_of_a_segment_is_as_likely() -> None:
    # One segment of 5 frames: 20 ordered pairs, 400 of each in 8,000 draws. Chi-square with 19 degrees of
    # freedom exceeds 43.8 once in a thousand.
    generator = build_generator("pairs")
    plans = [SegmentPairs(1).sample(5, generator).frames_NT for _ in range(8000)]
    counts = Counter((int(plan[0, 0]), int(plan[1, 0])) for plan in plans)
    assert set(counts) == set(itertools.permutations(range(5), 2))
    assert sum((count - 400) ** 2 / 400 for count in counts.values()) < 43.8


def test_a_segment_of_one_frame_gives_it_to_both_tuples() -> None:
    # F = 5, N = 3: segments 0, 1 and 2-4. The last one still gives two different frames.
    draws = [frames_of(SegmentPairs(3), 5, draw) for draw in range(50)]
    for anchor, positive in draws:
        assert anchor[:2].tolist() == positive[:2].tolist() == [0, 1]
        assert anchor[2] != positive[2]
        assert {anchor[2], positive[2]} <= {2, 3, 4}


@pytest.mark.parametrize(
    ("num_frames", "expected"), [(1, [0, 0, 0, 0]), (2, [0, 0, 1, 1]), (3, [0, 1, 1, 2])]
)
def test_a_video_with_fewer_frames_than_segments_repeats_the_centres(
    num_frames: int, expected: list[int]
) -> None:
    # floor((2 i + 1) F / 8) for i = 0 to 3, as SegmentFrames has it.
    assert frames_of(SegmentPairs(4), num_frames).tolist() == [expected, expected]
    assert frames_of(SegmentFrames(4, jitter=False), num_frames).tolist() == [expected]


def test_the_query_is_in_one_half_and_the_others_are_in_the_other() -> None:
    # F = 9: frames 0-3 and 4-8.
    draws = np.concatenate([frames_of(OppositeHalves(2), 9, draw) for draw in range(400)])
    is_late = draws[:, 0] >= 4
    assert ((draws[:, 1:] >= 4) != is_late[:, None]).all()
    assert 150 < is_late.sum() < 250
    assert set(draws[is_late, 0]) == set(draws[~is_late, 1:].flat) == {4, 5, 6, 7, 8}
    assert set(draws[~is_late, 0]) == set(draws[is_late, 1:].flat) == {0, 1, 2, 3}
    assert (draws[:, 1] <= draws[:, 2]).all()


def test_halves_of_a_video_of_one_or_two_frames() -> None:
    assert frames_of(OppositeHalves(2), 1).tolist() == [[0, 0, 0]]
    assert {tuple(frames_of(OppositeHalves(2), 2, draw)[0]) for draw in range(40)} == {(0, 1, 1), (1, 0, 0)}
