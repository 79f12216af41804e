"""Two clips of a video, the more often the closer they are: CVRL's law of the interval.

Let a video have room for clips at W starts. CVRL draws the distance d of the two starts with the density
``(2 / W) (1 - d / W)`` on [0, W], by inversion ``d = W (1 - sqrt(1 - u))``, then the earlier start evenly
among the ``W - d`` that leave room for the later one, then the order. The density of an ordered pair is
therefore the same for all pairs,

    1/2 * (2 / W) (1 - d / W) * 1 / (W - d)  =  1 / W**2,

so the law is that of two even, independent starts. Starts are whole frames here, and two clips are at least a
minimum gap apart: all pairs that keep the gap are equally likely, and distance d has probability proportional
to ``W - d``.
"""

from dataclasses import dataclass

import numpy as np

from unreel.data.clips import (
    ClipPlan,
    ClipSampling,
    ShortVideo,
    clip_span,
    fit_stride,
    place_clips,
    require_at_least,
)


@dataclass(frozen=True)
class IntervalPairs(ClipSampling):
    """Two clips of a video whose starts follow CVRL's law, in random order.

    A video with too little room for the gap gives two clips as far apart as it allows; one with room for a
    single clip gives it twice.

    Raises:
        ValueError: a number is out of range.

    Reference: CVRL, section 3.2, and its released code; decision S6.
    """

    num_frames: int = 16
    """Frames per clip."""
    frame_stride: int = 4
    """Distance between two frames of a clip, in frames of the video."""
    min_gap: int = 1
    """Fewest frames between the starts of the two clips; 0 allows a clip twice."""
    short_video: ShortVideo = "loop"
    """What to do when the clip does not fit."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_frames", "frame_stride")
        require_at_least(0, self, "min_gap")

    @property
    def num_clips(self) -> int:
        """The pair."""
        return 2

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the pair; every ordered pair of starts that keeps the gap is as likely."""
        stride = fit_stride(num_frames, self.num_frames, self.frame_stride, self.short_video)
        num_starts = count_starts(num_frames, self.num_frames, stride)
        starts = np.array(_draw_pair(num_starts, self.min_gap, generator), dtype=np.int64)
        return ClipPlan(place_clips(starts, num_frames, self.num_frames, stride, self.short_video))


def count_starts(video_frames: int, clip_frames: int, stride: int) -> int:
    """Return W, at how many frames a clip may begin; 1 in a video that it does not fit into."""
    return max(1, video_frames - clip_span(clip_frames, stride) + 1)


def _draw_pair(num_starts: int, min_gap: int, generator: np.random.Generator) -> tuple[int, int]:
    gap = min(min_gap, num_starts - 1)
    if gap == 0:
        return int(generator.integers(num_starts)), int(generator.integers(num_starts))
    # Two different numbers out of W - gap + 1, and the larger moved on by gap - 1: one to one with all pairs
    # that are at least the gap apart.
    num_values = num_starts - gap + 1
    first, other = int(generator.integers(num_values)), int(generator.integers(num_values - 1))
    other += other >= first
    return (first, other + gap - 1) if first < other else (first + gap - 1, other)


def draw_partner(start: int, num_starts: int, min_gap: int, generator: np.random.Generator) -> int:
    """Draw the second start of CVRL's law when the first is given: even among those that keep the gap.

    Where no start is so far away, one of those farthest away.

    Args:
        start: the given one, in [0, num_starts).
        num_starts: W.
        min_gap: fewest frames between the two; 0 allows the same start.
        generator: the only source of chance.
    """
    gap = min(min_gap, max(start, num_starts - 1 - start))
    if gap == 0:
        return int(generator.integers(num_starts))
    num_before = max(0, start - gap + 1)
    num_behind = max(0, num_starts - start - gap)
    place = int(generator.integers(num_before + num_behind))
    return place if place < num_before else start + gap + place - num_before
