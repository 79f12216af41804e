"""Pairs of frames from anywhere in a video."""

from dataclasses import dataclass

import numpy as np

from unreel.data.clips import ClipPlan, ClipSampling, check_length, require_at_least


@dataclass(frozen=True)
class RandomFramePairs(ClipSampling):
    """Pairs of frames, each frame drawn from the whole video independently of all others.

    The plan has two rows, a query of every pair in the first and a key of every pair in the second. Frames
    may repeat, in a pair too.

    Reference: VINCE (Gordon et al., 2020), section 3.2, and its released code.
    """

    num_pairs: int = 4
    """Pairs per video."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "num_pairs")

    @property
    def num_clips(self) -> int:
        """The queries and the keys."""
        return 2

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw uniformly."""
        check_length(num_frames)
        return ClipPlan(generator.integers(0, num_frames, size=(2, self.num_pairs)))
