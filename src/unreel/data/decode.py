"""Decode chosen frames of a video: exactly those that are asked for, and as little else as can be.

What makes it fast without changing a bit: start at the key frame before the first wanted frame; let the decoder leave
out frames that nobody wants and no other frame needs; jump ahead when the way to the next wanted frame crosses another
key frame; take all clips of a video in one sorted pass; scale and convert the wanted frames only, with one converter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.packets import Deadline, VideoFile
from unreel.errors import VideoError

# N clips, T frames, F frames of a whole video, H W pixels, C channels

_CHANGED = "the file is damaged here or has changed since it was scanned; scan it again"

_MIN_JUMP_FRAMES = 4
"""A jump costs about as much as decoding this many frames."""
_REORDER_FRAMES = 32
"""Containers without a table of key frames are entered this many frames early: more than any codec reorders."""


@dataclass(frozen=True)
class FrameSize:
    """Size of decoded frames, as they are shown (after rotation).

    With both numbers frames get exactly this size, whatever their aspect. With a height alone the shorter side gets
    this length and the aspect is kept. With neither, frames stay as they are.
    """

    height: int = 0
    """Height in pixels, or length of the shorter side when there is no width."""
    width: int = 0
    """Width in pixels; 0 keeps the aspect."""

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0 or (self.width and not self.height):
            raise ValueError(
                f"FrameSize takes height and width, a height alone (shorter side) or neither; got {self.height}x{self.width}"
            )

    def resolve(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width for a video of the given size; at least 1 pixel each."""
        if not self.height:
            return height, width
        if self.width:
            return self.height, self.width
        scale = self.height / min(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))


class ClipDecoder:
    """Reads clips, one video after the other; keep one per worker, it reuses its colour converter.

    Args:
        size: of the decoded frames.
        time_limit_sec: for one video; 0 sets no limit.
    """

    def __init__(self, size: FrameSize = FrameSize(), *, time_limit_sec: float = 30.0) -> None:
        self.size = size
        self.time_limit_sec = time_limit_sec
        self._reformatter = VideoReformatter()

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
        if not len(wanted) or wanted[0] < 0 or wanted[-1] >= index.num_frames:
            raise ValueError(
                f"frames_NT must name frames in [0, {index.num_frames}) of {path}, got "
                f"{wanted[[0, -1]].tolist() if len(wanted) else 'none'}; plan with the number of frames of its index"
            )
        deadline = Deadline(path, self.time_limit_sec)
        canvas = _Canvas(self.size, self._reformatter, len(wanted))
        if not (index.is_addressable and self._read_by_time(path, index, wanted, canvas, deadline)):
            canvas.clear()
            self._read_in_order(path, index, wanted, canvas, deadline)
        frames = canvas.pictures
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
        with VideoFile(path, Deadline(path, self.time_limit_sec)) as video:
            canvas = _Canvas(self.size, self._reformatter, 0)
            pictures = [canvas.convert(frame, video).copy() for frame in video.read_frames()]
            if not pictures:
                raise VideoError(
                    str(path), "no frame decodes; " + (video.faults or ["convert it or leave it out"])[0]
                )
        return np.stack(pictures)

    def _read_by_time(
        self, path: Path, index: FrameIndex, wanted: NDArray[np.int64], canvas: "_Canvas", deadline: Deadline
    ) -> bool:
        """Read with jumps and skips; False when anything at all is not as the index says."""
        row_of = {pts: row for row, pts in enumerate(index.pts[wanted].tolist())}
        with VideoFile(path, deadline) as video:
            for key, run in _split_at_key_frames(wanted, index):
                wanted_pts = set(index.pts[run].tolist())
                for frame in video.pick_frames(enter(video, index, key), wanted_pts):
                    if frame.is_corrupt:
                        return False
                    canvas.paint(row_of[frame.pts], frame, video)
                    wanted_pts.discard(frame.pts)
                if wanted_pts or video.faults:
                    return False
        return True

    def _read_in_order(
        self, path: Path, index: FrameIndex, wanted: NDArray[np.int64], canvas: "_Canvas", deadline: Deadline
    ) -> None:
        """Decode from the beginning and count; every frame up to the last wanted one is decoded."""
        number = -1
        rows = {int(frame): row for row, frame in enumerate(wanted)}
        with VideoFile(path, deadline) as video:
            for number, frame in enumerate(video.read_frames()):  # noqa: B007
                if number not in rows:
                    continue
                if index.is_addressable and frame.pts != index.pts[number]:
                    raise VideoError(str(path), _CHANGED, frame_index=number)
                canvas.paint(rows.pop(number), frame, video)
                if not rows:
                    return
            reason = f"the file ends after {number + 1} of {index.num_frames} frames; {_CHANGED}"
            raise VideoError(str(path), "; ".join([reason, *video.faults[:1]]), frame_index=min(rows))


