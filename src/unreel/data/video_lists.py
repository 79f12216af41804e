"""Lists of videos: ``path label`` lines, as in mmaction2, SlowFast and VideoMAE, and CSV with a header.

A CSV list with the columns ``start_sec`` and ``end_sec`` labels stretches of videos, one per row.
"""

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unreel.data.catalog import Segment
from unreel.data.folder_walk import VIDEO_EXTENSIONS, printable
from unreel.data.segment_rows import SegmentRow, gather_segments, read_times
from unreel.errors import CatalogError

LIST_EXTENSIONS = frozenset({".csv", ".tsv", ".txt", ".list"})


@dataclass(frozen=True)
class ListColumns:
    """Which columns of a CSV list say what. A column that is not named otherwise may be missing."""

    label: str = "label"
    """Class of the video."""
    split: str = "split"
    """Such as "train" or "test"."""
    group: str = "group"
    """What must not be torn apart, such as the film that a clip was cut from."""
    start: str = "start_sec"
    """When a labelled stretch begins, in seconds."""
    end: str = "end_sec"
    """When it ends."""


DEFAULT_COLUMNS = ListColumns()


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One line of a list; ``path`` as it is written there, the rest "" when the list does not say."""

    path: str
    label: str = ""
    split: str = ""
    group: str = ""
    segments: tuple[Segment, ...] = ()


def read_list(path: Path, columns: ListColumns) -> tuple[list[ListedVideo], list[str]]:
    """Read a list.

    ``.txt`` and ``.list`` hold a path and a label per line, separated by spaces, or only paths. ``.csv`` and
    ``.tsv`` have a header with a column ``path``; a ``.csv`` without header and commas that holds
    ``path label`` lines is read as such. With the columns ``start_sec`` and ``end_sec``, of which both may be
    empty, every row is a labelled stretch; the rows of a video may stand anywhere, and its own label is that
    of its stretches when these agree.

    Returns:
        The videos in their order, and notes about what was ignored.

    Raises:
        CatalogError: the list cannot be opened.
        ValueError: a line or the header makes no sense; names the file, the line and the remedy.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read ({error.strerror})") from error
    if path.suffix.lower() in (".txt", ".list") or _is_headless(text):
        return list(_read_lines(path, text)), []
    return _read_table(path, text, columns)


def _is_headless(text: str) -> bool:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "," not in first and _is_video(" ".join(first.split()[:-1]))


def _is_video(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def _read_lines(path: Path, text: str) -> Iterator[ListedVideo]:
    has_labels: bool | None = None
    for number, line in enumerate(re.split("\r\n?|\n", text), start=1):
        words = line.strip()
        if not words:
            continue
        video = _split_line(words, f"{path}, line {number}")
        if has_labels is None:
            has_labels = bool(video.label)
        elif has_labels != bool(video.label):
            raise ValueError(
                f"{path}, line {number}: {printable(words)!r} has {'a' if video.label else 'no'} label but "
                f"the lines before have {'none' if video.label else 'one'}; write `path label` on every "
                "line, or only the path"
            )
        yield video


def _split_line(words: str, where: str) -> ListedVideo:
    if _is_video(words):
        return ListedVideo(words)
    path, label = words.rsplit(maxsplit=1) if len(words.split()) > 1 else ("", words)
    shown = f"{where}: {printable(words)!r}"
    if not path:
        raise ValueError(
            f"{shown} is one word and no video by its name; write `path label` separated by a space, or give "
            "the list the name .csv and a header such as `path,label,split`"
        )
    if not _is_video(path):
        if any(_is_video(word) for word in path.split()):
            raise ValueError(f"{shown} has several words behind the path; give one label, without spaces")
        if len(path.split()) > 1:
            raise ValueError(
                f"{shown} names no video; `folder frames label` lists of extracted frames are not read: list "
                "the videos"
            )
    return ListedVideo(path, label)


def _read_table(path: Path, text: str, columns: ListColumns) -> tuple[list[ListedVideo], list[str]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
        places = _find_columns(path, header, columns)
        rows = [
            _pick(row, places, header, f"{path}, line {reader.line_num}")
            for row in reader
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: is not CSV ({error}); check the quotes") from error
    if "start" in places:
        videos = [ListedVideo(*fields) for fields in gather_segments(rows)]
    else:
        videos = [ListedVideo(row.path, row.label, row.split, row.group) for row in rows]
    ignored = [printable(name) for place, name in enumerate(header) if place not in places.values()]
    return videos, [f"{path.name}: columns ignored: {', '.join(ignored)}"] if ignored else []


def _find_columns(path: Path, header: list[str], columns: ListColumns) -> dict[str, int]:
    """Return field of `ListedVideo` -> place in a row."""
    shown = ", ".join(map(printable, header)) or "nothing"
    if "path" not in header:
        raise ValueError(
            f"{path}, line 1: the header has no column `path`, only {shown}; begin the file with a header "
            "such as `path,label,split,group`"
        )
    places = {"path": header.index("path")}
    for field in ("label", "split", "group", "start", "end"):
        name = getattr(columns, field)
        if name in header:
            places[field] = header.index(name)
        elif name != getattr(DEFAULT_COLUMNS, field):
            raise ValueError(
                f"{path}, line 1: there is no column {name!r} to take the {field} from; columns are {shown}"
            )
    if ("start" in places) != ("end" in places):
        raise ValueError(
            f"{path}, line 1: labelled stretches need both columns, {columns.start!r} and {columns.end!r}; "
            f"columns are {shown}"
        )
    return places


def _pick(row: list[str], places: dict[str, int], header: list[str], where: str) -> SegmentRow:
    if len(row) != len(header):
        raise ValueError(
            f"{where}: has {len(row)} cells but the header {len(header)}; put cells with commas in quotes"
        )
    values = {field: row[place].strip() for field, place in places.items()}
    if not values["path"]:
        raise ValueError(f"{where}: the path is empty; remove the line or fill in the path")
    times = read_times(values.pop("start", ""), values.pop("end", ""), where)
    return SegmentRow(where=where, times=times, **values)
