"""Clips at different paces: which frames they have, and which pace frames tell.

A clip at pace p has every p-th frame of its video, so its video seems to play p times as fast. At the end of
the video it starts again at frame 0:

    10 frames, pace 3, start 5:    5 8 | 0 3 6 9 | 0 3 ...

Every step forward is one of p, whatever the start. That is how the pace is read back from the frames.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.data.clips import ClipPlan, ClipSampling, check_length, require_at_least

# B videos, N clips, T frames, P paces

NO_PACE = -1
"""Class of a clip that does not move, so that no pace can be told."""


@dataclass(frozen=True)
class PaceClips(ClipSampling):
    """Clips of one video at random paces, no two alike, each from a random start.

    A video is played again from its beginning where a clip reaches its end. A video of no more frames than
    the largest pace cannot show every pace: it would be shown at slow ones only, and its length would give
    the answer away. Its clips are stills, one random frame each, and have no pace.

    Raises:
        ValueError: a setting is out of range.

    Reference: Wang et al., 2020 (pace prediction), and its released code.
    """

    count: int = 2
    """Clips per video, at different paces."""
    num_frames: int = 16
    """Frames per clip."""
    paces: tuple[int, ...] = (1, 2, 3, 4)
    """Distances between two frames of a clip, in frames of the video; the place of each is its class."""
    starts: Literal["anywhere", "fitting"] = "anywhere"
    """Where clips begin: at any frame of the video, as in the released code; or where they end before the
    video does, if they can. From anywhere, faster clips reach the end more often, and the cut back to frame 0
    hints at a fast one: of 180 frames, 8 % of clips at pace 1 and 33 % at pace 4 have it."""

    def __post_init__(self) -> None:
        require_at_least(1, self, "count")
        # Even a clip that begins at the last frame then has a step forward, from frame 0.
        require_at_least(3, self, "num_frames")
        if len(self.paces) < 2 or self.paces[0] < 1 or list(self.paces) != sorted(set(self.paces)):
            raise ValueError(f"paces must be two or more numbers from 1 on, rising, got {self.paces}")
        if self.count > len(self.paces):
            raise ValueError(
                f"count must be at most the number of paces, {len(self.paces)}, got {self.count}: no two "
                "clips of a video have the same pace"
            )

    @property
    def frame_stride(self) -> int:
        """The slowest pace, most often the natural one; clips are tested at it."""
        return self.paces[0]

    @property
    def num_clips(self) -> int:
        """Number of clips of every plan."""
        return self.count

    def sample(self, num_frames: int, generator: np.random.Generator) -> ClipPlan:
        """Draw the paces, then the starts."""
        check_length(num_frames)
        pace_N = np.asarray(self.paces, dtype=np.int64)[generator.permutation(len(self.paces))[: self.count]]
        if num_frames <= self.paces[-1]:
            still_N1 = generator.integers(0, num_frames, size=(self.count, 1))
            return ClipPlan(np.repeat(still_N1, self.num_frames, axis=1))
        span_N = (self.num_frames - 1) * pace_N + 1 if self.starts == "fitting" else np.ones_like(pace_N)
        start_N = generator.integers(0, np.maximum(num_frames - span_N, 0) + 1)
        return ClipPlan(_play(start_N, pace_N, self.num_frames, num_frames))


def pace_classes(frame_index_BNT: Tensor, paces: tuple[int, ...]) -> Tensor:
    """Read from the frames of `PaceClips` which pace they have.

    Args:
        frame_index_BNT: int64, frames of every clip, as in `VideoBatch`.
        paces: all that there are.

    Returns:
        Int64 (B, N): the place of the pace in ``paces``, or `NO_PACE` where the clip is a still.
    """
    # Steps back to frame 0 are not positive, and all others are the pace.
    step_BN = frame_index_BNT.diff(dim=2).amax(dim=2).clamp(min=0)
    is_pace_BNP = step_BN[..., None] == torch.tensor(paces, device=step_BN.device)
    is_known_BN = is_pace_BNP.any(dim=2)
    assert bool((is_known_BN | (step_BN == 0)).all()), "these clips are not those of PaceClips"
    return torch.where(is_known_BN, is_pace_BNP.long().argmax(dim=2), NO_PACE)


def _play(
    start_N: NDArray[np.int64], pace_N: NDArray[np.int64], clip_frames: int, video_frames: int
) -> NDArray[np.int64]:
    """Go forward from the starts, and from frame 0 again whenever the video is over."""
    place_NT = np.arange(clip_frames, dtype=np.int64)[None, :]
    start_N1, pace_N1 = start_N[:, None], pace_N[:, None]
    before_end_N1 = -((start_N1 - video_frames) // pace_N1)  # frames from the start to the end, rounded up
    whole_N1 = -(-video_frames // pace_N1)  # frames from 0 to the end
    again_NT = (place_NT - before_end_N1) % whole_N1 * pace_N1
    frames_NT: NDArray[np.int64] = np.where(place_NT < before_end_N1, start_N1 + place_NT * pace_N1, again_NT)
    return frames_NT
