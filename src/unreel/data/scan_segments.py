"""Labelled stretches of videos, fitted to how long the videos really are."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unreel.data.catalog import Segment

_NAMES_SHOWN = 3


@dataclass
class FittedSegments:
    """The column ``segments`` of a catalog, filled video by video.

    Attributes:
        rows: of every video so far, its segments as the catalog keeps them.
        cut: paths of videos with a segment that was cut at the end of the video, one per segment.
        beyond: paths of videos with a segment that begins behind the end of the video, one per segment.
    """

    rows: list[list[dict[str, Any]]] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    def add(self, path: str, segments: Sequence[Segment], seconds: float) -> None:
        """Add a video.

        Args:
            path: in the catalog.
            segments: as listed; none of them ends before it begins.
            seconds: how long the video lasts.
        """
        row = []
        for segment in segments:
            if segment.start_sec >= seconds:
                self.beyond.append(path)
                continue
            if segment.end_sec > seconds:
                self.cut.append(path)
                segment = dataclasses.replace(segment, end_sec=seconds)  # noqa: PLW2901
            row.append(dataclasses.asdict(segment))
        self.rows.append(row)

    @property
    def count(self) -> int:
        """Number of segments that are kept."""
        return sum(map(len, self.rows))

    @property
    def num_classes(self) -> int:
        """Number of classes of the segments that are kept."""
        return len({segment["label"] for row in self.rows for segment in row})

    def describe_cut(self) -> list[str]:
        """Say, in a line or none, which segments were cut."""
        what = "segments that end behind the end of their video, and were cut to it"
        return [f"{what}: {len(self.cut)} ({_name_some(self.cut)})"] if self.cut else []

    def describe_beyond(self) -> list[str]:
        """Say, in a line or none, which segments were left out."""
        what = "segments left out, because they begin behind the end of their video"
        return [f"{what}: {len(self.beyond)} ({_name_some(self.beyond)})"] if self.beyond else []


def _name_some(paths: Sequence[str]) -> str:
    names = list(dict.fromkeys(paths))
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
