"""Clips in their segments over every small length, worked values, uniform and independent draws, decoding."""

import itertools
import tracemalloc
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from tests.data.conftest import KindPath
from tests.data.test_clips import LENGTHS, POLICIES, frames_of
from unreel.data.clips import ClipSampling, ShortVideo
from unreel.data.decode import ClipDecoder
from unreel.data.packets import VideoFile
from unreel.data.probe import probe_video
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips, draw_two, split_segments
from unreel.data.segments import SegmentPairs
from unreel.seeding import build_generator

RULES: list[ClipSampling] = [
    *(
        rule
        for segments, frames, stride, policy in itertools.product((1, 2, 3), (1, 4), (1, 3), POLICIES)
        for rule in (
            SegmentClips(segments, frames, stride, policy),
            ClipPairAndSegments(segments, frames, stride, 0.5, policy),
        )
    ),
    ClipPairAndSegments(0, 4),
]


def chi_square(counts: Iterable[int], expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in counts)


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


@pytest.mark.parametrize("rule", [SegmentClips(3), ClipPairAndSegments(3), ClipPairAndSegments(0)], ids=str)
def test_a_video_without_frames_is_refused(rule: ClipSampling) -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(rule, 0)


@pytest.mark.parametrize("rule", [SegmentClips(3, 8, 2), ClipPairAndSegments(3, 8, 2)], ids=str)
def test_a_long_video_costs_no_more_memory_than_a_short_one(rule: ClipSampling) -> None:
    tracemalloc.start()
    for draw in range(20):
        assert rule.sample(100_000, build_generator(draw)).frames_NT.max() < 100_000
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("rule", "name", "minimum"),
    [
        (SegmentClips, "num_segments", 1),
        (SegmentClips, "num_frames", 1),
        (SegmentClips, "frame_stride", 1),
        (ClipPairAndSegments, "num_segments", 0),
        (ClipPairAndSegments, "num_frames", 1),
        (ClipPairAndSegments, "frame_stride", 1),
    ],
)
def test_impossible_settings_are_refused(rule: type, name: str, minimum: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least {minimum}, got {minimum - 1}"):
        rule(**{name: minimum - 1})


@pytest.mark.parametrize("prob", [-0.1, 1.5, float("nan")])
def test_a_probability_lies_between_0_and_1(prob: float) -> None:
    with pytest.raises(ValueError, match=r"same_clip_prob must lie in \[0, 1\], got"):
        ClipPairAndSegments(same_clip_prob=prob)


def test_clips_lie_in_their_segments_and_come_up_at_every_start() -> None:
    # F = 26, N = 3: segments 0-7, 8-15 and 16-25. Three frames two apart span 5: starts 0-3, 8-11 and 16-21.
    draws = np.stack([frames_of(SegmentClips(3, 3, 2), 26, draw) for draw in range(300)])
    assert draws.shape == (300, 6, 3)
    assert (np.diff(draws, axis=2) == 2).all()
    for segment, starts in enumerate([range(4), range(8, 12), range(16, 22)]):
        for row in (segment, 3 + segment):
            assert set(draws[:, row, 0]) == set(starts)
        assert (draws[:, segment, 0] != draws[:, 3 + segment, 0]).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_clip_that_fits_never_leaves_its_segment(policy: ShortVideo) -> None:
    for num_frames, segments, frames, stride in itertools.product(LENGTHS, (1, 2, 3, 5), (1, 2, 4), (1, 3)):
        average, span = num_frames // segments, (frames - 1) * stride + 1
        if average < span:
            continue
        anchor_NT, positive_NT = np.split(
            frames_of(SegmentClips(segments, frames, stride, policy), num_frames), 2
        )
        for segment in range(segments):
            first = segment * average
            last = num_frames - 1 if segment == segments - 1 else first + average - 1
            for clip_T in (anchor_NT[segment], positive_NT[segment]):
                assert first <= clip_T[0] <= clip_T[-1] <= last
                assert clip_T.tolist() == list(range(clip_T[0], clip_T[0] + span, stride))
            is_alone = last - first + 1 == span
            assert np.array_equal(anchor_NT[segment], positive_NT[segment]) == is_alone


def test_every_ordered_pair_of_a_segment_is_as_likely_whatever_the_other_segments_draw() -> None:
    # Two segments of 6 frames, clips of 3: starts 0-3 and 6-9, 12 ordered pairs each, 144 together, 50 of
    # each in 7,200 draws. Chi-square with 143 degrees of freedom exceeds 199 once in a thousand.
    generator = build_generator("pairs")
    plans = [SegmentClips(2, 3).sample(12, generator).frames_NT[:, 0] for _ in range(7200)]
    counts = Counter(tuple(plan.tolist()) for plan in plans)
    pairs = itertools.product(itertools.permutations(range(4), 2), itertools.permutations(range(6, 10), 2))
    assert set(counts) == {(a, b, c, d) for (a, c), (b, d) in pairs}
    assert chi_square(counts.values(), 50) < 199


def test_clips_of_one_frame_are_the_frames_of_segment_pairs() -> None:
    for num_frames, segments, draw in itertools.product(LENGTHS, (1, 2, 3, 8), range(3)):
        clips_NT = frames_of(SegmentClips(segments, 1), num_frames, draw)
        tuples_2N = frames_of(SegmentPairs(segments), num_frames, draw)
        assert np.array_equal(clips_NT.reshape(2, segments), tuples_2N)


@pytest.mark.parametrize(
    ("num_frames", "starts"),
    [
        # Segments 0-3, 4-7, 8-11; the middle of a clip of 6 lies 2.5 frames behind its start: -1, 3, 7 by
        # rounding down, moved to 0, 3 and at most 6.
        (12, [0, 3, 6]),
        # Segments 0-2, 3-5, 6-8: -2, 1, 4 by rounding down, moved to 0, 1 and at most 3.
        (9, [0, 1, 3]),
        # Segments 0-1, 2-3, 4-6: the video has room for two clips, at 0 and 1.
        (7, [0, 0, 1]),
        (6, [0, 0, 0]),
    ],
)
def test_a_segment_shorter_than_a_clip_gives_the_one_in_its_middle_to_both(
    num_frames: int, starts: list[int]
) -> None:
    for draw in range(5):
        clips_NT = frames_of(SegmentClips(3, 6), num_frames, draw)
        assert clips_NT[:, 0].tolist() == starts * 2
        assert (np.diff(clips_NT, axis=1) == 1).all()


def test_the_longer_last_segment_may_be_the_only_one_that_holds_a_clip() -> None:
    # Segments 0-2, 3-5 and 6-10: a clip of 4 fits the last one only, at 6 and 7; -1 becomes 0, and 2 stays.
    draws = np.stack([frames_of(SegmentClips(3, 4), 11, draw)[:, 0] for draw in range(30)])
    assert {tuple(draw.tolist()) for draw in draws} == {(0, 2, 6, 0, 2, 7), (0, 2, 7, 0, 2, 6)}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("loop", [0, 3, 1, 4]),
        ("repeat_last", [0, 3, 4, 4]),
        ("shrink_stride", [0, 1, 2, 3]),
    ],
)
def test_a_video_shorter_than_a_clip_gives_the_same_one_everywhere_unless_the_stride_shrinks(
    policy: ShortVideo, expected: list[int]
) -> None:
    # Five frames; four frames three apart span 10. A stride of 1 spans 4 and leaves room for two starts, but
    # the segments 0, 1 and 2-4 are shorter: -2, -1 and 1 become 0, 0 and 1.
    clips_NT = frames_of(SegmentClips(3, 4, 3, policy), 5)
    last = [1, 2, 3, 4] if policy == "shrink_stride" else expected
    assert clips_NT.tolist() == [expected, expected, last] * 2


