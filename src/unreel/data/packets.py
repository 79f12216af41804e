"""An open video file: packets in, decoded frames out, every failure of FFmpeg in plain words.

Scanning and decoding share this file, so both see the same stream, the same frames and the same errors.
"""

import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType

import av
import av.error
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from unreel.errors import VideoError

_NOT_VIDEO_FORMATS = frozenset({"tty", "hls", "concat", "dash", "sdp", "rtsp"})
"""Text and play lists that FFmpeg would draw or follow as if they were videos."""


class Deadline:
    """A moment after which reading one video has taken too long.

    Args:
        path: the file, for the message.
        time_limit_sec: seconds from now; 0 or less sets no limit.
    """

    def __init__(self, path: Path, time_limit_sec: float) -> None:
        self._path = path
        self.time_limit_sec = time_limit_sec
        self._end = time.monotonic() + time_limit_sec if time_limit_sec > 0 else float("inf")

    def check(self, frame_index: int | None = None) -> None:
        """Go on, or stop.

        Raises:
            VideoError: the time is up.
        """
        if time.monotonic() > self._end:
            reason = f"not read within {self.time_limit_sec:g} s; raise the time limit or shorten the video"
            raise VideoError(str(self._path), reason, frame_index=frame_index)


class VideoFile:
    """The main video stream of a file, for one thread; a context manager.

    Attributes:
        stream: the stream that is read; cover pictures do not count as video.
        faults: what the decoder and the demuxer complained about so far, one line each.

    Raises:
        VideoError: the file cannot be opened or holds no video that can be decoded.
    """

    def __init__(self, path: Path, deadline: Deadline) -> None:
        self.path = path
        self.faults: list[str] = []
        self._deadline = deadline
        self._container = _open_container(path, deadline)
        try:
            self.stream = _find_video_stream(path, self._container)
        except VideoError:
            self._container.close()
            raise
        for stream in self._container.streams:
            if stream.index != self.stream.index:
                stream.discard = Discard.all
        self._codec = self.stream.codec_context
        self._codec.thread_count = 1
        self._skips = False
        # Any decoder may be asked to skip; only these are known to leave the other frames as they are.
        self._may_skip = self._codec.codec.canonical_name in {
            "h264",
            "hevc",
            "mpeg4",
            "mpeg2video",
            "mpeg1video",
        }

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
    def duration_sec(self) -> float:
        """Length that the header promises; 0 when it says nothing."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return (self._container.duration or 0) / av.time_base

    @property
    def coded_size(self) -> tuple[int, int]:
        """Height and width of the pictures, before rotation, as the header says."""
        return self._codec.height, self._codec.width

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
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, MemoryError) as error:
            self.faults.append(f"a packet does not decode: {describe_error(error)}")
            return []

    def read_frames(self) -> Iterator[VideoFrame]:
        """Yield every frame from here to the end, in presentation order."""
        for packet in self.read_packets():
            yield from self.decode(packet)
        yield from self.decode(None)

    def read_packets_from(self, key_pts: int, earlier_pts: int) -> "Iterator[Packet[VideoStream]]":
        """Yield packets from a key frame on; nothing when the container does not lead there.

        Containers without a table of key frames, such as MPEG-TS, land a little before or behind; for these the second,
        earlier place is tried.

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

        Frames that are neither wanted nor needed by others are left out. When the packets of all wanted frames are in,
        the decoder is drained: frames that it holds back for the sake of order come out without another packet.

        Args:
            packets: from a key frame on.
            wanted: timestamps of frames.

        Yields:
            The wanted frames, in presentation order; fewer when the file does not hold them.
        """
        awaited = set(wanted)
        for packet in packets:
            frames = self.decode(packet, skip=packet.pts not in wanted)
            awaited.discard(packet.pts)  # type: ignore[arg-type]  # None is in no set of numbers
            if not awaited:
                break
            yield from (frame for frame in frames if frame.pts in wanted)
        else:
            frames = []
        frames += self.decode(None)
        yield from (frame for frame in frames if frame.pts in wanted)


def describe_error(error: BaseException) -> str:
    """Say in a few words, without the path, what FFmpeg or the system objects to."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().lower()


def check_is_readable(path: Path) -> None:
    """Refuse what is no file with content, before FFmpeg sees it.

    Raises:
        VideoError: there is no such file, or it is a folder, empty, a pipe or a device, or must not be read.
    """
    try:
        if path.is_dir():
            raise VideoError(str(path), "is a folder; scan it with its files instead")
        if not path.exists():
            raise VideoError(str(path), "no such file; check the path, or scan the folder again")
        if not path.is_file():
            raise VideoError(str(path), "is a pipe or device, not a file; copy the video to a file first")
        with path.open("rb") as file:
            if not file.read(1):
                raise VideoError(str(path), "the file is empty (0 bytes); copy or download it again")
    except PermissionError as error:
        raise VideoError(
            str(path), "permission denied; let this user read the file and its folder"
        ) from error
    except OSError as error:
        raise VideoError(str(path), f"cannot be read: {describe_error(error)}") from error


def _open_container(path: Path, deadline: Deadline) -> av.container.InputContainer:
    if not path.is_file():
        check_is_readable(path)
    # "file:" keeps names such as "concat:a.mp4" from being taken for a protocol.
    timeout = deadline.time_limit_sec if deadline.time_limit_sec > 0 else None
    try:
        container = av.open(f"file:{path}", metadata_errors="replace", timeout=timeout)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        check_is_readable(path)
        deadline.check()
        raise VideoError(str(path), _explain_open_failure(path, error)) from error
    if container.format.name in _NOT_VIDEO_FORMATS:
        reason = f"is text or a play list (read as {container.format.name!r}), not a video"
        container.close()
        raise VideoError(str(path), reason)
    return container


def _explain_open_failure(path: Path, error: BaseException) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "MP4 without a readable header (moov): recording or download stopped early; repair it or get it again"
    if isinstance(error, av.error.EOFError):
        return "the file ends inside its header; copy or download it again"
    if isinstance(error, av.error.InvalidDataError):
        return "not a media file that FFmpeg knows, or its header is damaged; convert it or leave it out"
    return f"cannot be opened: {describe_error(error)}"


def _find_video_stream(path: Path, container: av.container.InputContainer) -> VideoStream:
    candidates = [
        stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
    ]
    if not candidates:
        kinds = sorted({stream.type for stream in container.streams})
        found = f"only {' and '.join(kinds)}" if kinds else "the file declares no stream"
        raise VideoError(str(path), f"no video stream: {found}; leave the file out")
    best = container.streams.best("video")
    stream = best if best in candidates else candidates[0]
    assert isinstance(stream, VideoStream)
    if stream.codec_context is None:
        raise VideoError(str(path), "no decoder for its video codec; convert it, for example to H.264")
    return stream
