"""Queries, a gallery and the neighbours between them: what retrieval and k-NN have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.errors import FeaturesError
from unreel.features.table import FeatureTable
from unreel.search.exact import ExactIndex

# Q queries, G gallery, K neighbours, D features

Level = Literal["video", "clip"]
"""Whether all vectors of a video are averaged into one first, or each stands for itself."""

Target = Literal["label", "group"]
"""The column that decides whether a neighbour is right."""

_ROUNDING = 1e-6
"""Differences below this share of the largest number are no more than float32 leaves."""

LevelT = TypeVar("LevelT")


@dataclass(frozen=True)
class RankingConfig:
    """Which vectors ask, which are searched, and what makes a neighbour right."""

    by: Target = "label"
    """Column that a neighbour must share with the query."""
    query_split: str = "auto"
    """Split whose videos are the queries; "auto" takes "test" (or "val") beside "train", else all
    videos; "" takes all."""
    gallery_split: str = "auto"
    """Split whose videos are searched; "auto" takes "train" when there are test videos, else
    those that are the queries; "" takes all. A video is never its own neighbour."""
    is_centered: bool = False
    """Whether the mean vector of the gallery is subtracted from all vectors first."""

    def resolve_splits(self, known: Sequence[str]) -> tuple[str, str]:
        """Return the splits of queries and gallery for a table that has some splits."""
        tests = [split for split in ("test", "val", "validation") if split in known and "train" in known]
        query = self.query_split if self.query_split != "auto" else (tests or [""])[0]
        gallery = self.gallery_split if self.gallery_split != "auto" else "train" if tests else query
        return query, gallery


@dataclass(frozen=True)
class Neighbors:
    """The nearest rows of the gallery for every query that has a target.

    Attributes:
        classes: names of all targets of queries and gallery, sorted.
        query_class_Q: place of each query's target in ``classes``.
        neighbor_class_QK: the same for its neighbours, best first; -1 where the gallery has no target.
        scores_QK: cosine similarities.
        matches_Q: how many rows of the gallery each query should ideally find.
        available_Q: how many rows of the gallery each query was compared with, its own video left out.
        num_gallery: rows of the gallery.
        num_without_target: queries that were left out because they have no target.
    """

    classes: list[str]
    query_class_Q: NDArray[np.int64]
    neighbor_class_QK: NDArray[np.int64]
    scores_QK: NDArray[np.float32]
    matches_Q: NDArray[np.int64]
    available_Q: NDArray[np.int64]
    num_gallery: int
    num_without_target: int

    def keep_possible(self, ks: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the ks that the gallery is large enough for, ascending, and those that it is not."""
        found = self.neighbor_class_QK.shape[1]
        return sorted({k for k in ks if k <= found}), sorted({k for k in ks if k > found})


@dataclass(frozen=True)
class RankingResult(Generic[LevelT]):
    """What a protocol found at every level, with all that is needed to repeat it.

    Attributes:
        protocol: its name, such as "retrieval".
        levels: by name of the level.
        settings: what was compared, and how.
        features: what the table was made from.
        seconds: duration.
    """

    protocol: str
    levels: dict[Level, LevelT]
    settings: dict[str, Any]
    features: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        levels = {name: config_to_dict(level) for name, level in self.levels.items()}
        return {
            "protocol": self.protocol,
            "settings": self.settings,
            "features": self.features,
            "levels": levels,
            "seconds": self.seconds,
        }


def describe_settings(table: FeatureTable, config: RankingConfig) -> dict[str, Any]:
    """Return what was compared, with "auto" resolved."""
    query_split, gallery_split = config.resolve_splits(table.split_names)
    return {
        "by": config.by,
        "query_split": query_split,
        "gallery_split": gallery_split,
        "is_centered": config.is_centered,
    }


