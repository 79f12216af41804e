"""Clips where something moves, and others of the same video that may be anywhere: SCVRL's pair."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from unreel.data.interval_pairs import count_starts, draw_partner
from unreel.data.motion_windows import check_beta, split_windows, window_probabilities
from unreel.errors import CatalogError

if TYPE_CHECKING:
    from unreel.data.catalog import Video

# C windows


@dataclass(frozen=True)
class TargetedClips(ClipSampling):
    """Clip A where the video moves most, and clip B by CVRL's law of the interval, in this order.

    A window is drawn with probability softmax(motion / beta), then the middle of clip A among the frames of
    the window, all alike: the clip is where the window is, and begins at random (decisions S7 and S16).
    Without ``jitter`` its middle is that of the window, so a video has no more clips A than windows. The clip
    is moved as little as keeps it in the video; its span may be longer than the window.

    Clip B takes no account of motion (decision S18). It is drawn from CVRL's law given where A begins: evenly
    among the starts at least ``min_gap`` frames from A's (see `unreel.data.interval_pairs`). So where A's
    start is even over the video and ``min_gap`` is 0 or 1, the pair follows CVRL's law exactly; a larger gap
    leaves out starts, and those of A near the ends then have more partners than those in the middle. A's
    start is not even, even when beta is infinite: windows near the ends move clips to the very first and last
    start. For exactly CVRL's pair take `IntervalPairs`.

    A finite beta needs the motion of the videos, which `unreel motion` measures beforehand. Videos in which
    it could not be measured take every window alike.

    Raises:
        ValueError: a number is out of range.

    Reference: SCVRL, section 3.2, and CVRL, section 3.2.
    """

    num_frames: int = 16
    """Frames per clip."""
    frame_stride: int = 4
    """Distance between two frames of a clip, in frames of the video."""
    beta: float = 5.0
    """By which motion is divided before the softmax: less prefers moving windows more; `inf` takes all
    windows alike and needs no motion."""
    jitter: bool = True
    """Whether the middle of clip A may be any frame of its window, rather than the window's middle."""
    min_gap: int = 1
    """Fewest frames between the starts of the two clips; 0 allows a clip twice."""
    short_video: ShortVideo = "loop"
    """What to do when the clip does not fit."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_frames", "frame_stride")
        require_at_least(0, self, "min_gap")
        check_beta(self.beta)

    @property
    def num_clips(self) -> int:
        """Clip A and clip B."""
        return 2

    @property
    def needs_motion(self) -> bool:
        """Whether the motion of the videos plays a role."""
        return math.isfinite(self.beta)

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Refuse: a number of frames does not tell when they are shown, let alone what moves.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "TargetedClips chooses among the seconds of a video, so it takes the video, not its number of "
            f"frames ({num_frames}); use sample_video"
        )

    def sample_video(self, video: "Video", generator: np.random.Generator) -> ClipPlan:
        """Draw the window, then clip A, then clip B.

        Raises:
            CatalogError: the video's motion was measured in other windows than the video has.
        """
        stride = fit_stride(video.frames, self.num_frames, self.frame_stride, self.short_video)
        num_starts = count_starts(video.frames, self.num_frames, stride)
        bounds = split_windows(video.index, video.motion_window_sec)
        window = self.draw_window(video, bounds, generator)
        first, behind = int(bounds[window]), int(bounds[window + 1])
        span = clip_span(self.num_frames, stride)
        if self.jitter:
            start = int(generator.integers(first, behind)) - span // 2
        else:
            start = (first + behind - span) // 2
        start = min(max(start, 0), num_starts - 1)
        starts = np.array([start, draw_partner(start, num_starts, self.min_gap, generator)], dtype=np.int64)
        return ClipPlan(place_clips(starts, video.frames, self.num_frames, stride, self.short_video))

    def draw_window(self, video: "Video", bounds: NDArray[np.int64], generator: np.random.Generator) -> int:
        """Draw a window of a video.

        Args:
            video: with its motion, when beta is finite.
            bounds: as `split_windows` returns them.
            generator: the only source of chance.

        Raises:
            CatalogError: the video's motion was measured in other windows than these.
        """
        num_windows = len(bounds) - 1
        if not self.needs_motion or video.motion is None:
            return int(generator.integers(num_windows))
        if len(video.motion) != num_windows:
            raise CatalogError(
                f"{video.path}: has {num_windows} windows of {video.motion_window_sec:g} s, but its motion "
                f"was measured in {len(video.motion)}; measure again with `unreel motion --fresh`"
            )
        cumulative_C = np.cumsum(window_probabilities(video.motion, self.beta))
        # The sum of all may fall short of 1 by rounding.
        place = int(np.searchsorted(cumulative_C, generator.random(), side="right"))
        return min(place, num_windows - 1)
