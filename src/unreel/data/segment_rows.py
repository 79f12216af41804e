"""Rows of a list that label stretches of videos, gathered by video."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unreel.data.catalog import Segment


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A row of a list.

    Attributes:
        where: file and line.
        path: of the video, as it is written.
        times: start and end in seconds, None where the row is about the whole video.
        label: of the stretch, or of the video.
        split: of the video.
        group: of the video.
    """

    where: str
    path: str
    times: tuple[float, float] | None = None
    label: str = ""
    split: str = ""
    group: str = ""


def read_times(start: str, end: str, where: str) -> tuple[float, float] | None:
    """Return the seconds from which to which a stretch lasts, None when neither is written.

    Raises:
        ValueError: one of them is missing or no number, or the stretch ends before it begins.
    """
    if not start and not end:
        return None
    try:
        times = float(start), float(end)
    except ValueError:
        times = math.nan, math.nan
    if not all(map(math.isfinite, times)):
        raise ValueError(
            f"{where}: a stretch from {start!r} to {end!r} is not two numbers of seconds; leave both empty "
            "for a video without stretches"
        )
    if not 0 <= times[0] < times[1]:
        raise ValueError(
            f"{where}: a stretch from {start} to {end} s must start at 0 or later and end after its start; "
            "correct the times or remove the line"
        )
    return times


def gather_segments(rows: Iterable[SegmentRow]) -> list[tuple[str, str, str, str, tuple[Segment, ...]]]:
    """Put the rows of every video together.

    Returns:
        Path, label, split, group and segments of every video, in the order of their first rows; segments by
        time, those alike once. The label is that of a row about the whole video, else the one that all
        segments share, else "".

    Raises:
        ValueError: rows of a video contradict each other, or a stretch has no label.
    """
    videos: dict[str, list[SegmentRow]] = {}
    for row in rows:
        if row.times is not None and not row.label:
            raise ValueError(f"{row.where}: the stretch has no label; fill it in or remove the line")
        videos.setdefault(os.path.normpath(row.path), []).append(row)
    return [_merge(members) for members in videos.values()]


def _merge(rows: Sequence[SegmentRow]) -> tuple[str, str, str, str, tuple[Segment, ...]]:
    spans = {Segment(*row.times, row.label) for row in rows if row.times is not None}
    segments = sorted(spans, key=lambda span: (span.start_sec, span.end_sec, span.label))
    labels = {segment.label for segment in segments}
    label = _agree("label", [row for row in rows if row.times is None])
    if not label and len(labels) == 1:
        label = segments[0].label
    return rows[0].path, label, _agree("split", rows), _agree("group", rows), tuple(segments)


def _agree(field: str, rows: Sequence[SegmentRow]) -> str:
    """Return what rows of a video say of it as a whole; rows may leave it open."""
    said = ""
    for row in rows:
        value = getattr(row, field)
        if value and said and value != said:
            raise ValueError(
                f"{row.where}: the {field} is {value!r}, but {said!r} in a row above for the same video; a "
                f"video has one {field}"
            )
        said = said or value
    return said