def test_the_pair_is_the_same_clip_with_the_given_probability() -> None:
    for prob, low, high in ((0.0, 0, 0), (0.5, 440, 560), (0.9, 860, 940), (1.0, 1000, 1000)):
        plans = [frames_of(ClipPairAndSegments(0, 4, same_clip_prob=prob), 40, draw) for draw in range(1000)]
        assert low <= sum(np.array_equal(query_T, key_T) for query_T, key_T in plans) <= high


def test_the_pair_comes_from_anywhere() -> None:
    # Starts 0-6 of a video of 10 frames: 42 ordered pairs, 100 of each in 4,200 draws. Chi-square with 41
    # degrees of freedom exceeds 74.7 once in a thousand. The one clip of the other half: 7 starts, 12.6 for 6
    # degrees of freedom once in twenty.
    generator = build_generator("pair")
    different = ClipPairAndSegments(0, 4, same_clip_prob=0.0)
    counts = Counter(tuple(different.sample(10, generator).frames_NT[:, 0].tolist()) for _ in range(4200))
    assert set(counts) == set(itertools.permutations(range(7), 2))
    assert chi_square(counts.values(), 100) < 74.7
    same = ClipPairAndSegments(0, 4, same_clip_prob=1.0)
    starts = Counter(int(same.sample(10, generator).frames_NT[1, 0]) for _ in range(700))
    assert chi_square(starts.values(), 100) < 12.6


