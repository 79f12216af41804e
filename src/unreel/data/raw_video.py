"""Videos of uncompressed pictures, read without a decoder: a frame is a place in the file.

Raw copies are QuickTime files of packed RGB, ``NAME.raw.mov``, which any player opens and FFmpeg reads like
every other video. All their frames have the same size and lie one behind the other,

    ftyp  wide  mdat: frame 0, frame 1, ..., frame F - 1  moov: size, times, number of frames

so that frame k is read with one call, into the array where it is wanted. What is not laid out just so, or has
changed since it was scanned, is left to the ordinary way, which reads it or says what is wrong.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline
from unreel.data.pictures import FrameSize, RgbConverter

# F frames, H W pixels, C channels

RAW_SUFFIX = ".raw.mov"
_CHANNELS = 3
_MOST_HEADER_BYTES = 1 << 26
_IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_WAY_TO_TABLES = (b"trak", b"mdia", b"minf", b"stbl")


@dataclass(frozen=True)
class RawLayout:
    """Where the frames of a raw video lie.

    Attributes:
        offset: of the first frame, in bytes.
        num_frames: that follow each other.
        height: in pixels.
        width: in pixels.
        ticks_per_sec: of timestamps.
    """

    offset: int
    num_frames: int
    height: int
    width: int
    ticks_per_sec: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.height * self.width * _CHANNELS


def read_raw(
    path: Path,
    index: FrameIndex,
    wanted: NDArray[np.int64],
    size: FrameSize,
    *,
    converter: RgbConverter,
    deadline: Deadline,
) -> NDArray[np.uint8] | None:
    """Read frames of a raw video; those of the stored size are copied as they are, others are scaled.

    Args:
        path: the video; by its name it is raw or is not.
        index: what the scan found in it.
        wanted: numbers of frames.
        size: of the frames.
        converter: scales frames; the bits are those that decoding the file gives.
        deadline: ends the wait for a slow disk.

    Returns:
        uint8 RGB (F, H, W, 3), or None when the file is not raw or not as the index says.

    Raises:
        VideoError: the time is up.
    """
    if not path.name.endswith(RAW_SUFFIX):
        return None
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        layout = find_layout(file)
        if layout is None or (layout.num_frames, (1, layout.ticks_per_sec)) != (
            index.num_frames,
            index.time_base,
        ):
            return None
        return _read_frames(file, layout, wanted, size, converter=converter, deadline=deadline)
    except OSError:
        return None
    finally:
        os.close(file)


def find_layout(file: int) -> RawLayout | None:
    """Return where the frames lie; None when the file is not laid out as raw videos are.

    Args:
        file: descriptor of the open file.
    """
    media = header = (0, 0)
    for kind, start, end in _list_atoms(file):
        if kind == b"mdat":
            media = (start, end)
        elif kind == b"moov":
            header = (start, end)
    if not media[0] or not 0 < header[1] - header[0] < _MOST_HEADER_BYTES:
        return None
    try:
        return _parse_header(os.pread(file, header[1] - header[0], header[0]), media)
    except (KeyError, struct.error):
        return None


def _list_atoms(file: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the content of what lies side by side in the file."""
    place, file_end = 0, os.fstat(file).st_size
    while place < file_end:
        head = os.pread(file, 16, place)
        if len(head) < 8:
            return
        num_bytes, kind = struct.unpack(">I4s", head[:8])
        skip = 8
        if num_bytes == 1 and len(head) == 16:
            num_bytes, skip = struct.unpack(">Q", head[8:])[0], 16
        if num_bytes < skip or place + num_bytes > file_end:
            return
        yield kind, place + skip, place + num_bytes
        place += num_bytes


def _parse_header(moov: bytes, media: tuple[int, int]) -> RawLayout | None:
    """Read size, rate and number of frames; None when they do not fill the media, upright and without gap."""
    parts = _split(moov)
    for kind in _WAY_TO_TABLES:
        parts |= _split(parts[kind])
    width, height = struct.unpack_from(">2H", parts[b"stsd"], 40)
    codec, depth = parts[b"stsd"][12:16], struct.unpack_from(">H", parts[b"stsd"], 90)[0]
    frame_bytes, num_frames = struct.unpack_from(">2I", parts[b"stsz"], 4)
    is_long = parts[b"mdhd"][:1] == b"\1"  # times of eight bytes, of which there are two before
    ticks_per_sec = struct.unpack_from(">I", parts[b"mdhd"], 20 if is_long else 12)[0]
    layout = RawLayout(media[0], num_frames, height, width, ticks_per_sec)
    is_raw = codec == b"raw " and depth == 8 * _CHANNELS and _IDENTITY in parts[b"tkhd"]
    is_filled = frame_bytes == layout.frame_bytes and num_frames * frame_bytes == media[1] - media[0]
    return layout if is_raw and is_filled and num_frames else None


def _split(content: bytes) -> dict[bytes, bytes]:
    """Return the parts of an atom by kind; of two of a kind, which raw videos do not have, none."""
    parts: dict[bytes, bytes] = {}
    place = 0
    while place + 8 <= len(content):
        num_bytes, kind = struct.unpack_from(">I4s", content, place)
        if kind in parts or num_bytes < 8:
            return {}
        parts[kind] = content[place + 8 : place + num_bytes]
        place += num_bytes
    return parts


def _read_frames(
    file: int,
    layout: RawLayout,
    wanted: NDArray[np.int64],
    size: FrameSize,
    *,
    converter: RgbConverter,
    deadline: Deadline,
) -> NDArray[np.uint8] | None:
    height, width = size.resolve(layout.height, layout.width)
    is_stored = (height, width) == (layout.height, layout.width)
    frames_FHWC = np.empty((len(wanted), height, width, _CHANNELS), np.uint8)
    stored_HWC = np.empty((layout.height, layout.width, _CHANNELS), np.uint8)
    for row, number in enumerate(wanted.tolist()):
        deadline.frame_index = number
        deadline.check()
        target = frames_FHWC[row] if is_stored else stored_HWC
        place = layout.offset + number * layout.frame_bytes
        if os.preadv(file, [target.data.cast("B")], place) != layout.frame_bytes:
            return None
        if not is_stored:
            frame = VideoFrame.from_ndarray(stored_HWC, "rgb24")
            frames_FHWC[row] = converter.convert(frame, height, width)
    return frames_FHWC
