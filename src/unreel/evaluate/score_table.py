"""Scores of videos by class as a table: a row per video, a column per class, for CSV and Parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unreel.augment.evaluation_views import Average
from unreel.data.catalog import Catalog
from unreel.features.classify import ClassifiedVideo
from unreel.runs import atomic_path

# V videos, C classes

ScoreKind = Literal["probability", "logit", "score"]
"""What the numbers are: probabilities, which sum to 1; logits, of which softmax makes such; or anything that
is larger for likelier classes, such as the margins of an SVM."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """What a classifier says about the videos of a catalog.

    Attributes:
        videos: the catalog's, in order, those that were rejected included.
        classes: names of the columns.
        kind: what the scores are.
        scores_VC: float32; a row of NaN where a video was rejected.
        reasons: why a video was rejected, by row.
    """

    videos: Catalog
    classes: tuple[str, ...]
    kind: ScoreKind
    scores_VC: NDArray[np.float32]
    reasons: Mapping[int, str]

    @classmethod
    def build(
        cls,
        videos: Catalog,
        classes: Sequence[str],
        kind: ScoreKind,
        classified: Sequence[ClassifiedVideo],
    ) -> "ScoreTable":
        """Gather the answers of `classify_videos` to all videos of a catalog."""
        scores_VC = np.full((len(videos), len(classes)), np.nan, dtype=np.float32)
        for video in classified:
            if video.rejection is None:
                scores_VC[video.row] = video.scores_C
        reasons = {video.row: video.rejection.reason for video in classified if video.rejection is not None}
        return cls(videos, tuple(classes), kind, scores_VC, reasons)

    @property
    def accepted(self) -> list[int]:
        """Rows of the videos that have scores."""
        return [row for row in range(len(self.videos)) if row not in self.reasons]

    def rank(self, row: int, top: int) -> list[tuple[str, float]]:
        """Return the classes with the highest scores, and these; of equal ones the first by name order."""
        order = np.argsort(-self.scores_VC[row], kind="stable")[:top]
        return [(self.classes[place], float(self.scores_VC[row, place])) for place in order]

    def to_probabilities(self) -> "ScoreTable":
        """Return the table with softmax instead of logits; other tables are returned as they are."""
        if self.kind != "logit":
            return self
        scores_VC = self.scores_VC.astype(np.float64)
        scores_VC = np.exp(scores_VC - scores_VC.max(axis=1, keepdims=True))
        scores_VC /= scores_VC.sum(axis=1, keepdims=True)
        return ScoreTable(
            self.videos, self.classes, "probability", scores_VC.astype(np.float32), self.reasons
        )

    def to_arrow(self) -> pa.Table:
        """Return ``video_id``, ``path``, ``label``, ``prediction``, ``reason`` and ``KIND:CLASS`` per class.

        A rejected video has a reason, no prediction, and nulls for scores.
        """
        rows = range(len(self.videos))
        columns = {
            "video_id": self.videos.ids,
            "path": self.videos.table["path"].to_pylist(),
            "label": self.videos.labels,
            "prediction": ["" if row in self.reasons else self.rank(row, 1)[0][0] for row in rows],
            "reason": [self.reasons.get(row, "") for row in rows],
        }
        is_missing = np.array([row in self.reasons for row in rows], dtype=bool)
        names = [*columns, *(f"{self.kind}:{name}" for name in self.classes)]
        arrays = [pa.array(values, pa.string()) for values in columns.values()]
        arrays += [pa.array(column, pa.float32(), mask=is_missing) for column in self.scores_VC.T]
        return pa.Table.from_arrays(arrays, names=names)

    def save(self, path: Path) -> None:
        """Write the table in one step, as CSV where the name ends in ``.csv``, else as Parquet."""
        with atomic_path(path) as temporary:
            if path.suffix.lower() == ".csv":
                pa_csv.write_csv(self.to_arrow(), temporary)
            else:
                pq.write_table(self.to_arrow(), temporary, compression="zstd")


def name_kind(average: Average) -> ScoreKind:
    """Say what the mean over views is, from what was averaged."""
    return "probability" if average == "probabilities" else "logit"