def test_the_pair_is_the_same_with_and_without_segments_and_lies_in_front() -> None:
    for num_frames, draw in itertools.product((3, 20, 100), range(10)):
        alone_2T = frames_of(ClipPairAndSegments(0, 4, 2), num_frames, draw)
        full_NT = frames_of(ClipPairAndSegments(3, 4, 2), num_frames, draw)
        assert full_NT.shape == (8, 4)
        assert np.array_equal(full_NT[:2], alone_2T)


def test_the_pair_says_nothing_about_the_clips_of_the_segments() -> None:
    # Clips of 2 in a video of 6 with segments of 3: five starts of the query, two of the first anchor; ten
    # cells of 200 in 2,000 draws. Chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand.
    generator = build_generator("independent")
    rule = ClipPairAndSegments(2, 2)
    plans = [rule.sample(6, generator).frames_NT[:, 0] for _ in range(2000)]
    counts = Counter((int(plan[0]), int(plan[2])) for plan in plans)
    assert set(counts) == set(itertools.product(range(5), range(2)))
    assert chi_square(counts.values(), 200) < 27.9


def test_a_video_with_room_for_one_clip_gives_it_to_query_and_key() -> None:
    pair_2T = frames_of(ClipPairAndSegments(0, 4, same_clip_prob=0.0), 4)
    assert pair_2T.tolist() == [[0, 1, 2, 3]] * 2


def test_segments_are_equal_but_for_the_last() -> None:
    for num_frames, num_segments, first, length in (
        (11, 3, [0, 3, 6], [3, 3, 5]),
        (3, 3, [0, 1, 2], [1, 1, 1]),
        (2, 4, [0, 0, 1, 1], [1, 1, 1, 1]),
    ):
        first_N, length_N = split_segments(num_frames, num_segments)
        assert (first_N.tolist(), length_N.tolist()) == (first, length)


def test_two_draws_differ_where_there_are_two_values() -> None:
    draws = [draw_two(np.array([1, 2, 9]), build_generator("two", draw)) for draw in range(50)]
    for (first_1, first_2, first_9), (second_1, second_2, second_9) in draws:
        assert first_1 == second_1 == 0
        assert {first_2, second_2} == {0, 1}
        assert first_9 != second_9


def test_clips_that_overlap_are_decoded_once(path_of: KindPath, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of("mjpeg")  # 40 frames, every one a key frame: none is decoded on the way to another
    index = probe_video(path).index
    decoded: list[object] = []
    decode_packet = VideoFile.decode

    def spy(self: VideoFile, packet: object, *, skip: bool = False) -> list[object]:
        frames = decode_packet(self, packet, skip=skip)  # type: ignore[arg-type]
        decoded.extend(frames)
        return frames  # type: ignore[return-value]

    monkeypatch.setattr(VideoFile, "decode", spy)
    for draw in range(5):
        frames_NT = frames_of(ClipPairAndSegments(3, 10), 40, draw)
        decoded.clear()
        clips = ClipDecoder().decode(path, index, frames_NT)
        assert clips.shape[:2] == (8, 10)
        assert len(decoded) == len(np.unique(frames_NT)) <= 40
