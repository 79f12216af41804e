"""Find out what a video file really holds, by decoding it; headers promise things that do not come true."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from unreel.data.decode import enter, get_rotation
from unreel.data.frame_index import FrameIndex
from unreel.data.packets import Deadline, VideoFile
from unreel.errors import VideoError

_MAX_TRIED_KEY_FRAMES = 64
"""So many key frames are entered and compared with the decode from the beginning; when all hold, the rest is believed."""

_SECOND_LOOK = 2
"""The second frame that is compared, counted from the key frame; in most files it comes with a skip before it."""
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
        check: ``"decode"`` decodes every frame; ``"packets"`` reads every packet but decodes only the first and the
            last group of pictures, and everything where these two do not agree with the packets.
        time_limit_sec: after this the file counts as unusable; 0 sets no limit.

    Raises:
        ValueError: ``check`` is unknown.
        VideoError: the file cannot be opened, holds no video or no frame that decodes, or took too long.
    """
    if check not in ("decode", "packets"):
        raise ValueError(f"check must be 'decode' or 'packets', got {check!r}")
    deadline = Deadline(path, time_limit_sec)
    trace = _trace_packets(path, deadline) if check == "packets" else None
    return _summarize(trace or _trace_decode(path, deadline))


@dataclass
class _Trace:
    """What was seen of a file while it was read."""

    container: str
    codec: str
    time_base: tuple[int, int]
    size: tuple[int, int]
    rotation: int
    promised_frames: int
    promised_sec: float
    average_fps: float
    pts: list[int | None] = field(default_factory=list)
    key_frames: list[int] = field(default_factory=list)
    fingerprints: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def _trace_decode(path: Path, deadline: Deadline) -> "_Trace":
    """Decode the whole file, then try out entering it at key frames."""
    with VideoFile(path, deadline) as video:
        trace: _Trace | None = None
        key_pts: set[int | None] = set()
        for frame in _decode_noting_keys(video, key_pts):
            trace = trace or _start_trace(video, frame)
            _note_frame(trace, frame, key_pts)
        if trace is None:
            raise VideoError(str(path), _explain_no_frame(video))
        trace.faults = video.faults
    _keep_proven_key_frames(path, trace, deadline)
    return trace


def _decode_noting_keys(video: VideoFile, key_pts: set[int | None]) -> Iterator[VideoFrame]:
    for packet in video.read_packets():
        if packet.is_keyframe and packet.pts is not None:
            key_pts.add(packet.pts)
        yield from video.decode(packet)
    yield from video.decode(None)


def _start_trace(video: VideoFile, frame: VideoFrame) -> _Trace:
    assert video.stream.time_base is not None
    rate = video.stream.average_rate
    height, width = video.coded_size
    return _Trace(
        container=video.container_name,
        codec=video.codec_name,
        time_base=(video.stream.time_base.numerator, video.stream.time_base.denominator),
        size=(height or frame.height, width or frame.width),
        rotation=get_rotation(frame),
        promised_frames=video.stream.frames,
        promised_sec=video.duration_sec,
        average_fps=float(rate) if rate else 0.0,
    )


def _note_frame(trace: _Trace, frame: VideoFrame, key_pts: set[int | None]) -> None:
    number = len(trace.pts)
    trace.pts.append(frame.pts)
    if _is_entry(frame) and frame.pts in key_pts:
        trace.key_frames.append(number)
    if number in (0, _SECOND_LOOK) or (
        trace.key_frames and number - trace.key_frames[-1] in (0, _SECOND_LOOK)
    ):
        trace.fingerprints[number] = _fingerprint(frame)


def _is_entry(frame: VideoFrame) -> bool:
    """Tell a true key frame from the start of a gradual refresh, which is flagged alike but is not intra coded."""
    return bool(frame.key_frame) and frame.pict_type not in (PictureType.P, PictureType.B)


def _fingerprint(frame: VideoFrame) -> int:
    """Sum up every fourth line of the first plane."""
    plane = frame.planes[0]
    used_bytes = plane.width * (frame.format.components[0].bits + 7) // 8
    lines = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(
        plane.height, plane.line_size
    )
    return zlib.crc32(np.ascontiguousarray(lines[::4, : min(used_bytes, plane.line_size)]))


def _explain_no_frame(video: VideoFile) -> str:
    cause = f" ({video.faults[0]})" if video.faults else " (there is a video stream, but it holds no data)"
    return f"no frame decodes{cause}; copy or download the file again, or leave it out"


