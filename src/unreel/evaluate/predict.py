"""What a classifier says about videos that nobody has labelled: a file, a folder or a catalog."""

import csv
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.config import config_to_dict
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import CATALOG_SCHEMA, is_catalog
from unreel.data.scan import scan_videos
from unreel.errors import CatalogError
from unreel.evaluate.linear_clips import LinearClips
from unreel.evaluate.score_table import ScoreTable, name_kind
from unreel.features.classifier import ClipClassifier
from unreel.features.classify import classify_videos
from unreel.features.reading import ReadConfig
from unreel.progress import Progress, ignore_progress


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was said, and about which videos nothing could be.

    Attributes:
        scores: of the videos that could be opened; probabilities where the classifier gives such.
        rejected: files that could not be used, and why.
        model: name, hash and views of the classifier.
        seconds: duration.
    """

    scores: ScoreTable
    rejected: list[Rejection]
    model: dict[str, Any]
    seconds: float

    @property
    def num_videos(self) -> int:
        """Videos that have an answer."""
        return len(self.scores.accepted)

    def to_json(self, top: int = 0) -> dict[str, Any]:
        """Return the answers as plain values, those of a video with its likeliest class first.

        Args:
            top: number of classes per video; 0 for all.
        """
        table = self.scores
        paths = table.videos.table["path"].to_pylist()
        return {
            "model": self.model,
            "kind": table.kind,
            "classes": list(table.classes),
            "root": str(table.videos.root),
            "videos": [
                {
                    "video_id": table.videos.ids[row],
                    "path": paths[row],
                    "prediction": table.rank(row, 1)[0][0],
                    "scores": dict(table.rank(row, top or len(table.classes))),
                }
                for row in table.accepted
            ],
            "rejected": [config_to_dict(rejection) for rejection in self.rejected],
            "seconds": self.seconds,
        }


def predict_videos(
    classifier: ClipClassifier,
    source: Path,
    *,
    split: str = "",
    root: Path | None = None,
    read: ReadConfig | None = None,
    progress: Progress = ignore_progress,
) -> Predictions:
    """Classify a video, all videos of a folder, or those of a catalog.

    Logits that were averaged over the views become probabilities by softmax; the scores of a linear
    classifier stay what they are. Videos that cannot be used are listed and stop nothing.

    Args:
        classifier: that of a run, or a linear one on an encoder.
        source: a video file, a folder, a list of videos, or a catalog that `unreel scan` wrote.
        split: part of a catalog, "" for all.
        root: where the videos of a catalog are now, when their folder was moved after the scan.
        read: batch, workers and time limit.
        progress: is told the number of videos done.

    Raises:
        CatalogError: there is no such file or folder, no video in it, or no such split.
        ValueError: a number is out of range, or a split or root is asked of what is no catalog.
    """
    started = time.monotonic()
    read = read or ReadConfig()
    videos, rejected = open_videos(Path(source), split=split, root=root, read=read, progress=progress)
    classified = []
    progress(0, len(videos), "")
    for video in classify_videos(classifier, videos, range(len(videos)), read):
        classified.append(video)
        rejected += [video.rejection] if video.rejection is not None else []
        progress(len(classified), len(videos), f"{len(rejected)} rejected" if rejected else "")
    kind = "score" if isinstance(classifier, LinearClips) else name_kind(classifier.views.average)
    scores = ScoreTable.build(videos, classifier.classes, kind, classified).to_probabilities()
    model = {
        "name": classifier.name,
        "hash": classifier.hash,
        "views": config_to_dict(classifier.views),
    }
    return Predictions(scores, rejected, model, time.monotonic() - started)


def open_videos(
    source: Path,
    *,
    split: str = "",
    root: Path | None = None,
    read: ReadConfig,
    progress: Progress = ignore_progress,
) -> tuple[Catalog, list[Rejection]]:
    """Return the videos that a path stands for, and the files among them that cannot be used.

    Files and folders are scanned as `unreel scan` does, and the catalog is kept nowhere.

    Args:
        source: a video file, a folder, a list of videos, or a catalog.
        split: part of a catalog, "" for all.
        root: where the videos of a catalog are now.
        read: workers and time limit.
        progress: is told the number of files scanned.

    Raises:
        CatalogError: there is no such file or folder, no video in it, or no such split.
        ValueError: a split or root is asked of what is no catalog.
    """
    if source.is_file() and is_catalog(source):
        return Catalog.load(source, root=root).select(split), []
    if split or root is not None:
        raise ValueError(f"--split and --root are for catalogs, and {source} is none; leave them out")
    with tempfile.TemporaryDirectory(prefix="unreel-") as folder:
        out, listed = Path(folder) / "catalog.parquet", Path(folder) / "rejected.csv"
        try:
            scan_videos(
                [source],
                out,
                rejected=listed,
                check="packets",
                num_workers=read.num_workers or 1,
                time_limit_sec=read.decode_time_limit_sec or 1e6,
                progress=progress,
            )
        except CatalogError:
            if not listed.exists():
                raise
            return Catalog(CATALOG_SCHEMA.empty_table(), source), _read_rejected(listed)
        return Catalog.load(out), _read_rejected(listed)


def _read_rejected(path: Path) -> list[Rejection]:
    with path.open(encoding="utf-8", newline="") as file:
        return [Rejection(row["path"], row["reason"]) for row in csv.DictReader(file)]
