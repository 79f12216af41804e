"""Where something happens in videos that nobody has annotated: a file, a folder or a catalog."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.config import config_to_dict
from unreel.data.batch import Rejection
from unreel.evaluate.localize import localize_videos
from unreel.evaluate.predict import open_videos
from unreel.evaluate.proposal_files import VideoProposals
from unreel.features.localizer import Localizer
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.progress import Progress, ignore_progress
from unreel.runs import atomic_path, write_json


@dataclass(frozen=True, eq=False)
class SegmentPredictions:
    """What was found, and in which videos nothing could be looked for.

    Attributes:
        videos: the stretches of every video that could be used, the best first.
        rejected: files that could not be used, and why.
        model: name and hash of the localiser, and of what made its vectors.
        root: folder that the paths start from.
        seconds: duration.
    """

    videos: list[VideoProposals]
    rejected: list[Rejection]
    model: dict[str, Any]
    root: Path
    seconds: float

    def list_rows(self) -> list[dict[str, Any]]:
        """Return a row per stretch: ``video_id``, ``path``, ``start_sec``, ``end_sec``, ``score``."""
        return [
            {"video_id": video.video_id, "path": video.path, **segment}
            for video in self.videos
            for segment in _list_segments(video)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the stretches as plain values, by video."""
        return {
            "model": self.model,
            "root": str(self.root),
            "videos": [
                {"video_id": video.video_id, "path": video.path, "segments": _list_segments(video)}
                for video in self.videos
            ],
            "rejected": [config_to_dict(rejection) for rejection in self.rejected],
            "seconds": self.seconds,
        }

    def save(self, path: Path) -> None:
        """Write the stretches in one step, as CSV where the name ends in ``.csv``, else as JSON."""
        if path.suffix.lower() != ".csv":
            write_json(path, self.to_json())
            return
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["video_id", "path", "start_sec", "end_sec", "score"])
            writer.writeheader()
            writer.writerows(self.list_rows())


def predict_segments(
    localizer: Localizer,
    embedder: ClipEmbedder,
    source: Path,
    *,
    split: str = "",
    root: Path | None = None,
    top: int = 5,
    read: ReadConfig | None = None,
    progress: Progress = ignore_progress,
) -> SegmentPredictions:
    """Find stretches in a video, in all videos of a folder, or in those of a catalog.

    Args:
        localizer: what finds them.
        embedder: the encoder or classifier whose vectors it learned from.
        source: a video file, a folder, a list of videos, or a catalog that `unreel scan` wrote.
        split: part of a catalog, "" for all.
        root: where the videos of a catalog are now, when their folder was moved after the scan.
        top: most stretches per video.
        read: batch, workers and time limit.
        progress: is told the number of videos done.

    Raises:
        CatalogError: there is no such file or folder, no video in it, or no such split.
        FeaturesError: the localiser learned from vectors of another encoder.
        ValueError: a number is out of range, or a split or root is asked of what is no catalog.
    """
    started = time.monotonic()
    read = read or ReadConfig()
    videos, rejected = open_videos(Path(source), split=split, root=root, read=read, progress=progress)
    found: list[VideoProposals] = []
    if len(videos):
        found, failed = localize_videos(localizer, embedder, videos, read=read, top=top, progress=progress)
        rejected += failed
    model = {
        "name": localizer.name,
        "hash": localizer.hash,
        "encoder": embedder.name,
        "encoder_hash": embedder.hash,
    }
    return SegmentPredictions(found, rejected, model, videos.root, time.monotonic() - started)


def _list_segments(video: VideoProposals) -> list[dict[str, float]]:
    return [
        {"start_sec": float(start), "end_sec": float(end), "score": float(score)}
        for (start, end), score in zip(video.found.segments_K2, video.found.scores_K, strict=True)
    ]
