"""Does a representation notice when the frames of a clip come in another order?"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from unreel.config import config_to_dict
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.shuffle_sensitivity_features import ClipShuffleConfig, embed_shuffled
from unreel.evaluate.shuffle_sensitivity_scores import (
    ShuffledScore,
    find_obstacles,
    mean_cosine,
    mean_cosine_between,
    measure_retrieval,
    measure_svm,
)
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.progress import Progress, ignore_progress


@dataclass(frozen=True)
class ShuffleSensitivity:
    """How much shuffling changes.

    Attributes:
        svm: accuracy of a linear SVM that learned from clips as they are; None where it was left out.
        retrieval: recall@1 among clips as they are; None where it was left out.
        left_out: why, by "svm" and "retrieval".
        cosine: mean similarity of a clip and itself shuffled.
        cosine_of_others: mean similarity of clips of different videos; None of a single video.
        videos: query videos.
        clips: of these.
        repeating_clips: clips of these that show a frame more than once.
        rejected: videos that could not be used.
        settings: what was measured, and how.
        features: what the vectors were made from.
        seconds: duration.
    """

    svm: ShuffledScore | None
    retrieval: ShuffledScore | None
    left_out: dict[str, str]
    cosine: float
    cosine_of_others: float | None
    videos: int
    clips: int
    repeating_clips: int
    rejected: list[Rejection]
    settings: dict[str, Any]
    features: dict[str, Any]
    seconds: float

    @property
    def relative_distance(self) -> float | None:
        """Distance of a clip to itself shuffled, in units of the distance to other videos (1 - cosine)."""
        apart = 0.0 if self.cosine_of_others is None else 1 - self.cosine_of_others
        return (1 - self.cosine) / apart if apart > 1e-6 else None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        scores = {"svm": self.svm, "retrieval": self.retrieval}
        return {
            "protocol": "shuffle-sensitivity",
            **config_to_dict(self),
            **{name: None if score is None else score.to_json() for name, score in scores.items()},
            "relative_distance": self.relative_distance,
        }


def evaluate_shuffle_sensitivity(
    embedder: ClipEmbedder,
    catalog: Catalog,
    *,
    shuffle: ClipShuffleConfig | None = None,
    read: ReadConfig | None = None,
    svm: SVMConfig | None = None,
    config: RankingConfig | None = None,
    max_rejected_fraction: float = 0.05,
    progress: Progress = ignore_progress,
) -> ShuffleSensitivity:
    """Compare what an encoder makes of test clips and of the same clips with their frames in random order.

    The classifier and the gallery never see a shuffle. Vectors of a video are averaged over its clips, each
    with an order of its own. Without labels, or without videos to learn from, the similarity of every clip to
    itself shuffled remains.

    Args:
        embedder: of clips, not of single frames.
        catalog: the videos.
        shuffle: of what, how often, by which seed.
        read: clips per video, batch and workers.
        svm: how the classifier is fitted.
        config: splits and target, as for retrieval.
        max_rejected_fraction: share of the videos that may fail.
        progress: is told the number of videos done.

    Raises:
        CatalogError: the catalog lacks a split.
        FeaturesError: too many videos fail.
        ValueError: a number is out of range, the clips cannot be shuffled so, or ``config`` asks for centred
            vectors.

    Reference: SCVRL, table 2.
    """
    started = time.monotonic()
    shuffle, read = shuffle or ClipShuffleConfig(), read or ReadConfig()
    svm, config = svm or SVMConfig(), config or RankingConfig()
    if config.is_centered:
        raise ValueError("vectors are compared as they are here, so is_centered must be False, got True")
    splits = config.resolve_splits(catalog.split_names)
    videos, is_query = _take_splits(catalog, *splits)
    features = embed_shuffled(
        embedder,
        videos,
        is_query,
        shuffle=shuffle,
        read=read,
        max_rejected_fraction=max_rejected_fraction,
        progress=progress,
    )
    queries = features.queries
    left_out = find_obstacles(features, splits[1], config.by)
    resolved = RankingConfig(config.by, *splits)
    return ShuffleSensitivity(
        svm=None if "svm" in left_out else measure_svm(features, resolved, svm),
        retrieval=None if "retrieval" in left_out else measure_retrieval(features, resolved),
        left_out=left_out,
        cosine=float(np.mean([mean_cosine(queries.vectors, table.vectors) for table in features.shuffled])),
        cosine_of_others=mean_cosine_between(queries.vectors, queries.video_ids),
        videos=len(np.unique(queries.video_ids)),
        clips=len(queries),
        repeating_clips=features.repeating_clips,
        rejected=features.rejected,
        settings={
            "by": config.by,
            "query_split": splits[0],
            "gallery_split": splits[1],
            "shuffle": config_to_dict(shuffle),
            "svm": config_to_dict(svm),
            "catalog_hash": catalog.hash,
        },
        features=config_to_dict(queries.info),
        seconds=time.monotonic() - started,
    )


def _take_splits(catalog: Catalog, query_split: str, gallery_split: str) -> tuple[Catalog, list[bool]]:
    """Return the videos of both splits, "" being all, and whether each is a query."""
    for split in (query_split, gallery_split):
        catalog.select(split)
    if "" not in (query_split, gallery_split):
        wanted = [row for row, split in enumerate(catalog.splits) if split in (query_split, gallery_split)]
        catalog = catalog.take(wanted)
    return catalog, [query_split in ("", split) for split in catalog.splits]
