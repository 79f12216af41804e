"""The videos that a run could not use, and when there are too many of them."""

import csv
from collections.abc import Iterable
from pathlib import Path

from unreel.data.batch import Rejection
from unreel.errors import TrainingError
from unreel.runs import atomic_path


class RejectedVideos:
    """``rejected.csv`` of a run: every video is named once.

    Args:
        path: the file; what an earlier part of the run wrote there is kept.
        num_videos: videos of the corpus.
        max_fraction: share of them that may fail before the run stops.
        is_writer: whether this process writes the file.
    """

    def __init__(self, path: Path, *, num_videos: int, max_fraction: float, is_writer: bool = True) -> None:
        self._path = path
        self._num_videos = num_videos
        self._max_fraction = max_fraction
        self._is_writer = is_writer
        self._failed: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    (self._failed if row["kind"] == "failed" else self._left_out)[row["path"]] = row["reason"]

    @property
    def num_failed(self) -> int:
        """Videos that could not be read."""
        return len(self._failed)

    @property
    def num_left_out(self) -> int:
        """Videos that were never tried, such as those that are too short."""
        return len(self._left_out)

    def leave_out(self, rejections: Iterable[Rejection]) -> None:
        """List videos that the configuration excludes; they do not count as failures."""
        self._left_out.update({item.path: item.reason for item in rejections})
        self._write()

    def record(self, rejections: Iterable[Rejection]) -> None:
        """List videos that failed, however many."""
        new = {item.path: item.reason for item in rejections if item.path not in self._failed}
        if new:
            self._failed.update(new)
            self._write()

    def add(self, rejections: Iterable[Rejection]) -> None:
        """List videos that failed.

        Raises:
            TrainingError: more than ``max_fraction`` of the videos have failed by now.
        """
        self.record(rejections)
        if len(self._failed) > self._max_fraction * self._num_videos:
            path, reason = next(reversed(self._failed.items()))
            raise TrainingError(
                f"{len(self._failed)} of {self._num_videos} videos cannot be read, more than "
                f"data.max_rejected_fraction = {self._max_fraction:g} allows; last: {path}: {reason}. All "
                f"are listed in {self._path}. Scan the videos again, or start a run with a higher limit"
            )

    def _write(self) -> None:
        if not self._is_writer:
            return
        with atomic_path(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "kind", "reason"])
            for kind, videos in (("failed", self._failed), ("left out", self._left_out)):
                writer.writerows([path, kind, reason] for path, reason in videos.items())