class _Canvas:
    """Where wanted frames are painted: scaled, as RGB, upright."""

    def __init__(self, size: FrameSize, reformatter: VideoReformatter, num_frames: int) -> None:
        self._size = size
        self._reformatter = reformatter
        self._num_frames = num_frames
        self._scaled: tuple[int, int] | None = None
        self._turns = 0
        self.pictures: NDArray[np.uint8] = np.empty((0, 0, 0, 3), np.uint8)

    def clear(self) -> None:
        """Forget what was painted."""
        self._scaled = None

    def paint(self, row: int, frame: VideoFrame, video: VideoFile) -> None:
        """Convert a frame and keep it at a row."""
        picture = self.convert(frame, video)
        if len(self.pictures) != self._num_frames or self.pictures.shape[1:] != picture.shape:
            self.pictures = np.empty((self._num_frames, *picture.shape), np.uint8)
        self.pictures[row] = picture

    def convert(self, frame: VideoFrame, video: VideoFile) -> NDArray[np.uint8]:
        """Return a view of the frame as RGB, valid as long as no other frame is converted.

        All frames of a video get the size and rotation of the first one that is converted.
        """
        if self._scaled is None:
            self._turns = get_rotation(frame) // 90
            self._scaled = self._resolve(video)
        height, width = self._scaled
        scaled = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
        )
        plane = scaled.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        picture = rows[:, : width * 3].reshape(height, width, 3)
        return np.rot90(picture, -self._turns) if self._turns else picture

    def _resolve(self, video: VideoFile) -> tuple[int, int]:
        """Return height and width before rotation."""
        height, width = video.coded_size
        if self._turns % 2:
            width, height = self._size.resolve(width, height)
            return height, width
        return self._size.resolve(height, width)


def get_rotation(frame: VideoFrame) -> int:
    """Return by how many degrees a frame is turned clockwise to be shown upright: 0, 90, 180 or 270.

    Other angles are taken to the nearest of these; mirroring is left out.
    """
    return round(-frame.rotation / 90) % 4 * 90


def _split_at_key_frames(
    wanted: NDArray[np.int64], index: FrameIndex
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Group sorted frames into runs that are decoded without a jump; yields (key frame or -1, frames of the run).

    A jump pays when it leaves out more frames than it costs.

        key frames  0           12          24          36
        wanted          4 6 8 10 12                      37 39
        runs        (-1: 4 6 8 10 12)                   (36: 37 39)
    """
    keys = index.find_key_frames(wanted)
    left_out = keys[1:] - wanted[:-1] - 1
    starts = np.concatenate([[0], np.flatnonzero(left_out >= _MIN_JUMP_FRAMES) + 1, [len(wanted)]])
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        key = int(keys[start])
        is_beginning = start == 0 and key <= int(index.key_frames[0])
        yield (-1 if is_beginning else key), wanted[start:end]


def enter(video: VideoFile, index: FrameIndex, key: int) -> "Iterator[Packet[VideoStream]]":
    """Return the packets from a key frame on; from the beginning of a file just opened when it is -1."""
    if key < 0:
        return video.read_packets()
    return video.read_packets_from(int(index.pts[key]), int(index.pts[max(0, key - _REORDER_FRAMES)]))
