"""Frames spaced evenly from the first of a video to the last: how networks of single frames are tested."""

from dataclasses import dataclass

import numpy as np

from unreel.data.clips import ClipPlan, ClipSampling, check_length, require_at_least

# N frames of a video of F


@dataclass(frozen=True)
class SpacedFrames(ClipSampling):
    """N clips of one frame each, ``round(linspace(1, F, N))`` where frames are counted from 1.

    Halves are rounded up, as MATLAB does and NumPy does not; with an even N, such as VCLR's 30, there are
    none. A single frame is the middle one, ``F // 2`` counted from 0, as of a single segment in
    `SegmentFrames`. A video of fewer than N frames shows each of them, some more than once.

    Reference: VCLR, section 4.3; its linear SVM and its retrieval take 30 frames.
    """

    count: int = 30
    """N, frames per video."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count")

    @property
    def num_clips(self) -> int:
        """Number of frames of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Return the same frames every time."""
        check_length(num_frames)
        if self.count == 1:
            return ClipPlan(np.array([[num_frames // 2]], dtype=np.int64))
        gaps = self.count - 1
        # floor(i * (F - 1) / gaps + 1/2) in integers: a float may fall on the wrong side of a half.
        frames = (2 * np.arange(self.count, dtype=np.int64) * (num_frames - 1) + gaps) // (2 * gaps)
        return ClipPlan(frames[:, None])