def _keep_proven_key_frames(path: Path, trace: _Trace, deadline: Deadline) -> None:
    """Drop key frames from which decoding does not give what it gives from the beginning."""
    pts = [value for value in trace.pts if value is not None]
    if len(set(pts)) != len(trace.pts):
        trace.key_frames = []
        return
    index = FrameIndex(np.array(pts, np.int64), np.array([0], np.int64), trace.time_base)
    if not _is_proven(path, trace, index, -1, deadline):
        trace.key_frames = []
        return
    candidates = [key for key in trace.key_frames if key > 0]
    sample = candidates[:: max(1, len(candidates) // _MAX_TRIED_KEY_FRAMES)]
    proven = [key for key in sample if _is_proven(path, trace, index, key, deadline)]
    if len(proven) == len(sample):
        proven = candidates
    elif len(sample) < len(candidates):
        proven = [key for key in candidates if _is_proven(path, trace, index, key, deadline)]
    trace.key_frames = [0, *proven]


def _is_proven(path: Path, trace: _Trace, index: FrameIndex, key: int, deadline: Deadline) -> bool:
    """Enter the file at a key frame, -1 for the beginning, and compare two frames with the first decode."""
    numbers = [number for number in (max(key, 0), max(key, 0) + _SECOND_LOOK) if number in trace.fingerprints]
    wanted = {int(index.pts[number]): trace.fingerprints[number] for number in numbers}
    with VideoFile(path, deadline) as video:
        frames = video.pick_frames(enter(video, index, key), wanted.keys())
        seen = {frame.pts: _fingerprint(frame) for frame in frames}
    return seen == wanted


def _trace_packets(path: Path, deadline: Deadline) -> _Trace | None:
    """Read all packets and decode both ends; None when packets do not tell the frames."""
    with VideoFile(path, deadline) as video:
        packets = [(packet.pts, packet.is_keyframe) for packet in video.read_packets()]
        if video.faults:
            return None
    pts = sorted(value for value, _ in packets if value is not None)
    if not pts or len(set(pts)) != len(packets):
        return None
    index = FrameIndex(np.array(pts, np.int64), np.array([0], np.int64), (1, 1))
    keys = np.searchsorted(
        index.pts, sorted({value for value, is_key in packets if is_key and value is not None})
    )
    first_end = int(keys[1]) if len(keys) > 1 else len(pts)
    trace = _decode_part(path, index, -1, pts[:first_end], deadline)
    if trace is None:
        return None
    last = int(keys[-1]) if len(keys) else 0
    if last > 0 and _decode_part(path, index, last, pts[last:], deadline) is None:
        return None
    trace.pts = list(pts)
    trace.key_frames = [0, *(int(key) for key in keys if key > 0)]
    return trace


def _decode_part(
    path: Path, index: FrameIndex, key: int, expected_pts: list[int], deadline: Deadline
) -> _Trace | None:
    """Decode one group of pictures and compare its timestamps with those of the packets."""
    trace: _Trace | None = None
    with VideoFile(path, deadline) as video:
        for frame in video.pick_frames(enter(video, index, key), set(expected_pts)):
            if trace is None:
                if not _is_entry(frame):
                    return None
                trace = _start_trace(video, frame)
            trace.pts.append(frame.pts)
        is_sound = trace is not None and trace.pts == expected_pts and not video.faults
    return trace if is_sound else None


def _summarize(trace: _Trace) -> VideoInfo:
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


def _complete_pts(trace: _Trace) -> NDArray[np.int64]:
    """Return the timestamps; where they are missing or repeated, even steps at the average rate."""
    known = [value for value in trace.pts if value is not None]
    if len(set(known)) == len(trace.pts):
        return np.array(known, np.int64)
    num, den = trace.time_base
    step = max(1, round(den / num / (trace.average_fps or _ASSUMED_FPS)))
    return np.arange(len(trace.pts), dtype=np.int64) * step


def _measure_seconds(trace: _Trace, index: FrameIndex) -> float:
    """Return the time from the first frame to the end of the last, which is shown as long as the others on average."""
    if index.num_frames > 1:
        return float(index.timestamps_sec()[-1]) * index.num_frames / (index.num_frames - 1)
    if trace.promised_sec > 0:
        return trace.promised_sec
    return 1.0 / (trace.average_fps or _ASSUMED_FPS)


def _has_uneven_steps(index: FrameIndex) -> bool:
    """Tell steps that differ from steps that are rounded to ticks."""
    steps = np.diff(np.sort(index.pts))
    if len(steps) < 2:
        return False
    spread = int(steps.max() - steps.min())
    return spread > 1 or (spread == 1 and float(np.median(steps)) < _MIN_TICKS_PER_FRAME)


def _describe_damage(trace: _Trace) -> str:
    parts = []
    if trace.promised_frames and trace.promised_frames != len(trace.pts):
        parts.append(f"header promises {trace.promised_frames} frames, {len(trace.pts)} decode")
    if trace.faults:
        parts.append(
            f"damaged: {trace.faults[0]}"
            + (f" ({len(trace.faults)} faults)" if len(trace.faults) > 1 else "")
        )
    return "; ".join(parts)
