"""Clips from all over a video: two from each of its equal segments, and a pair from anywhere.

Where `unreel.data.segments` chooses frames, these rules choose clips, for networks that see several frames
at once. Only a few numbers are drawn, so a long video costs no more than a short one. Where clips overlap,
the decoder reads the frames that they share once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.data.clips import (
    ClipPlan,
    ClipSampling,
    ShortVideo,
    clip_span,
    fit_stride,
    place_clips,
    require_at_least,
)

# N segments, T frames


@dataclass(frozen=True)
class SegmentClips(ClipSampling):
    """Two different clips from each of N equal segments of the whole video: an anchor and a positive tuple.

    A segment has ``F // N`` frames and the last one the rest too. Both clips are uniform among those that
    lie within the segment. A segment that is shorter than a clip gives one clip to both tuples (decision
    V18): the one in the middle of the segment, moved as little as keeps it in the video. So does a segment
    with room for one clip. In a video that is shorter than a clip, ``short_video`` says what becomes of it:
    the same clip everywhere, unless a lower stride leaves room for more.

    The plan has 2 N rows: the clips of the anchor tuple in order of time, then those of the positive tuple.
    Clips of one frame are the frames of `unreel.data.segments.SegmentPairs`.

    Reference: VCLR, sections 3.2 and A.3.
    """

    num_segments: int = 3
    """N, segments of the video and clips of a tuple."""
    num_frames: int = 32
    """Frames per clip."""
    frame_stride: int = 1
    """Distance between two frames of a clip, in frames of the video."""
    short_video: ShortVideo = "loop"
    """What to do when the clip does not fit into the whole video."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_segments", "num_frames", "frame_stride")

    @property
    def num_clips(self) -> int:
        """The clips of two tuples."""
        return 2 * self.num_segments

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw two starts in every segment without replacement, in random order."""
        stride = fit_stride(num_frames, self.num_frames, self.frame_stride, self.short_video)
        span = clip_span(self.num_frames, stride)
        first_N, length_N = split_segments(num_frames, self.num_segments)
        spare_N = length_N - span
        centred_N = np.clip(first_N + spare_N // 2, 0, max(num_frames - span, 0))
        start_N = np.where(spare_N >= 0, first_N, centred_N)
        starts_2N = start_N + draw_two(np.maximum(spare_N + 1, 1), generator)
        return ClipPlan(
            place_clips(starts_2N.reshape(-1), num_frames, self.num_frames, stride, self.short_video)
        )


@dataclass(frozen=True)
class ClipPairAndSegments(ClipSampling):
    """A query and a key clip from anywhere in the video, and behind them the clips of its segments.

    With probability ``same_clip_prob`` the key is the query's own clip, otherwise another one, uniform among
    those that lie in the video; a video with room for one clip gives it twice. The plan has 2 + 2 N rows: the
    query, the key, then those of `SegmentClips`, which are drawn independently of the pair. The pair depends
    on the generator alone, not on how many segments follow.

    Reference: CoCLR's released code for the pair; VCLR, section 5.3.
    """

    num_segments: int = 3
    """N, segments of the video and clips of a tuple; 0 gives the pair alone."""
    num_frames: int = 32
    """Frames per clip."""
    frame_stride: int = 1
    """Distance between two frames of a clip, in frames of the video."""
    same_clip_prob: float = 0.5
    """Probability that query and key are the same clip."""
    short_video: ShortVideo = "loop"
    """What to do when the clip does not fit into the whole video."""

    def __post_init__(self) -> None:
        require_at_least(0, self, "num_segments")
        require_at_least(1, self, "num_frames", "frame_stride")
        if not 0 <= self.same_clip_prob <= 1:
            raise ValueError(f"same_clip_prob must lie in [0, 1], got {self.same_clip_prob}")

    @property
    def num_clips(self) -> int:
        """The pair and the clips of two tuples."""
        return 2 + 2 * self.num_segments

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the pair, then the clips of the segments."""
        pair = SegmentClips(1, self.num_frames, self.frame_stride, self.short_video)
        pair_2T = pair.sample(num_frames, generator).frames_NT
        if generator.random() < self.same_clip_prob:
            pair_2T = pair_2T[[0, 0]]
        if not self.num_segments:
            return ClipPlan(pair_2T)
        segments = SegmentClips(self.num_segments, self.num_frames, self.frame_stride, self.short_video)
        return ClipPlan(np.concatenate([pair_2T, segments.sample(num_frames, generator).frames_NT]))


def split_segments(num_frames: int, num_segments: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first frame and the number of frames of each of N equal segments.

    The last segment has the frames that are left over. A video with fewer frames than segments has segments
    of one frame, the centres, and some of them twice.
    """
    segments_N = np.arange(num_segments, dtype=np.int64)
    average = num_frames // num_segments
    if average == 0:
        return (2 * segments_N + 1) * num_frames // (2 * num_segments), np.ones_like(segments_N)
    first_N = segments_N * average
    return first_N, np.where(segments_N < num_segments - 1, average, num_frames - first_N)


def draw_two(num_values_N: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw two numbers in [0, num_values) per segment, different ones where there are two.

    Returns:
        Shape (2, N); every ordered pair is as likely.
    """
    first_N = generator.integers(0, num_values_N)
    # One of the others: a draw from one less, which skips the first.
    other_N = generator.integers(0, np.maximum(num_values_N - 1, 1))
    return np.stack([first_N, other_N + ((other_N >= first_N) & (num_values_N > 1))])
