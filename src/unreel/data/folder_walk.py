"""Look through folders for files that may be videos, in parallel, and lose none without a word."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

VIDEO_EXTENSIONS = frozenset(
    re.findall(
        r"\.\w+",
        """
        .264 .265 .3g2 .3gp .amv .apng .asf .avi .avs2 .avs3 .divx .dv .evo .f4v .flv .gif .gxf .h263 .h264
        .h265 .hevc .ismv .ivf .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mov .mp4 .mp4v
        .mpe .mpeg .mpg .mpv .mts .mxf .nsv .nut .obu .ogm .ogv .ogx .qt .rm .rmvb .ts .vc1 .vob .vro .webm
        .wmv .wtv .y4m
        """,
    )
)
"""Names that end so may be videos; a file named by itself or in a list may end as it likes."""

_NUM_THREADS = 8
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that exists.

    Attributes:
        path: absolute, as it was reached.
        real_path: absolute, without symbolic links.
        num_bytes: size.
        mtime_ns: when it was last written, nanoseconds since 1970.
        is_link: whether the path itself is a symbolic link.
    """

    path: str
    real_path: str
    num_bytes: int
    mtime_ns: int
    is_link: bool = False


@dataclass
class FolderContents:
    """What a folder holds, with everything below it once `walk_folder` is through.

    Attributes:
        files: those that may be videos.
        refused: path -> reason, for what has a video's name but cannot be read.
        other_files: extension -> number of files that are no videos by their name.
        unreadable: folder -> reason why it cannot be listed.
        repeated: links to folders that were read already, so also those that lead back to where they are.
        folders: path and real path of the folders in it.
        links: symbolic links to folders.
    """

    files: list[FoundFile] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    other_files: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    folders: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def add(self, other: "FolderContents") -> None:
        """Take over what another folder holds, apart from its folders and links."""
        self.files += other.files
        self.refused |= other.refused
        self.other_files += other.other_files
        self.unreadable |= other.unreadable


def walk_folder(folder: str, report: Callable[[int], None]) -> FolderContents:
    """Look through a folder and all below it, level by level, several folders at once.

    A folder is read once, however many links lead to it; the links are followed last, in the order of their
    names, so the result does not depend on which thread is faster.

    Args:
        folder: absolute path.
        report: called with the number of files found so far.
    """
    found = FolderContents()
    seen: set[tuple[int, int]] = set()
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        starts = [folder]
        while starts:
            start = starts.pop(0)
            level = _claim([(start, os.path.realpath(start))], seen, found)
            links: list[str] = []
            while level:
                following: list[tuple[str, str]] = []
                for contents in pool.map(_read_folder, level):
                    found.add(contents)
                    following += contents.folders
                    links += contents.links
                report(len(found.files))
                level = _claim(following, seen, found)
            starts = sorted(starts + links)
    return found


def _claim(
    folders: list[tuple[str, str]], seen: set[tuple[int, int]], found: FolderContents
) -> list[tuple[str, str]]:
    """Return the folders that were not read yet, and count them as read."""
    fresh = []
    for path, real_path in folders:
        try:
            status = os.stat(path)
        except OSError as error:
            found.unreadable[path] = describe_error(error)
            continue
        if (status.st_dev, status.st_ino) in seen:
            found.repeated.append(path)
        else:
            seen.add((status.st_dev, status.st_ino))
            fresh.append((path, real_path))
    return fresh


def _read_folder(folder: tuple[str, str]) -> FolderContents:
    path, real_path = folder
    contents = FolderContents()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                _sort_entry(entry, os.path.join(real_path, entry.name), contents)
    except OSError as error:
        contents.unreadable[path] = describe_error(error)
    return contents


def _sort_entry(entry: "os.DirEntry[str]", real_path: str, contents: FolderContents) -> None:
    extension = os.path.splitext(entry.name)[1].lower()
    is_link = entry.is_symlink()
    if _is_folder(entry):
        if is_link:
            contents.links.append(entry.path)
        else:
            contents.folders.append((entry.path, real_path))
    elif extension in VIDEO_EXTENSIONS or (is_link and not extension and not os.path.exists(entry.path)):
        found = examine(entry.path, real_path=None if is_link else real_path)
        if isinstance(found, FoundFile):
            contents.files.append(found)
        else:
            contents.refused[entry.path] = found
    else:
        contents.other_files[printable(extension) or "no extension"] += 1


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def examine(path: str, *, real_path: str | None = None) -> FoundFile | str:
    """Look at a file without opening it.

    Args:
        path: absolute.
        real_path: without symbolic links; found out when not given.

    Returns:
        The file, or the reason why it cannot be read.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        is_broken = isinstance(error, FileNotFoundError) and os.path.islink(path)
        return "broken symbolic link: it leads to nothing" if is_broken else describe_error(error)
    except ValueError:
        return "no file can have this name: it has a null character"
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something special")
        return f"not a file but {kind}"
    if status.st_size == 0:
        return "the file is empty (0 bytes)"
    if real_path is not None:
        return FoundFile(path, real_path, status.st_size, status.st_mtime_ns)
    real_path, is_link = os.path.realpath(path), os.path.islink(path)
    return FoundFile(path, real_path, status.st_size, status.st_mtime_ns, is_link)


def describe_error(error: OSError) -> str:
    """Say in a few words why the system refuses a path; the path itself is left out."""
    known = {
        errno.ENOENT: "file not found",
        errno.ELOOP: "a loop of symbolic links",
        errno.EACCES: "permission denied: give the user who scans the right to read it",
    }
    return known.get(error.errno or 0, error.strerror or type(error).__name__)


def printable(name: str) -> str:
    r"""Write a name that may not be UTF-8 so that it can be printed: stray bytes become ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
