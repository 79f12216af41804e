"""Read a whole file and write down what comes out: timestamps, key frames that can be entered, faults."""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from av.video.frame import PictureType, VideoFrame

from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile, view_first_plane
from unreel.data.pictures import get_rotation
from unreel.errors import VideoError

_MAX_TRIED_KEY_FRAMES = 16
"""So many key frames are tried against the decode from the beginning; when all hold, so do the others."""
_SECOND_LOOK = 2
"""The second frame compared, counted from the key frame; in most files a frame before it is left out."""


@dataclass
class Trace:
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


def trace_decode(path: Path, deadline: Deadline) -> Trace:
    """Decode the whole file, then try out entering it at key frames.

    Raises:
        VideoError: no frame decodes, or it takes too long.
    """
    key_pts: set[int | None] = set()
    trace: Trace | None = None
    with VideoFile(path, deadline) as video:
        for frame in video.read_frames(key_pts):
            trace = trace or _start_trace(video, frame)
            _note_frame(trace, frame, key_pts)
        if trace is None:
            raise VideoError(str(path), video.explain_no_frame())
        trace.faults = video.faults
    _keep_proven_key_frames(path, trace, deadline)
    return trace


def _start_trace(video: VideoFile, frame: VideoFrame) -> Trace:
    rate = video.stream.average_rate
    height, width = video.coded_size
    return Trace(
        container=video.container_name,
        codec=video.codec_name,
        time_base=video.time_base,
        size=(height or frame.height, width or frame.width),
        rotation=get_rotation(frame),
        promised_frames=video.stream.frames,
        promised_sec=video.duration_sec,
        average_fps=float(rate) if rate else 0.0,
    )


def _note_frame(trace: Trace, frame: VideoFrame, key_pts: set[int | None]) -> None:
    number = len(trace.pts)
    trace.pts.append(frame.pts)
    if _is_entry(frame) and frame.pts in key_pts:
        trace.key_frames.append(number)
    if number in (0, _SECOND_LOOK) or (
        trace.key_frames and number - trace.key_frames[-1] in (0, _SECOND_LOOK)
    ):
        trace.fingerprints[number] = _fingerprint(frame)


def _is_entry(frame: VideoFrame) -> bool:
    """Tell a true key frame from the start of a gradual refresh: flagged alike, but not intra coded."""
    return bool(frame.key_frame) and frame.pict_type not in (PictureType.P, PictureType.B)


def _fingerprint(frame: VideoFrame) -> int:
    """Sum up every fourth line of the first plane."""
    plane = frame.planes[0]
    used_bytes = plane.width * ((frame.format.components[0].bits + 7) // 8)
    return zlib.crc32(view_first_plane(frame)[::4, :used_bytes].tobytes())


def _pick_evenly(keys: list[int]) -> list[int]:
    step = -(-len(keys) // _MAX_TRIED_KEY_FRAMES)
    return keys[:: max(1, step)]


def _keep_proven_key_frames(path: Path, trace: Trace, deadline: Deadline) -> None:
    """Drop key frames from which decoding does not give what it gives from the beginning."""
    candidates = [key for key in trace.key_frames if key > 0]
    trace.key_frames = []
    pts = [value for value in trace.pts if value is not None]
    if len(set(pts)) != len(trace.pts):
        return
    index = FrameIndex(np.array(pts, np.int64), np.array([0], np.int64), trace.time_base)
    with VideoFile(path, deadline) as video:
        if not _is_proven(video, trace, index, -1):
            return
        sample = _pick_evenly(candidates)
        proven = [key for key in sample if _is_proven(video, trace, index, key)]
        if len(proven) == len(sample):
            proven = candidates
        elif len(sample) < len(candidates):
            proven = [key for key in candidates if _is_proven(video, trace, index, key)]
    trace.key_frames = [0, *proven]


def _is_proven(video: VideoFile, trace: Trace, index: FrameIndex, key: int) -> bool:
    """Enter the file at a key frame, -1 for the beginning, and compare two frames with the first decode."""
    first = max(key, 0)
    numbers = [number for number in (first, first + _SECOND_LOOK) if number in trace.fingerprints]
    wanted = {int(index.pts[number]): trace.fingerprints[number] for number in numbers}
    frames = video.pick_frames(video.enter(index, key), wanted.keys())
    return {frame.pts: _fingerprint(frame) for frame in frames} == wanted


def trace_packets(path: Path, deadline: Deadline) -> Trace | None:
    """Read all packets and decode both ends; None when packets do not tell the frames."""
    with VideoFile(path, deadline) as video:
        packets = [(packet.pts, packet.is_keyframe) for packet in video.read_packets()]
        if video.faults:
            return None
    pts = sorted({value for value, _ in packets if value is not None})
    if not pts or len(pts) != len(packets):
        return None
    index = FrameIndex(np.array(pts, np.int64), np.array([0], np.int64), (1, 1))
    key_pts = sorted(value for value, is_key in packets if is_key and value is not None)
    keys: list[int] = [key for key in np.searchsorted(index.pts, key_pts).tolist() if key > 0]
    trace = _decode_part(path, index, -1, pts[: keys[0]] if keys else pts, deadline)
    if trace is None or not _are_entries(path, index, _pick_evenly(keys), deadline):
        return None
    if keys and _decode_part(path, index, keys[-1], pts[keys[-1] :], deadline) is None:
        return None
    trace.pts = list(pts)
    trace.key_frames = [0, *keys]
    return trace


def _are_entries(path: Path, index: FrameIndex, keys: list[int], deadline: Deadline) -> bool:
    return all(
        _decode_part(path, index, key, index.pts[key : key + 1].tolist(), deadline) is not None
        for key in keys
    )


def _decode_part(
    path: Path, index: FrameIndex, key: int, expected_pts: list[int], deadline: Deadline
) -> Trace | None:
    """Decode from a key frame; None when others than the expected frames come out."""
    with VideoFile(path, deadline) as video:
        frames = video.pick_frames(video.enter(index, key), frozenset(expected_pts))
        first = next(frames, None)
        if first is None or not _is_entry(first):
            return None
        trace = _start_trace(video, first)
        trace.pts = [first.pts, *(frame.pts for frame in frames)]
        return trace if trace.pts == expected_pts and not video.faults else None
