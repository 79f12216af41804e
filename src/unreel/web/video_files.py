"""Open the files of catalogued videos, and no others."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from unreel.search.index_rows import IndexedVideo
from unreel.web.problems import Problem

_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".ts": "video/mp2t",
    ".ogv": "video/ogg",
}


@dataclass(frozen=True)
class OpenFile:
    """A file that may be sent.

    Attributes:
        file: open for reading; who gets it closes it.
        num_bytes: its size.
        mtime_ns: when it was written.
    """

    file: BinaryIO
    num_bytes: int
    mtime_ns: int

    @property
    def etag(self) -> str:
        """Strong entity tag: changes with the file."""
        digest = hashlib.sha256(f"{self.num_bytes}|{self.mtime_ns}".encode()).hexdigest()
        return f'"{digest[:20]}"'


def open_video(video: IndexedVideo, root: str) -> OpenFile:
    """Open the file of a video, if it is still the one that was indexed.

    It must be a regular file with the size and time of writing that the index knows. Where symbolic links
    lead out of the catalog's folder, the index must know both, and each link must have been made by who runs
    the server, by root or by the owner of the file: who may put videos into the folder can give them any size
    and time, and so have others' files sent. What is checked is what was opened, so a file that is exchanged
    in between is not sent.

    Args:
        video: from the index.
        root: folder that the paths of the index start from.

    Raises:
        Problem: the file is gone, has changed, or must not be sent (404).
    """
    try:
        # Without waiting for whoever might write into a pipe.
        handle = os.open(video.file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", "") or "no file can have this name"
        raise _refuse(f"the file of this video cannot be read ({text.lower()})") from error
    try:
        status = os.fstat(handle)
        _check(video, status, root)
        file = os.fdopen(handle, "rb", buffering=0)
    except BaseException:
        os.close(handle)
        raise
    return OpenFile(file, status.st_size, status.st_mtime_ns)


def _check(video: IndexedVideo, status: os.stat_result, root: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refuse("this video is no file any more")
    is_known = video.num_bytes is not None and video.mtime_ns is not None
    if (video.num_bytes is not None and status.st_size != video.num_bytes) or (
        video.mtime_ns is not None and status.st_mtime_ns != video.mtime_ns
    ):
        raise _refuse("the file of this video has changed since it was indexed")
    if not _is_led_to(video.file, root, status, is_known=is_known):
        raise _refuse("a symbolic link leads the file of this video out of the collection")


def _is_led_to(path: Path, root: str, status: os.stat_result, *, is_known: bool) -> bool:
    """Whether nobody but those who may has led from a path of the catalog to the file that was opened."""
    trusted = {0, os.geteuid(), status.st_uid}
    try:
        if not os.path.samestat(path.stat(), status):  # it was exchanged just now
            return False
        if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
            return True
        links = [part.lstat() for part in (path, *path.parents) if part.is_symlink()]
    except OSError:
        return False
    return is_known and all(link.st_uid in trusted for link in links)


def _refuse(message: str) -> Problem:
    return Problem(404, "file_unavailable", message, "scan the folder and update the index")


def identify_file(video: IndexedVideo) -> str:
    """Return a name for what is made of a video's file: another file gets another."""
    text = f"{video.id}|{video.path}|{video.num_bytes}|{video.mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def tell_type(path: str) -> str:
    """Return the media type that a file of this name is sent as; never one that a browser would run."""
    return _TYPES.get(os.path.splitext(path)[1].lower(), "application/octet-stream")
