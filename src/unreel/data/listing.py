"""Find the files that a scan has to look at: what every source names, each file once, with its labels."""

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unreel.data.catalog import Segment
from unreel.data.folder_walk import FolderContents, FoundFile, examine, printable, walk_folder
from unreel.data.layouts.names import NO_DATA_SET, DataSet, read_data_set
from unreel.data.video_lists import DEFAULT_COLUMNS, LIST_EXTENSIONS, ListColumns, ListedVideo, read_list
from unreel.errors import CatalogError
from unreel.progress import Progress, ignore_progress

FolderLabels = Literal["none", "from-folders"]
"""Whether the name of the folder that holds a file is its label."""
ListSplits = Literal["none", "from-lists"]
"""Whether the name of a list, without its ending, is the split of its videos."""

_NUM_THREADS = 8
_FILES_PER_TURN = 4096
_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a video.

    Attributes:
        path: absolute, as the source names it.
        real_path: absolute, without symbolic links; tells one file from another.
        num_bytes: size.
        mtime_ns: when it was last written, nanoseconds since 1970.
        label: class, "" when unknown.
        split: "" when unknown.
        group: "" when unknown.
        segments: labelled stretches, if any.
    """

    path: str
    real_path: str
    num_bytes: int
    mtime_ns: int
    label: str = ""
    split: str = ""
    group: str = ""
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class Listing:
    """Everything that the sources name.

    Attributes:
        root: folder below which the catalog's paths are relative.
        candidates: files to read, each once, sorted by path.
        refused: path -> reason, for what needs no reading to be refused.
        other_files: extension -> number of files that are no videos by their name.
        num_duplicates: how often a file was reached again.
        notes: what the user should know.
        warnings: what the user should mend.
        unread_folders: absolute paths of folders that could not be read; what lies below them is not known.
    """

    root: Path
    candidates: list[Candidate]
    refused: dict[str, str]
    other_files: Counter[str]
    num_duplicates: int = 0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unread_folders: list[str] = field(default_factory=list)


def list_files(
    sources: Sequence[Path],
    *,
    root: Path | None = None,
    labels: FolderLabels = "none",
    splits: ListSplits = "none",
    columns: ListColumns = DEFAULT_COLUMNS,
    data_set: DataSet = NO_DATA_SET,
    progress: Progress = ignore_progress,
) -> Listing:
    """Find the files that folders, lists and paths name.

    The first source that reaches a file decides under which path it is known; labels that it does not give
    are taken from the sources behind it.

    Args:
        sources: folders, lists (see `read_list`) and video files.
        root: folder that the paths in lists start from (by default, each list's own) and below which the
            catalog's paths are relative (by default, the folder that all sources share).
        labels: whether a file's folder is its label where no list says otherwise.
        splits: whether the name of a list is the split of its videos where it does not say otherwise.
        columns: names of the columns in CSV lists.
        data_set: a standard data set that the sources, folders all of them, hold; its annotation files say
            what ``labels``, ``splits`` and ``columns`` say otherwise.
        progress: told how many files were found.

    Raises:
        CatalogError: a source does not exist or cannot be read, or an annotation file is missing.
        ValueError: there is no source, or a list or an annotation file makes no sense.
    """
    if data_set.layout != "none" and (labels, splits, columns) != ("none", "none", DEFAULT_COLUMNS):
        raise ValueError(
            f"layout {data_set.layout} takes labels and splits from its annotation files; leave out "
            "--labels, --splits and the names of columns"
        )
    if not sources:
        raise ValueError("no sources: name a folder, a list or a video")
    absolute_root = None if root is None else Path(os.path.abspath(root))
    if absolute_root is not None and not absolute_root.is_dir():
        raise CatalogError(f"root {root} is not a folder")
    paths = [Path(os.path.abspath(source)) for source in sources]
    folders = [_source_folder(path, absolute_root) for path in paths]
    gatherer = _Gatherer(absolute_root or _shared_folder(folders), labels, splits, progress)
    if data_set.layout != "none":
        gatherer.add_data_set(data_set, paths)
        return gatherer.finish()
    for path, folder in zip(paths, folders, strict=True):
        if path.is_dir():
            gatherer.add_folder(path)
        elif path.suffix.lower() in LIST_EXTENSIONS:
            gatherer.add_list(path, folder, columns)
        else:
            gatherer.add_files(folder, [ListedVideo(str(path))])
    return gatherer.finish()


def store_path(path: str, root: Path) -> str:
    """Return the path by which a catalog knows a file: relative when below ``root``, with forward slashes."""
    return path.removeprefix(_begin_paths(root)).replace(os.sep, "/")


@functools.lru_cache(maxsize=4)
def _begin_paths(root: Path) -> str:
    return os.path.join(root, "")


def _source_folder(path: Path, root: Path | None) -> Path:
    if not path.exists():
        raise CatalogError(f"{printable(str(path))}: there is no such folder, list or video")
    if path.is_dir():
        return path
    return root if root is not None and path.suffix.lower() in LIST_EXTENSIONS else path.parent


def _shared_folder(folders: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # several drives
        return folders[0]


class _Gatherer:
    """Collect what the sources name and keep each file once."""

    def __init__(self, root: Path, labels: FolderLabels, splits: ListSplits, progress: Progress) -> None:
        self._root = root
        self._labels = labels
        self._splits = splits
        self._progress = progress
        self._candidates: dict[str, Candidate] = {}
        self._refused: dict[str, str] = {}
        self._other_files: Counter[str] = Counter()
        self._num_duplicates = 0
        self._contradictions: list[str] = []
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._unread_folders: list[str] = []

    def add_folder(self, folder: Path) -> None:
        contents = walk_folder(str(folder), self._report)
        # The file itself comes before links to it.
        for found in sorted(contents.files, key=lambda file: (file.is_link, file.path)):
            self._add(found, ListedVideo(found.path), folder)
        for path, reason in contents.refused.items():
            self._refuse(path, reason)
        self._report_contents(contents)

    def add_data_set(self, data_set: DataSet, sources: Sequence[Path]) -> None:
        laid_out = read_data_set(data_set, sources, self._report)
        self.add_files(self._root, laid_out.videos)
        for path, reason in laid_out.missing.items():
            self._refuse(path, reason)
        self._report_contents(laid_out.contents)
        self._notes += laid_out.notes
        self._warnings += laid_out.warnings

    def _report_contents(self, contents: FolderContents) -> None:
        self._unread_folders += contents.unreadable
        for path, reason in contents.unreadable.items():
            self._refuse(path, f"the folder cannot be read: {reason}")
            self._warnings.append(f"the folder {printable(path)} cannot be read: {reason}")
        self._other_files += contents.other_files
        if contents.repeated:
            self._notes.append(
                "links not followed, because they lead to folders that were read already, perhaps in a loop: "
                f"{len(contents.repeated)} ({_name_some(contents.repeated)})"
            )

    def add_list(self, path: Path, folder: Path, columns: ListColumns) -> None:
        videos, notes = read_list(path, columns)
        self._notes += notes
        self.add_files(folder, videos, split="" if self._splits == "none" else path.stem)

    def add_files(self, folder: Path, videos: Sequence[ListedVideo], *, split: str = "") -> None:
        paths = [os.path.normpath(os.path.join(folder, video.path)) for video in videos]
        for path, video, found in zip(paths, videos, self._examine(paths), strict=True):
            if isinstance(found, FoundFile):
                self._add(found, dataclasses.replace(video, split=video.split or split), folder)
            else:
                self._refuse(path, found)

    def finish(self) -> Listing:
        if self._contradictions:
            self._warnings.append(
                "files listed again with another label, split, group or segments, of which the first was "
                f"kept: {len(self._contradictions)} ({_name_some(self._contradictions)})"
            )
        if self._num_duplicates:
            self._notes.append(
                f"files reached again, which have one row all the same: {self._num_duplicates}"
            )
        candidates = sorted(
            self._candidates.values(), key=lambda candidate: store_path(candidate.path, self._root)
        )
        return Listing(
            root=self._root,
            candidates=candidates,
            refused=self._refused,
            other_files=self._other_files,
            num_duplicates=self._num_duplicates,
            notes=self._notes,
            warnings=self._warnings,
            unread_folders=self._unread_folders,
        )

    def _examine(self, paths: Sequence[str]) -> Iterable[FoundFile | str]:
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for start in range(0, len(paths), _FILES_PER_TURN):
                self._report(start)
                yield from pool.map(examine, paths[start : start + _FILES_PER_TURN])

    def _report(self, num_found: int) -> None:
        self._progress(0, max(1, len(self._candidates) + num_found), "looking for videos")

    def _refuse(self, path: str, reason: str) -> None:
        name = printable(store_path(path, self._root))
        self._num_duplicates += name in self._refused
        self._refused.setdefault(name, reason)

    def _add(self, found: FoundFile, video: ListedVideo, folder: Path) -> None:
        stored = store_path(found.path, self._root)
        if stored != printable(stored):
            self._refuse(found.path, "the name is not UTF-8; rename the file or its folder")
            return
        candidate = Candidate(
            path=found.path,
            real_path=found.real_path,
            num_bytes=found.num_bytes,
            mtime_ns=found.mtime_ns,
            label=video.label or self._folder_label(found.path, folder),
            split=video.split,
            group=video.group,
            segments=video.segments,
        )
        known = self._candidates.setdefault(found.real_path, candidate)
        if known is not candidate:
            self._num_duplicates += 1
            self._candidates[found.real_path] = self._merge(known, candidate)

    def _folder_label(self, path: str, folder: Path) -> str:
        parent = os.path.dirname(path)
        is_directly_in_source = parent == str(folder)
        return "" if self._labels == "none" or is_directly_in_source else os.path.basename(parent)

    def _merge(self, known: Candidate, again: Candidate) -> Candidate:
        """Fill what the first listing of a file left open from another one."""
        changes = {}
        for name in ("label", "split", "group", "segments"):
            old, new = getattr(known, name), getattr(again, name)
            if new and not old:
                changes[name] = new
            elif new and old != new:
                shown = f"{old!r}, then {new!r}" if name != "segments" else "other segments"
                self._contradictions.append(f"{known.path} ({shown})")
        return dataclasses.replace(known, **changes)


def _name_some(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_NAMES_SHOWN]))
    return shown + (", ..." if len(names) > _NAMES_SHOWN else "")
