"""Blocks of frames that follow each other without a gap, for a network that predicts the later ones."""

from dataclasses import dataclass

import numpy as np

from unreel.data.clips import ClipPlan, ClipSampling, RandomClips, ShortVideo, require_at_least
from unreel.data.segment_clips import SegmentClips

# N blocks or segments, T frames of each


@dataclass(frozen=True)
class BlockClips(ClipSampling):
    """One clip of N * T frames from anywhere in the video, cut into N blocks of T.

    The last frame of a block and the first of the next one are a stride apart, as all frames are. The start
    is uniform among those at which all blocks fit. In a video that is too short the stride shrinks for all
    blocks; where even that does not help, the last frame is repeated, so that time never jumps back.

    Reference: DPC (Han et al., 2019), section 3.2, and its released code.
    """

    num_blocks: int = 8
    """N, blocks per video, seen and predicted ones."""
    num_frames: int = 5
    """T, frames per block."""
    frame_stride: int = 3
    """Distance between two frames, in frames of the video."""
    short_video: ShortVideo = "shrink_stride"
    """What to do when the blocks do not fit."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_blocks", "num_frames", "frame_stride")

    @property
    def num_clips(self) -> int:
        """Number of blocks."""
        return self.num_blocks

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the start of the first block."""
        whole = RandomClips(
            1, self.num_blocks * self.num_frames, self.frame_stride, short_video=self.short_video
        )
        frames_1T = whole.sample(num_frames, generator).frames_NT
        return ClipPlan(frames_1T.reshape(self.num_blocks, self.num_frames))


@dataclass(frozen=True)
class BlocksAndSegmentClips(ClipSampling):
    """The blocks of `BlockClips`, and behind them two clips from each segment of the whole video.

    All have the same length and stride, so one network sees them in one pass. The blocks depend on the
    generator alone, not on how many segments follow.

    Reference: VCLR, section A.3, "VCLR with DPC".
    """

    num_blocks: int = 8
    """Blocks that follow each other; 0 gives the clips of the segments alone."""
    num_segments: int = 3
    """N, segments of the video and clips of a tuple; 0 gives the blocks alone."""
    num_frames: int = 5
    """Frames per block and per clip."""
    frame_stride: int = 3
    """Distance between two frames, in frames of the video."""
    short_video: ShortVideo = "shrink_stride"
    """What to do when the blocks, or a clip, do not fit into the video."""

    def __post_init__(self) -> None:
        require_at_least(0, self, "num_blocks", "num_segments")
        require_at_least(1, self, "num_frames", "frame_stride")
        if not self.num_clips:
            raise ValueError("num_blocks and num_segments are both 0, so no frame is read; raise one of them")

    @property
    def num_clips(self) -> int:
        """The blocks, and the clips of two tuples."""
        return self.num_blocks + 2 * self.num_segments

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the blocks, then the clips of the segments."""
        parts: list[ClipSampling] = []
        if self.num_blocks:
            parts += [BlockClips(self.num_blocks, self.num_frames, self.frame_stride, self.short_video)]
        if self.num_segments:
            parts += [SegmentClips(self.num_segments, self.num_frames, self.frame_stride, self.short_video)]
        return ClipPlan(np.concatenate([part.sample(num_frames, generator).frames_NT for part in parts]))
