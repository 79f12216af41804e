"""The job of the workers that measure motion: one video, frame by frame, to one number per window."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from unreel.config import config_from_dict
from unreel.data.frame_index import FrameIndex
from unreel.data.motion_flow import Gray, MotionConfig, build_measure
from unreel.data.motion_windows import split_windows
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile, view_first_plane
from unreel.data.pictures import FrameSize
from unreel.errors import VideoError

# C windows, F frames, H W pixels

_CHANGED = "the file has changed since it was scanned; scan it again"


def measure_file(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Measure the video that a job names.

    Args:
        job: ``path``; ``bytes``, size of the file when it was scanned; ``index``, columns of
            `FrameIndex.to_row`; ``config``, of `MotionConfig`; and ``time_limit_sec``.

    Returns:
        ``motion``, a number per window; or ``reason`` why there is none.
    """
    path = Path(job["path"])
    config = config_from_dict(MotionConfig(), job["config"])
    try:
        if path.is_file() and path.stat().st_size != job["bytes"]:
            return {"reason": f"another size than scanned; {_CHANGED}"}
        motion_C = measure_video(
            path,
            FrameIndex.from_row(job["index"]),
            config,
            time_limit_sec=float(job["time_limit_sec"]),
        )
    except VideoError as error:
        where = "" if error.frame_index is None else f" (frame {error.frame_index})"
        return {"reason": error.reason + where}
    return {"motion": motion_C.tolist()}


def measure_video(
    path: Path, index: FrameIndex, config: MotionConfig, *, time_limit_sec: float = 0.0
) -> NDArray[np.float32]:
    """Return how much every window of a video moves.

    A pair of neighbouring frames belongs to the window of the first of them. The motion of a window is the
    median over its pairs. A window in which none begins, such as one that has only the very last frame, takes
    the motion of the last pair before it; a video of a single frame does not move.

    Frames are decoded once, at the size that is needed, and no more than two are kept.

    Args:
        path: the video.
        index: what the scan found in it.
        config: how motion is measured.
        time_limit_sec: for the whole video; 0 sets no limit.

    Raises:
        VideoError: the file cannot be read to its last frame, or has changed since the scan.
    """
    bounds = split_windows(index, config.window_sec)
    pair_P = choose_pairs(index, config.pairs_per_sec)
    deadline = Deadline(path, time_limit_sec)
    value_P = np.array(list(_measure_pairs(path, index, pair_P, config, deadline)))
    return _summarize_windows(pair_P, value_P, bounds)


def choose_pairs(index: FrameIndex, pairs_per_sec: float) -> NDArray[np.int64]:
    """Return the first frames of the pairs that are compared: all, or the first in every so many seconds."""
    numbers_P = np.arange(index.num_frames - 1, dtype=np.int64)
    if not pairs_per_sec or not len(numbers_P):
        return numbers_P
    slot_P = np.floor(index.timestamps_sec()[:-1] * pairs_per_sec + 1e-6)
    return numbers_P[np.diff(slot_P, prepend=-1.0) > 0]


@functools.lru_cache(maxsize=1)
def _build_measure(config: MotionConfig) -> Callable[[Gray, Gray], float]:
    """Keep what the flow needs from video to video."""
    return build_measure(config)


def _measure_pairs(
    path: Path, index: FrameIndex, pair_P: NDArray[np.int64], config: MotionConfig, deadline: Deadline
) -> Iterator[float]:
    if not len(pair_P):
        return
    measure = _build_measure(config)
    firsts = set(pair_P.tolist())
    number, previous, missing = -1, None, len(firsts)
    with VideoFile(path, deadline) as video:
        if video.time_base != index.time_base:
            raise VideoError(str(path), f"other ticks of time than scanned; {_CHANGED}")
        convert = _GrayConverter(config.size)
        for number, frame in enumerate(video.read_frames()):
            deadline.frame_index = number
            if number < index.num_frames and index.is_addressable and frame.pts != index.pts[number]:
                raise VideoError(str(path), f"another timestamp than scanned; {_CHANGED}", frame_index=number)
            is_second = previous is not None
            if not is_second and number not in firsts:
                continue
            picture = convert(frame)
            if previous is not None:
                yield measure(previous, picture)
                missing -= 1
                if not missing:
                    return
            previous = picture if number in firsts else None
        reason = f"the file ends after {number + 1} of {index.num_frames} frames; {_CHANGED}"
        raise VideoError(str(path), "; ".join([reason, *video.faults[:1]]))


class _GrayConverter:
    """Scales frames to one size and keeps their brightness alone; a picture stays valid after the next."""

    def __init__(self, size: int) -> None:
        self._size = FrameSize(size)
        self._scaler = VideoReformatter()
        self._shape = (0, 0)

    def __call__(self, frame: VideoFrame) -> Gray:
        if not all(self._shape):
            self._shape = self._size.resolve(frame.height, frame.width)
        height, width = self._shape
        gray = self._scaler.reformat(
            frame, width, height, "gray", interpolation=Interpolation.BILINEAR, threads=1
        )
        return np.ascontiguousarray(view_first_plane(gray)[:, :width])


def _summarize_windows(
    pair_P: NDArray[np.int64], value_P: NDArray[np.float64], bounds: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the median of every window's pairs."""
    motion_C = np.zeros(len(bounds) - 1, dtype=np.float32)
    places = np.searchsorted(pair_P, bounds)
    for window, (first, behind) in enumerate(itertools.pairwise(places)):
        if behind > first:
            motion_C[window] = np.median(value_P[first:behind])
        elif len(value_P):
            motion_C[window] = value_P[first - 1]
    return motion_C
