"""What copies for training look like, and which frames of an original they show, and when."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.raw_video import RAW_SUFFIX

# K frames of a copy, F frames of an original

_MOST_CRF = 51
_LEAST_FPS, _MOST_FPS = 0.01, 1000.0
_HARDLY = 1e-6
"""Less than this share of a frame at the end is rounding, not a frame."""
_FINEST_RATE = 1001
_EARLIEST = 1e-9
"""Two frames whose distance from a moment differs by fewer seconds are equally near; the earlier is taken."""


@dataclass(frozen=True)
class PrepareConfig:
    """How copies are made."""

    short_side: int = 128
    """Shorter side of the pictures, in pixels, even; smaller videos are not enlarged. With a width, the
    height."""
    width: int = 0
    """Width in pixels, even, whatever the aspect; 0 keeps the aspect."""
    fps: float = 0.0
    """Frames per second, evenly apart, each the nearest of the original; 0 keeps every frame and its time."""
    format: Literal["h264", "raw"] = "h264"
    """`h264` is small and quick to decode; `raw` is large and needs no decoding."""
    gop: int = 16
    """Frames from one key frame to the next, at most; of h264."""
    crf: int = 20
    """Quality, 0 to 51, less is better and larger; of h264."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: a number is out of range, or belongs to the other format.
        """
        _check_side("short_side", self.short_side, least=2)
        _check_side("width", self.width, least=0)
        if self.fps and not _LEAST_FPS <= self.fps <= _MOST_FPS:
            raise ValueError(
                f"fps must lie between {_LEAST_FPS:g} and {_MOST_FPS:g} frames per second, or be 0 for all "
                f"frames, got {self.fps}"
            )
        if self.format == "raw" and (self.gop, self.crf) != (16, 20):
            raise ValueError(
                f"gop = {self.gop} and crf = {self.crf} are of h264, and format is raw; leave them out, or "
                "choose --format h264"
            )
        if self.gop < 1:
            raise ValueError(f"gop must be at least 1 frame, got {self.gop}")
        if not 0 <= self.crf <= _MOST_CRF:
            raise ValueError(f"crf must lie between 0 and {_MOST_CRF}, got {self.crf}")

    @property
    def suffix(self) -> str:
        """How names of copies end."""
        return RAW_SUFFIX if self.format == "raw" else ".mp4"

    @property
    def least_psnr(self) -> float:
        """Likeness to the original, in decibels, that every picture of a copy must have.

        Raw copies are alike to the bit (100). Of H.264 the bound is 45 decibels less the crf: far below what
        the encoder keeps, but above what most wrong pictures have.
        """
        return 100.0 if self.format == "raw" else max(10.0, 45.0 - self.crf)

    @property
    def codec_options(self) -> dict[str, str]:
        """Options of the encoder: short closed groups of pictures, many of which no other picture needs.

        ``tune=fastdecode`` and blocks that are not split leave out what is slow to decode. The B-frames stay,
        up to seven in a row, none of them needed by any other frame: of those, `ClipDecoder` decodes only the
        wanted ones.
        """
        if self.format == "raw":
            return {"threads": "1"}
        return {
            "threads": "1",
            "preset": "medium",
            "tune": "fastdecode",
            "crf": str(self.crf),
            "g": str(self.gop),
            "keyint_min": "1",
            "bf": "7",
            "x264-params": "open-gop=0:b-pyramid=none:partitions=none",
        }

    def choose_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the copy of a video that is shown with the given ones, both even."""
        if self.width:
            return self.short_side, self.width
        short = min(height, width)
        stored = max(2, min(self.short_side, short) // 2 * 2)
        sides = [
            stored if side == short else 2 * max(1, round(side * stored / short / 2))
            for side in (height, width)
        ]
        return sides[0], sides[1]

    def count_frames(self, frames: int, seconds: float) -> int:
        """Return how many frames the copy of a video has."""
        return max(1, math.ceil(seconds * self.fps - _HARDLY)) if self.fps else frames


def _check_side(name: str, pixels: int, *, least: int) -> None:
    if pixels < least or pixels % 2:
        raise ValueError(f"{name} must be an even number of pixels, at least {least}, got {pixels}")


@dataclass(frozen=True)
class FramePlan:
    """Which frames a copy shows, and when.

    Attributes:
        source_K: int64, numbers of frames of the original, never falling.
        tick_K: int64, when each is shown, rising from 0.
        ticks_per_sec: of ``tick_K``.
    """

    source_K: NDArray[np.int64]
    tick_K: NDArray[np.int64]
    ticks_per_sec: int


def plan_frames(index: FrameIndex, seconds: float, config: PrepareConfig) -> FramePlan:
    """Return the frames of a copy.

    Without a frame rate these are all frames, each at its time after the first. With one, a frame is shown
    every ``1 / fps`` seconds from 0 to the end of the video: the original's frame nearest in time, of two
    equally near ones the earlier.

        original, 25 per second   0    40    80    120   160   200 ms ...
        copy, 10 per second       0                100         200 ms ...: frames 0, 2, 5

    Args:
        index: of the original.
        seconds: how long it lasts.
        config: whether the frame rate changes.
    """
    if not config.fps:
        numerator, denominator = index.time_base
        ticks = np.sort(index.pts)
        return FramePlan(np.arange(index.num_frames), (ticks - ticks[0]) * numerator, denominator)
    rate = Fraction(config.fps).limit_denominator(_FINEST_RATE)
    number_K = np.arange(config.count_frames(index.num_frames, seconds), dtype=np.int64)
    shown_F = index.timestamps_sec()
    middles = (shown_F[1:] + shown_F[:-1]) / 2
    source_K = np.searchsorted(middles, number_K * float(1 / rate) - _EARLIEST, side="left")
    return FramePlan(source_K.astype(np.int64), number_K * rate.denominator, rate.numerator)


def describe_codec(config: PrepareConfig) -> dict[str, Any]:
    """Return what a record of the copies says of the encoder."""
    name = "rawvideo" if config.format == "raw" else "libx264"
    return {"encoder": name, "options": config.codec_options, "scaling": "bilinear (swscale), in RGB"}
