"""An open video file: packets in, decoded frames out.

Scanning and decoding share this file, so both see the same stream, the same frames and the same faults.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline, describe_error, find_video_stream, open_container
from unreel.errors import VideoError

_REORDER_FRAMES = 32
"""Containers without a table of key frames are entered so many frames early: more than any codec reorders."""
_PATCHED = "a frame is damaged and was patched up by the decoder"
_EXACT_SKIPS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
"""Codecs whose decoders, told to leave out a frame that no other needs, give the other frames unchanged."""


class VideoFile:
    """The main video stream of a file, for one thread; a context manager.

    Attributes:
        stream: the stream that is read; cover pictures do not count as video.
        coded_size: height and width of the pictures before rotation, as known when the file was opened.
        faults: what the decoder and the demuxer complained about so far, one line each.

    Raises:
        VideoError: the file cannot be opened or holds no video that can be decoded.
    """

    def __init__(self, path: Path, deadline: Deadline, *, quick: bool = False) -> None:
        self.path = path
        self.faults: list[str] = []
        self._deadline = deadline
        self._container = open_container(path, deadline, quick=quick)
        try:
            self.stream = find_video_stream(path, self._container)
        except VideoError:
            self._container.close()
            raise
        for stream in self._container.streams:
            if stream.index != self.stream.index:
                stream.discard = Discard.all
        self._codec = self.stream.codec_context
        self._codec.thread_count = 1
        self.coded_size = (self._codec.height, self._codec.width)
        self._skips = False
        self._may_skip = self.codec_name in _EXACT_SKIPS

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def container_name(self) -> str:
        """FFmpeg's name of the container format, such as ``"mov,mp4,m4a,3gp,3g2,mj2"``."""
        return str(self._container.format.name)

    @property
    def codec_name(self) -> str:
        """FFmpeg's name of the codec, whatever decoder reads it, such as ``"h264"``."""
        return str(self._codec.codec.canonical_name)

    @property
    def time_base(self) -> tuple[int, int]:
        """Seconds per tick of a timestamp, as numerator and denominator."""
        ticks = self.stream.time_base
        assert ticks is not None
        return ticks.numerator, ticks.denominator

    @property
    def duration_sec(self) -> float:
        """Length that the header promises; 0 when it says nothing."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return (self._container.duration or 0) / av.time_base

    def explain_no_frame(self) -> str:
        """Say why a file that was read to its end gave no frame."""
        cause = self.faults[0] if self.faults else "there is a video stream, but it holds no data"
        return f"no frame decodes ({cause}); copy or download the file again, or leave it out"

    def read_packets(self) -> "Iterator[Packet[VideoStream]]":
        """Yield the packets that hold data from here to the end; a fault of the file ends them early.

        Raises:
            VideoError: the time is up.
        """
        packets = self._container.demux(self.stream)
        while True:
            self._deadline.check()
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                self.faults.append(f"reading stops early: {describe_error(error)}")
                return
            if packet is None:
                return
            if packet.size:
                yield packet

    def decode(self, packet: "Packet[VideoStream] | None", *, skip: bool = False) -> list[VideoFrame]:
        """Decode one packet, None to get the frames that the decoder still holds.

        Args:
            packet: the next packet.
            skip: leave the packet's frame out if no other frame needs it.

        Returns:
            The frames that are complete now; none, and a line in ``faults``, when the packet is damaged.
        """
        skip = skip and self._may_skip
        if skip != self._skips:
            self._codec.skip_frame = "NONREF" if skip else "DEFAULT"
            self._skips = skip
        try:
            return self._codec.decode(packet)
        except (av.error.FFmpegError, MemoryError) as error:
            self.faults.append(f"a packet does not decode: {describe_error(error)}")
            return []

    def read_frames(self, key_pts: set[int | None] | None = None) -> Iterator[VideoFrame]:
        """Yield every frame from here to the end, in presentation order.

        Args:
            key_pts: receives the timestamps of the packets that the container calls key frames.
        """
        for packet in self.read_packets():
            if key_pts is not None and packet.is_keyframe and packet.pts is not None:
                key_pts.add(packet.pts)
            yield from self._note_damage(self.decode(packet))
        yield from self._note_damage(self.decode(None))

    def _note_damage(self, frames: list[VideoFrame]) -> list[VideoFrame]:
        """Write down frames that the decoder has patched up: how depends on what was decoded before."""
        self.faults += [_PATCHED for frame in frames if frame.is_corrupt]
        return frames

    def enter(self, index: FrameIndex, key: int) -> "Iterator[Packet[VideoStream]]":
        """Yield packets from a key frame of the index on; -1 stands for the beginning of a file just opened.

        Nothing comes when the container does not lead to the key frame.
        """
        if key < 0:
            return self.read_packets()
        return self.read_packets_from(int(index.pts[key]), int(index.pts[max(0, key - _REORDER_FRAMES)]))

    def read_packets_from(self, key_pts: int, earlier_pts: int) -> "Iterator[Packet[VideoStream]]":
        """Yield packets from a key frame on; nothing when the container does not lead there.

        Containers without a table of key frames, such as MPEG-TS, land a little before or behind; for these
        the second, earlier place is tried.

        Args:
            key_pts: timestamp of the key frame.
            earlier_pts: timestamp of some frame before it.
        """
        for pts in (key_pts, earlier_pts):
            try:
                self._container.seek(pts, stream=self.stream, backward=True)
            except (av.error.FFmpegError, OSError):
                continue
            packets = self.read_packets()
            for packet in packets:
                if packet.is_keyframe and packet.pts == key_pts:
                    yield packet
                    yield from packets
                    return
                if packet.dts is not None and packet.dts > key_pts:
                    break

    def pick_frames(
        self, packets: "Iterator[Packet[VideoStream]]", wanted: AbstractSet[int]
    ) -> Iterator[VideoFrame]:
        """Decode packets until every wanted frame has come out, and as little else as can be.

        Frames that are neither wanted nor needed by others are left out. When the packets of all wanted
        frames are in, the decoder is drained: frames that it holds back for the sake of order come out
        without another packet.

        Args:
            packets: from a key frame on.
            wanted: timestamps of frames.

        Yields:
            The wanted frames, in presentation order; fewer when the file does not hold them.
        """
        awaited: set[int | None] = set(wanted)
        first_pts: int | None = None
        for packet in packets:
            first_pts = packet.pts if first_pts is None else first_pts
            frames = self.decode(packet, skip=packet.pts not in wanted)
            awaited.discard(packet.pts)
            if not awaited:
                break
            yield from self._choose(frames, wanted, first_pts)
        else:
            frames = []
        yield from self._choose(frames + self.decode(None), wanted, first_pts)

    def _choose(
        self, frames: list[VideoFrame], wanted: AbstractSet[int], first_pts: int | None
    ) -> Iterator[VideoFrame]:
        """Yield wanted frames; frames before the key frame may lack what they refer to, others must not."""
        for frame in frames:
            if frame.is_corrupt and (frame.pts in wanted or (frame.pts or 0) >= (first_pts or 0)):
                self.faults.append(_PATCHED)
            if frame.pts in wanted:
                yield frame


def view_first_plane(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the bytes of a frame's first plane: lines, and bytes per line with their padding."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8)
    return lines.reshape(-1, plane.line_size)[: plane.height]
