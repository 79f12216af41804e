"""Clips whose starts are multiples of one whole number: how SCVRL and MViT are tested."""

from dataclasses import dataclass

import numpy as np

from unreel.data.clips import ClipPlan, ClipSampling, ShortVideo, fit_stride, place_clips, require_at_least

# N clips of T frames, stride S, of a video of F frames


@dataclass(frozen=True)
class OffsetClips(ClipSampling):
    """N clips that start at frames ``k * floor((F - T * S) / (N - 1))``, k = 0 ... N - 1.

    Unlike those of `UniformClips`, neighbouring starts are all equally far apart, and up to N - 2 frames more
    are left over at the end. A single clip starts at ``floor((F - T * S) / 2)``. A video of fewer than
    ``T * S`` frames counts as short: all clips start at frame 0 unless a lower stride leaves room.

    Reference: SCVRL, section 4.2; Fan et al., 2021 (MViT), whose released code spaces test clips so.
    """

    count: int = 10
    """N, clips per video."""
    num_frames: int = 16
    """T, frames per clip."""
    frame_stride: int = 4
    """S, distance between two frames of a clip, in frames of the video."""
    short_video: ShortVideo = "shrink_stride"
    """What to do when the clip does not fit."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count", "num_frames", "frame_stride")

    @property
    def num_clips(self) -> int:
        """Number of clips of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Return the same clips every time."""
        stride = fit_stride(num_frames, self.num_frames + 1, self.frame_stride, self.short_video, margin=1)
        room = max(0, num_frames - self.num_frames * stride)
        if self.count == 1:
            starts = np.array([room // 2], dtype=np.int64)
        else:
            starts = np.arange(self.count, dtype=np.int64) * (room // (self.count - 1))
        return ClipPlan(place_clips(starts, num_frames, self.num_frames, stride, self.short_video))