def find_neighbors(table: FeatureTable, top_k: int, level: Level, config: RankingConfig) -> Neighbors:
    """Compare every query with the whole gallery by cosine similarity.

    Every row of the two splits takes part. Queries without a target can be neither right nor wrong: they
    are left out and counted. Gallery rows without one stay, and are never right.

    Args:
        table: the features.
        top_k: neighbours wanted; fewer come back when a query has fewer to be compared with.
        level: videos or clips.
        config: splits and target.

    Raises:
        FeaturesError: the table lacks a split, no query has a target, or a query has nothing to be
            compared with.
        ValueError: ``top_k`` is not positive.
    """
    if top_k < 1:
        raise ValueError(f"k must be at least 1, got {top_k}")
    query_split, gallery_split = config.resolve_splits(table.split_names)
    asked, num_without_target = take_with_target(table, query_split, level, config.by)
    gallery = _take_level(table, gallery_split, level)
    own_Q = _count_rows(asked.video_ids, gallery.video_ids)
    available_Q = len(gallery) - own_Q
    if available_Q.min() < 1:
        raise FeaturesError("a query has no other video to be compared with; extract more videos")
    wanted = min(top_k, int(available_Q.min()))
    scores, rows = _search(
        table, asked, gallery, wanted=wanted, num_own=int(own_Q.max()), is_centered=config.is_centered
    )
    query_targets, gallery_targets = asked.column(config.by), gallery.column(config.by)
    classes = np.unique(np.concatenate([query_targets, gallery_targets[gallery_targets != ""]]))
    gallery_class = np.where(gallery_targets == "", -1, np.searchsorted(classes, gallery_targets))
    return Neighbors(
        classes=[str(name) for name in classes],
        query_class_Q=np.searchsorted(classes, query_targets),
        neighbor_class_QK=gallery_class[rows],
        scores_QK=scores,
        # The own video has the query's target, so its rows are no longer there to be found.
        matches_Q=_count_rows(query_targets, gallery_targets) - own_Q,
        available_Q=available_Q,
        num_gallery=len(gallery),
        num_without_target=num_without_target,
    )


def _take_level(table: FeatureTable, split: str, level: Level) -> FeatureTable:
    return table.average_per_video(split) if level == "video" else table.select(split)


def take_with_target(
    table: FeatureTable, split: str, level: Level, by: Target, *, kind: str = "queries"
) -> tuple[FeatureTable, int]:
    """Return the vectors of a split that have a target and the number of those that have none.

    Vectors may be as long as a small picture, so they are copied only where rows are left out.

    Raises:
        FeaturesError: the table has no such split, or none of its vectors, the ``kind``, has a target.
    """
    queries = _take_level(table, split, level)
    has_target = queries.column(by) != ""
    if not has_target.any():
        raise FeaturesError(
            f"none of the {len(queries)} {kind} has a {by}; scan with labels and extract again, or choose "
            "another target"
        )
    if has_target.all():
        return queries, 0
    return queries.take(np.flatnonzero(has_target)), int((~has_target).sum())


def are_alike(vectors_GD: NDArray[np.float32]) -> bool:
    """Say whether two or more vectors agree but for rounding, as those of a collapsed encoder do."""
    if len(vectors_GD) < 2:
        return False
    highest_D, lowest_D = vectors_GD.max(axis=0), vectors_GD.min(axis=0)
    largest = np.maximum(np.abs(highest_D), np.abs(lowest_D)).max(initial=0)
    return bool((highest_D - lowest_D).max(initial=0) <= _ROUNDING * largest)


def _count_rows(values: NDArray[Any], among: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often each value occurs among others."""
    names, counts = np.unique(among, return_counts=True)
    places = np.minimum(np.searchsorted(names, values), len(names) - 1)
    return np.where(names[places] == values, counts[places], 0)


def _search(
    table: FeatureTable,
    queries: FeatureTable,
    gallery: FeatureTable,
    *,
    wanted: int,
    num_own: int,
    is_centered: bool,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the best rows of other videos.

    The query's own rows are found with the others and taken out afterwards, so as many more are asked for.
    """
    query_vectors, gallery_vectors = queries.vectors, gallery.vectors
    if is_centered:
        query_vectors, gallery_vectors = _center(query_vectors, gallery_vectors, table.vectors)
    top_k = min(wanted + num_own, len(gallery))
    scores, rows = ExactIndex(gallery_vectors).search(query_vectors, top_k)
    if num_own:
        is_own = gallery.video_ids[rows] == queries.video_ids[:, None]
        order = np.argsort(is_own, axis=1, kind="stable")[:, :wanted]
        scores = np.take_along_axis(scores, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return scores, rows


def _center(
    queries_QD: NDArray[np.float32], gallery_GD: NDArray[np.float32], table_GD: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Subtract the gallery's mean: in place from rows that were copied, while those of the table stay."""
    mean_D: NDArray[np.float32] = gallery_GD.mean(axis=0)

    def subtract(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.may_share_memory(vectors, table_GD):
            return vectors - mean_D
        vectors -= mean_D
        return vectors

    if queries_QD is gallery_GD:
        both = subtract(gallery_GD)
        return both, both
    return subtract(queries_QD), subtract(gallery_GD)
