"""Clips at every pace over every small length: where they go, which pace they tell, and which tell none."""

import itertools
from collections import Counter
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.test_clips import frames_of
from unreel.data.pace_clips import NO_PACE, PaceClips, pace_classes
from unreel.seeding import build_generator

PACES = (1, 2, 3, 4)


class FixedDraws:
    """Stands for a generator whose draws are given: an order of the paces, then the starts."""

    def __init__(self, order: list[int], starts: list[int]) -> None:
        self._order, self._starts = order, starts

    def permutation(self, length: int) -> np.ndarray:
        assert length == len(self._order)
        return np.array(self._order)

    def integers(self, low: int, high: np.ndarray) -> np.ndarray:
        assert (low <= np.array(self._starts)).all()
        assert (np.array(self._starts) < high).all()
        return np.array(self._starts)


def classes_of(frames_NT: np.ndarray, paces: tuple[int, ...] = PACES) -> list[int]:
    return pace_classes(torch.from_numpy(frames_NT)[None], paces)[0].tolist()


def play(num_frames: int, pace: int, start: int, length: int) -> list[int]:
    """Walk frame by frame: forward by the pace, and to frame 0 behind the end."""
    frames, here = [], start
    for _ in range(length):
        frames.append(here)
        here += pace
        if here >= num_frames:
            here = 0
    return frames


def test_a_clip_that_reaches_the_end_starts_again_at_frame_0() -> None:
    # 10 frames. Pace 3 from frame 5: 5 8, then 11 is over; 0 3 6 9, then 12 is over; 0 3.
    # Pace 1 from frame 7: 7 8 9, then 0 1 2 3 4.
    generator = FixedDraws([2, 0, 1, 3], [5, 7])
    frames = PaceClips(num_frames=8).sample(10, generator).frames_NT  # type: ignore[arg-type]
    assert frames.tolist() == [[5, 8, 0, 3, 6, 9, 0, 3], [7, 8, 9, 0, 1, 2, 3, 4]]
    assert frames.dtype == np.int64
    assert classes_of(frames) == [2, 0]


@given(
    video=st.integers(5, 60),
    length=st.integers(3, 20),
    start_share=st.floats(0, 1, exclude_max=True),
    place=st.integers(0, 3),
)
def test_frames_are_those_of_a_walk_and_tell_their_pace(
    video: int, length: int, start_share: float, place: int
) -> None:
    start = int(start_share * video)
    order = [place, *(other for other in range(4) if other != place)]
    rule = PaceClips(count=1, num_frames=length)
    frames = rule.sample(video, FixedDraws(order, [start])).frames_NT  # type: ignore[arg-type]
    assert frames.tolist() == [play(video, PACES[place], start, length)]
    assert classes_of(frames) == [place]


@pytest.mark.parametrize("starts", ["anywhere", "fitting"])
@pytest.mark.parametrize("paces", [PACES, (2, 5), (1, 8, 16)])
def test_every_clip_of_every_length_lies_in_its_video_and_has_the_right_class(
    starts: Literal["anywhere", "fitting"], paces: tuple[int, ...]
) -> None:
    rule = PaceClips(count=2, num_frames=6, paces=paces, starts=starts)
    for num_frames, draw in itertools.product(range(1, 41), range(4)):
        frames = frames_of(rule, num_frames, draw)
        assert frames.shape == (2, 6)
        assert frames.min() >= 0
        assert frames.max() < num_frames
        classes = classes_of(frames, paces)
        for clip, place in zip(frames.tolist(), classes, strict=True):
            if num_frames <= paces[-1]:
                assert place == NO_PACE
                assert len(set(clip)) == 1
            else:
                assert clip == play(num_frames, paces[place], clip[0], 6)
        assert len(set(classes)) == (1 if num_frames <= paces[-1] else 2)


def test_the_shortest_video_with_a_pace_shows_each_of_them() -> None:
    """Five frames and paces up to four: were a video asked for slow paces only, its length would tell."""
    rule = PaceClips(count=4, num_frames=3)
    assert sorted(classes_of(frames_of(rule, 5))) == [0, 1, 2, 3]
    assert classes_of(frames_of(rule, 4)) == [NO_PACE] * 4


