"""What is needed to reach any frame of one video exactly: a table that a scan writes and decoding reads.

Frames are numbered in the order in which the decoder puts them out, from 0. Each has a presentation
timestamp (pts) in ticks of the time base. Most files need three integers, for their timestamps are a line,
rounded to ticks:

    pts_i = first_pts + floor((i * pts_step_num + pts_step_den // 2) / pts_step_den)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameIndex:
    """Timestamps and safe entry points of one video.

    Attributes:
        pts: int64, one per frame in presentation order, in ticks of the time base. In a few containers (H.264
            in AVI) they are unique labels that do not rise; `timestamps_sec` puts times in order.
        key_frames: int64, ascending numbers of the frames at which decoding may start: every frame from
            there on comes out as in a decode from the beginning. Empty when timestamps do not tell frames
            apart; such a file can only be decoded from the beginning, counting frames.
        time_base: seconds per tick, as numerator and denominator.
    """

    pts: NDArray[np.int64]
    key_frames: NDArray[np.int64]
    time_base: tuple[int, int]

    @property
    def num_frames(self) -> int:
        """Number of frames that decode."""
        return len(self.pts)

    @property
    def is_addressable(self) -> bool:
        """Whether a frame can be told by its timestamp."""
        return len(self.key_frames) > 0

    def timestamps_sec(self) -> NDArray[np.float64]:
        """Return when each frame is shown, in seconds after the first."""
        ordered = np.sort(self.pts)
        since_first = (ordered - ordered[:1]).astype(np.float64)
        return since_first * (self.time_base[0] / self.time_base[1])

    def find_key_frames(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the last key frame at or before each frame, -1 where there is none."""
        places = np.searchsorted(self.key_frames, frames, side="right") - 1
        known = np.concatenate([self.key_frames, np.array([-1], dtype=np.int64)])
        return known[places]

    def to_row(self) -> dict[str, object]:
        """Return the columns of a table; ``frame_pts`` is empty when the line gives every timestamp."""
        step = _fit_line(self.pts)
        return {
            "frames": self.num_frames,
            "first_pts": int(self.pts[0]) if self.num_frames else 0,
            "pts_step_num": step.numerator if step is not None else 0,
            "pts_step_den": step.denominator if step is not None else 1,
            "frame_pts": [] if step is not None else self.pts.tolist(),
            "key_frames": self.key_frames.tolist(),
            "time_base_num": self.time_base[0],
            "time_base_den": self.time_base[1],
        }

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> "FrameIndex":
        """Rebuild the index from the columns of `to_row`."""
        if len(row["frame_pts"]):
            pts = np.asarray(row["frame_pts"], dtype=np.int64)
        else:
            numbers = np.arange(int(row["frames"]), dtype=np.int64)
            pts = _draw_line(numbers, row["first_pts"], row["pts_step_num"], row["pts_step_den"])
        key_frames = np.asarray(row["key_frames"], dtype=np.int64)
        return FrameIndex(pts, key_frames, (int(row["time_base_num"]), int(row["time_base_den"])))


def _draw_line(numbers: NDArray[np.int64], first: int, num: int, den: int) -> NDArray[np.int64]:
    return first + (numbers * num + den // 2) // den


def _fit_line(pts: NDArray[np.int64]) -> Fraction | None:
    """Find the simplest step whose rounded multiples are the timestamps; None when they are no line.

    A step s fits when ``d_i - 1/2 <= i * s < d_i + 1/2`` for every i, with ``d_i = pts_i - pts_0``.
    """
    if len(pts) < 2:
        return Fraction(0)
    numbers = np.arange(1, len(pts), dtype=np.int64)
    doubled = 2 * (pts[1:] - pts[0])
    tightest_low = int(np.argmax((doubled - 1) / numbers))
    tightest_high = int(np.argmin((doubled + 1) / numbers))
    low = Fraction(int(doubled[tightest_low]) - 1, 2 * int(numbers[tightest_low]))
    high = Fraction(int(doubled[tightest_high]) + 1, 2 * int(numbers[tightest_high]))
    if not 0 < low < high:
        return None
    step = min(low, _simplest_between(low, high), key=lambda fraction: fraction.denominator)
    drawn = _draw_line(np.arange(len(pts), dtype=np.int64), int(pts[0]), step.numerator, step.denominator)
    return step if np.array_equal(drawn, pts) else None


def _simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """Return the fraction of smallest denominator strictly between two positive ones."""
    whole = low.numerator // low.denominator
    if whole + 1 < high:
        return Fraction(whole + 1)
    if low == whole:  # between whole and high <= whole + 1: whole + 1 / n for the smallest n that fits
        return whole + Fraction(1, (1 / (high - whole)).__floor__() + 1)
    inner = _simplest_between(1 / (high - whole), 1 / (low - whole))
    return whole + 1 / inner
