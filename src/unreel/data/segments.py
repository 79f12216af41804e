"""Frames from all over a video: one or two from each of its equal segments, or from both of its halves.

Only a few numbers are drawn, so a long video costs no more than a short one.
"""

from dataclasses import dataclass

import numpy as np

from unreel.data.clips import ClipPlan, ClipSampling, check_length, require_at_least

# N segments

_MOST_TUPLES = 2


@dataclass(frozen=True)
class SegmentFrames(ClipSampling):
    """One frame from each of N equal segments of the whole video, as TSN does.

    Training draws ``i * avg + U{0..avg-1}`` with ``avg = F // N``; testing takes
    ``floor(i * F / N + F / (2 N))``. A video with fewer frames than segments repeats frames.

    Reference: Wang et al., Temporal Segment Networks, 2016, section 3.1.
    """

    num_segments: int = 3
    """N, segments and frames per video."""
    jitter: bool = True
    """Whether frames are drawn at random (training) or centred (testing)."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_segments")

    @property
    def num_clips(self) -> int:
        """One clip that holds the frames of all segments."""
        return 1

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Choose one frame of every segment."""
        check_length(num_frames)
        segments = np.arange(self.num_segments, dtype=np.int64)
        average = num_frames // self.num_segments
        if self.jitter and average > 0:
            frames = segments * average + generator.integers(0, average, size=self.num_segments)
        else:
            frames = (2 * segments + 1) * num_frames // (2 * self.num_segments)
        return ClipPlan(np.minimum(frames, num_frames - 1)[None, :])


@dataclass(frozen=True)
class SegmentPairs(ClipSampling):
    """Two different frames from each of N equal segments of the whole video: an anchor and a positive tuple.

    A segment has ``F // N`` frames and the last one the rest too; both frames are uniform in it. Where a
    segment has a single frame, both tuples have it (decision V18), and a video with fewer frames than
    segments repeats frames, as in `SegmentFrames`. The plan has two rows of N frames, in order of time; one
    where there is no positive tuple, and the anchor is the same then.

    Reference: VCLR, section 3.2.
    """

    num_segments: int = 3
    """N, segments of the video and frames of a tuple."""
    num_tuples: int = 2
    """The anchor tuple and the positive one; 1 leaves the positive one out, where nothing compares tuples."""

    def __post_init__(self) -> None:
        """Refuse what is no pair and no half of one.

        Raises:
            ValueError: a number is out of range.
        """
        require_at_least(1, self, "num_segments", "num_tuples")
        if self.num_tuples > _MOST_TUPLES:
            raise ValueError(
                f"num_tuples must be 1 or {_MOST_TUPLES}, got {self.num_tuples}: an anchor tuple, and a "
                "positive one to compare it with"
            )

    @property
    def num_clips(self) -> int:
        """The anchor tuple and the positive tuple, or the anchor alone."""
        return self.num_tuples

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw two frames of every segment without replacement, in random order."""
        check_length(num_frames)
        segments = np.arange(self.num_segments, dtype=np.int64)
        average = num_frames // self.num_segments
        if average == 0:
            frames = (2 * segments + 1) * num_frames // (2 * self.num_segments)
            return ClipPlan(np.stack([frames, frames])[: self.num_tuples])
        length_N = np.where(segments < self.num_segments - 1, average, num_frames - segments * average)
        anchor_N = generator.integers(0, length_N)
        # One of the others: a draw from one less, which skips the anchor.
        other_N = generator.integers(0, np.maximum(length_N - 1, 1))
        positive_N = other_N + ((other_N >= anchor_N) & (length_N > 1))
        return ClipPlan((segments * average + np.stack([anchor_N, positive_N]))[: self.num_tuples])


@dataclass(frozen=True)
class OppositeHalves(ClipSampling):
    """A query frame from one half of the video and other frames, in order of time, from the other half.

    The halves are the first ``F // 2`` frames and the rest, either as likely to hold the query. The others
    are drawn independently and may be the same frame. The plan is one row, the query first. A video of one
    frame gives it again and again.

    Reference: SeCo, whose released code draws them so.
    """

    num_others: int = 2
    """Frames beside the query."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_others")

    @property
    def num_clips(self) -> int:
        """One row: the query and the others."""
        return 1

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the query's half, then all frames."""
        check_length(num_frames)
        middle = num_frames // 2
        halves = [(0, max(middle, 1)), (middle, num_frames)]
        is_query_late = int(generator.integers(0, 2))
        query = generator.integers(*halves[is_query_late], size=1)
        others = np.sort(generator.integers(*halves[1 - is_query_late], size=self.num_others))
        return ClipPlan(np.concatenate([query, others])[None, :])