def test_paces_are_equally_likely_and_never_twice_in_a_video() -> None:
    firsts, pairs = Counter[int](), Counter[tuple[int, ...]]()
    for draw in range(2400):
        places = tuple(classes_of(frames_of(PaceClips(num_frames=4), 100, "paces", draw)))
        firsts[places[0]] += 1
        pairs[places] += 1
    # 600 expected, standard deviation 21; 200 of each ordered pair, standard deviation 14.
    assert all(abs(firsts[place] - 600) < 90 for place in range(4))
    assert len(pairs) == 12
    assert all(abs(count - 200) < 60 for count in pairs.values())


def test_clips_that_fit_have_no_cut_and_reach_every_start() -> None:
    rule = PaceClips(count=4, num_frames=4, starts="fitting")
    starts: dict[int, set[int]] = {place: set() for place in range(4)}
    for draw in range(400):
        frames = frames_of(rule, 16, draw)
        assert (np.diff(frames, axis=1) > 0).all()
        for place, clip in zip(classes_of(frames), frames, strict=True):
            starts[place].add(int(clip[0]))
    # A clip spans 3 steps: at pace 4, frames 0 to 12, so that starts are 0 to 3 of 16 frames.
    assert [max(starts[place]) for place in range(4)] == [12, 9, 6, 3]
    assert all(starts[place] == set(range(max(starts[place]) + 1)) for place in range(4))


def test_starts_anywhere_reach_the_last_frame() -> None:
    starts = {int(frame) for draw in range(200) for frame in frames_of(PaceClips(), 20, draw)[:, 0]}
    assert starts == set(range(20))


def test_the_shares_of_clips_with_a_cut_are_those_that_the_settings_name() -> None:
    """15 steps of p frames: the last 15 p starts of 180 come to the end; 15 / 180 = 8 %, 60 / 180 = 33 %."""
    shares = {}
    for place, pace in enumerate(PACES):
        order = [place, *(other for other in range(4) if other != place)]
        plans = (
            PaceClips(count=1).sample(180, FixedDraws(order, [start]))  # type: ignore[arg-type]
            for start in range(180)
        )
        shares[pace] = sum(bool((np.diff(plan.frames_NT) < 0).any()) for plan in plans) / 180
    assert shares == {1: 15 / 180, 2: 30 / 180, 3: 45 / 180, 4: 60 / 180}


def test_a_clip_too_long_to_fit_begins_at_frame_0_and_still_has_its_pace() -> None:
    frames = frames_of(PaceClips(count=1, num_frames=16, paces=(3, 4), starts="fitting"), 20)
    (place,) = classes_of(frames, (3, 4))
    assert frames[0].tolist() == play(20, (3, 4)[place], 0, 16)


def test_the_same_generator_gives_the_same_clips() -> None:
    rule = PaceClips()
    assert np.array_equal(frames_of(rule, 50, 1), frames_of(rule, 50, 1))
    assert not np.array_equal(frames_of(rule, 50, 1), frames_of(rule, 50, 2))
    assert rule.num_clips == rule.sample(50, build_generator(0)).num_clips == 2


def test_clips_of_another_rule_are_not_given_a_pace() -> None:
    with pytest.raises(AssertionError, match="not those of PaceClips"):
        pace_classes(torch.tensor([[[0, 7, 14]]]), PACES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"num_frames": 2}, "num_frames must be at least 3, got 2"),
        ({"count": 5}, "count must be at most the number of paces, 4, got 5"),
        ({"paces": (2,), "count": 1}, r"two or more numbers from 1 on, rising, got \(2,\)"),
        ({"paces": (0, 1)}, "from 1 on, rising"),
        ({"paces": (1, 1, 2)}, "from 1 on, rising"),
        ({"paces": (2, 1)}, "from 1 on, rising"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PaceClips(**settings)  # type: ignore[arg-type]


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        frames_of(PaceClips(), 0)
