"""Open a video file and find its video stream; every failure of FFmpeg or the system in plain words."""

import os
import time
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from unreel.errors import VideoError

_NOT_VIDEO_FORMATS = frozenset({"tty"})
"""Text that FFmpeg would draw as if it were a video."""
_FOLLOWING_FORMATS = frozenset(
    {"hls", "concat", "dash", "imf", "webm_dash_manifest", "sdp", "rtsp", "rtp", "sap", "vobsub", "lavfi"}
)
"""Play lists and the like, which name other files or addresses that FFmpeg would open while it opens them."""
_SAFELY = {
    "format_whitelist": ",".join(sorted(av.formats_available - _FOLLOWING_FORMATS)),
    "protocol_whitelist": "file",
}

_TELLING_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
_TELLING_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
_TRUST_HEADER = {**_SAFELY, "skip_frame": "all", "probesize": "32"}


def check_time_limit(time_limit_sec: float, *, name: str = "decode_time_limit_sec") -> None:
    """Refuse a limit that would be none by accident.

    Args:
        time_limit_sec: for one video; 0 sets no limit.
        name: of the setting, for the message.

    Raises:
        ValueError: it is negative, infinite or not a number.
    """
    if not 0 <= time_limit_sec < float("inf"):
        raise ValueError(f"{name} must be a number of seconds, or 0 for no limit, got {time_limit_sec}")


class Deadline:
    """A moment after which reading one video has taken too long.

    Attributes:
        frame_index: the frame that is being looked for, for the message; None when it is none in particular.

    Args:
        path: the file, for the message.
        time_limit_sec: seconds from now; 0 or less sets no limit.
    """

    def __init__(self, path: Path, time_limit_sec: float) -> None:
        self.frame_index: int | None = None
        self._path = path
        self.time_limit_sec = time_limit_sec
        self._end = time.monotonic() + time_limit_sec if time_limit_sec > 0 else float("inf")

    def check(self) -> None:
        """Go on, or stop.

        Raises:
            VideoError: the time is up.
        """
        if time.monotonic() > self._end:
            reason = f"not read within {self.time_limit_sec:g} s; raise the time limit or shorten the video"
            raise VideoError(str(self._path), reason, frame_index=self.frame_index)


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
        raise VideoError(str(path), "permission denied; let this user read it and its folder") from error
    except OSError as error:
        raise VideoError(str(path), f"cannot be read: {describe_error(error)}") from error


def open_container(path: Path, deadline: Deadline, *, quick: bool = False) -> InputContainer:
    """Open a file.

    Args:
        path: the file.
        deadline: ends the wait for a slow disk.
        quick: where the container itself tells codec, size and timestamps (MP4, Matroska), take its word
            and do not decode the first frames to find out; other files are opened in full all the same.

    Raises:
        VideoError: it is no media file, damaged beyond reading, or cannot be read.
    """
    # FFmpeg would wait at a pipe for ever.
    if not os.path.isfile(path):
        check_is_readable(path)
    # "file:" keeps names such as "concat:a.mp4" from being taken for a protocol.
    timeout = deadline.time_limit_sec if deadline.time_limit_sec > 0 else None
    try:
        if quick and path.suffix.lower() in _TELLING_SUFFIXES:
            container = av.open(
                f"file:{path}", metadata_errors="replace", timeout=timeout, options=_TRUST_HEADER
            )
            if container.format.name in _TELLING_FORMATS and len(container.streams.video) == 1:
                return container
            container.close()
        container = av.open(f"file:{path}", metadata_errors="replace", timeout=timeout, options=_SAFELY)
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
        return "MP4 without a readable header (moov), most often cut off early; repair it or get it again"
    if isinstance(error, av.error.EOFError):
        return "the file ends inside its header; copy or download it again"
    if isinstance(error, av.error.InvalidDataError):
        return "not a media file that FFmpeg knows, or its header is damaged; convert it or leave it out"
    if isinstance(error, av.error.ArgumentError):
        return (
            "is a play list that names other files, or its header makes no sense; give the videos themselves"
        )
    return f"cannot be opened: {describe_error(error)}"


def find_video_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the main video stream: the default one, of several the largest; cover pictures do not count.

    Raises:
        VideoError: there is none, or nothing that decodes it.
    """
    candidates = [
        stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
    ]
    if not candidates:
        kinds = {"cover pictures" if stream.type == "video" else stream.type for stream in container.streams}
        found = f"only {' and '.join(sorted(kinds))}" if kinds else "the file declares no stream"
        raise VideoError(str(path), f"no video stream: {found}; leave the file out")
    readable = [stream for stream in candidates if stream.codec_context is not None]
    if not readable:
        raise VideoError(str(path), "no decoder for its video codec; convert it, for example to H.264")
    # Chosen by what the header says, so that every way of opening finds the same one.
    return max(readable, key=_rank_stream)


def _rank_stream(stream: VideoStream) -> tuple[bool, int]:
    return bool(stream.disposition & Disposition.default), stream.width * stream.height
