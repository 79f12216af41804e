"""Decode chosen frames of a video: exactly those that are asked for, and as little else as can be.

What makes it fast without changing a bit: start at the key frame before the first wanted frame; let the
decoder leave out frames that nobody wants and no other frame needs; jump ahead when the way to the next
wanted frame crosses another key frame; take all clips of a video in one sorted pass; scale and convert the
wanted frames only, with one converter.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline, check_time_limit
from unreel.data.packets import VideoFile
from unreel.data.pictures import FrameSize, PictureStack, RgbConverter
from unreel.data.raw_video import read_raw
from unreel.errors import VideoError

__all__ = ["ClipDecoder", "FrameSize"]

# N clips, T frames, F frames of a whole video, H W pixels, C channels

_CHANGED = "the file is damaged here or has changed since it was scanned; scan it again"
_FIRST_ROOM = 64
"""Rows for a video of unknown length; more are added when they are full."""


class ClipDecoder:
    """Reads clips, one video after the other; keep one per worker, it reuses its colour converter.

    Args:
        size: of the decoded frames.
        time_limit_sec: for one video; 0 sets no limit.

    Raises:
        ValueError: the limit is negative, infinite or not a number.
    """

    def __init__(self, size: FrameSize = FrameSize(), *, time_limit_sec: float = 30.0) -> None:  # noqa: B008
        check_time_limit(time_limit_sec)
        self.size = size
        self.time_limit_sec = time_limit_sec
        self._converter = RgbConverter()

    def decode(self, path: Path, index: FrameIndex, frames_NT: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode the planned frames, in the order of the plan, each once however often it is named.

        Every frame has the bits that decoding the file from its beginning gives.

        Args:
            path: the video.
            index: what the scan found in it.
            frames_NT: frame numbers, at least one.

        Returns:
            uint8 RGB of shape (N, T, H, W, 3).

        Raises:
            ValueError: a frame number is not in [0, frames of the index).
            VideoError: a planned frame does not decode, or the file took longer than the limit.
        """
        wanted, places = np.unique(frames_NT, return_inverse=True)
        _check_plan(path, index, wanted)
        deadline = Deadline(path, self.time_limit_sec)
        deadline.frame_index = int(wanted[0])
        frames = read_raw(path, index, wanted, self.size, converter=self._converter, deadline=deadline)
        if frames is None and index.is_addressable:
            frames = self._read_by_time(path, index, wanted, deadline)
        if frames is None:
            frames = self._read_in_order(path, index, wanted, deadline)
        if not np.array_equal(places.ravel(), np.arange(len(wanted))):
            frames = frames[places.ravel()]
        return frames.reshape(*frames_NT.shape, *frames.shape[1:])

    def decode_all(self, path: Path) -> NDArray[np.uint8]:
        """Decode the whole file from its beginning.

        Returns:
            uint8 RGB of shape (F, H, W, 3), with every frame that decodes.

        Raises:
            VideoError: the file cannot be opened, holds no frame that decodes, or took longer than the limit.
        """
        number = -1
        deadline = Deadline(path, self.time_limit_sec)
        with VideoFile(path, deadline) as video:
            pictures = self._build_stack(video, _FIRST_ROOM)
            for number, frame in enumerate(video.read_frames()):
                deadline.frame_index = number
                pictures.put(number, frame)
            if number < 0:
                raise VideoError(str(path), video.explain_no_frame())
        return pictures.frames_FHWC[: number + 1].copy()

    def _build_stack(self, video: VideoFile, num_rows: int) -> PictureStack:
        return PictureStack(self.size, self._converter, num_rows, video.coded_size)

    def _read_by_time(
        self, path: Path, index: FrameIndex, wanted: NDArray[np.int64], deadline: Deadline
    ) -> NDArray[np.uint8] | None:
        """Read with jumps and skips; None when anything at all is not as the index says."""
        for quick in (True, False):
            with VideoFile(path, deadline, quick=quick) as video:
                pictures = self._build_stack(video, len(wanted))
                if video.time_base == index.time_base and _fill(pictures, video, index, wanted, deadline):
                    return pictures.frames_FHWC
                if video.faults:
                    return None
        return None

    def _read_in_order(
        self, path: Path, index: FrameIndex, wanted: NDArray[np.int64], deadline: Deadline
    ) -> NDArray[np.uint8]:
        """Decode from the beginning and count; every frame up to the last wanted one is decoded."""
        number = -1
        row_of = {frame: row for row, frame in enumerate(wanted.tolist())}
        with VideoFile(path, deadline) as video:
            if video.time_base != index.time_base:
                raise VideoError(str(path), f"other ticks of time than scanned; {_CHANGED}")
            pictures = self._build_stack(video, len(wanted))
            for number, frame in enumerate(video.read_frames()):
                if number not in row_of:
                    continue
                deadline.frame_index = number
                if index.is_addressable and frame.pts != index.pts[number]:
                    raise VideoError(
                        str(path), f"another timestamp than scanned; {_CHANGED}", frame_index=number
                    )
                pictures.put(row_of.pop(number), frame)
                if not row_of:
                    return pictures.frames_FHWC
            reasons = [
                f"the file ends after {number + 1} of {index.num_frames} frames",
                _CHANGED,
                *video.faults[:1],
            ]
        raise VideoError(str(path), "; ".join(reasons), frame_index=min(row_of))


def _fill(
    pictures: PictureStack, video: VideoFile, index: FrameIndex, wanted: NDArray[np.int64], deadline: Deadline
) -> bool:
    """Put the wanted frames into rows; False when one is missing, damaged, or not of the video's size."""
    row_of = {pts: row for row, pts in enumerate(index.pts[wanted].tolist())}
    for key, run in split_at_key_frames(wanted, index):
        missing = set(index.pts[run].tolist())
        deadline.frame_index = int(run[0])
        for frame in video.pick_frames(video.enter(index, key), frozenset(missing)):
            if frame.pts not in missing or (frame.height, frame.width) != video.coded_size:
                return False
            pictures.put(row_of[frame.pts], frame)
            missing.remove(frame.pts)
        if missing or video.faults:
            return False
    return True


def _check_plan(path: Path, index: FrameIndex, wanted: NDArray[np.int64]) -> None:
    if not len(wanted):
        raise ValueError(f"frames_NT must name at least one frame of {path}, got none")
    if wanted[0] < 0 or wanted[-1] >= index.num_frames:
        raise ValueError(
            f"frames_NT must lie in [0, {index.num_frames}), the frames of {path}, "
            f"got {wanted[0]} to {wanted[-1]}; plan with the number of frames of its index"
        )


def split_at_key_frames(
    wanted: NDArray[np.int64], index: FrameIndex
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Group sorted frames into runs that are decoded without a jump.

    A jump costs less than decoding one frame of 320x240, so it pays as soon as it leaves one out.

        key frames  0           12          24          36
        wanted          4 6 8 10 12                      37 39
        runs        (-1: 4 6 8 10 12)                   (36: 37 39)

    Yields:
        The key frame to start at, -1 for the beginning of the file, and the frames of the run.
    """
    keys = index.find_key_frames(wanted)
    left_out = keys[1:] - wanted[:-1] - 1
    bounds = [0, *(np.flatnonzero(left_out > 0) + 1).tolist(), len(wanted)]
    for start, end in itertools.pairwise(bounds):
        key = int(keys[start])
        yield (-1 if key <= int(index.key_frames[0]) else key), wanted[start:end]
