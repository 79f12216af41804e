"""Find out what a video file really holds, by decoding it; headers promise things that do not come true."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline
from unreel.data.tracing import Trace, trace_decode, trace_packets

_ASSUMED_FPS = 25.0
"""For files that say nothing at all about time."""
_MIN_TICKS_PER_FRAME = 4
"""With coarser ticks than this, a step that is one tick longer is a longer frame, not rounding."""


@dataclass(frozen=True)
class VideoInfo:
    """The truth about a video file.

    Attributes:
        frames: number of frames that decode.
        seconds: time from the first frame to the end of the last.
        fps: frames per second on average.
        width: as shown, after rotation, in pixels.
        height: as shown, after rotation, in pixels.
        rotation: degrees clockwise by which pictures are turned to be shown: 0, 90, 180 or 270.
        codec: FFmpeg's name, such as ``"h264"``.
        container: FFmpeg's name, such as ``"avi"``.
        is_variable_frame_rate: whether frames are shown for different times.
        note: "" or what is wrong with a file that can still be used.
        index: how to reach every frame.
    """

    frames: int
    seconds: float
    fps: float
    width: int
    height: int
    rotation: int
    codec: str
    container: str
    is_variable_frame_rate: bool
    note: str
    index: FrameIndex


def probe_video(
    path: Path, *, check: Literal["decode", "packets"] = "decode", time_limit_sec: float = 60.0
) -> VideoInfo:
    """Examine a file.

    Args:
        path: the file.
        check: ``"decode"`` decodes every frame; ``"packets"`` reads every packet but decodes only the first
            and the last group of pictures and some key frames, and everything where these do not agree with
            the packets.
        time_limit_sec: after this the file counts as unusable; 0 sets no limit.

    Raises:
        ValueError: ``check`` is unknown.
        VideoError: the file cannot be opened, holds no video or no frame that decodes, or took too long.
    """
    if check not in ("decode", "packets"):
        raise ValueError(f"check must be 'decode' or 'packets', got {check!r}")
    deadline = Deadline(path, time_limit_sec)
    trace = trace_packets(path, deadline) if check == "packets" else None
    return _summarize(trace or trace_decode(path, deadline))


def _summarize(trace: Trace) -> VideoInfo:
    index = FrameIndex(_complete_pts(trace), np.array(trace.key_frames, np.int64), trace.time_base)
    seconds = _measure_seconds(trace, index)
    height, width = trace.size[::-1] if trace.rotation % 180 else trace.size
    return VideoInfo(
        frames=index.num_frames,
        seconds=seconds,
        fps=index.num_frames / seconds,
        width=width,
        height=height,
        rotation=trace.rotation,
        codec=trace.codec,
        container=trace.container,
        is_variable_frame_rate=_has_uneven_steps(index),
        note=_describe_damage(trace),
        index=index,
    )


def _complete_pts(trace: Trace) -> NDArray[np.int64]:
    """Return the timestamps; where they are missing or repeated, even steps at the average rate."""
    known = [value for value in trace.pts if value is not None]
    if len(set(known)) == len(trace.pts):
        return np.array(known, np.int64)
    num, den = trace.time_base
    step = max(1, round(den / num / (trace.average_fps or _ASSUMED_FPS)))
    return np.arange(len(trace.pts), dtype=np.int64) * step


def _measure_seconds(trace: Trace, index: FrameIndex) -> float:
    """Return the time from the first frame to the end of the last, which counts as long as the others."""
    if index.num_frames > 1:
        return float(index.timestamps_sec()[-1]) * index.num_frames / (index.num_frames - 1)
    if trace.average_fps > 0:
        return 1.0 / trace.average_fps
    return trace.promised_sec or 1.0 / _ASSUMED_FPS


def _has_uneven_steps(index: FrameIndex) -> bool:
    """Tell steps that differ from steps that are rounded to ticks."""
    steps = np.diff(np.sort(index.pts))
    if len(steps) < 2:
        return False
    spread = int(steps.max() - steps.min())
    return spread > 1 or (spread == 1 and float(np.median(steps)) < _MIN_TICKS_PER_FRAME)


def _describe_damage(trace: Trace) -> str:
    parts = []
    if trace.promised_frames and trace.promised_frames != len(trace.pts):
        parts.append(f"header promises {trace.promised_frames} frames, {len(trace.pts)} decode")
    if trace.faults:
        parts.append(
            f"damaged: {trace.faults[0]}"
            + (f" ({len(trace.faults)} faults)" if len(trace.faults) > 1 else "")
        )
    return "; ".join(parts)
