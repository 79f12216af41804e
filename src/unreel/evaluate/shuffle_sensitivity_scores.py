"""What share of the queries is told right when their clips are as they are, and when they are shuffled."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.ranking import RankingConfig, Target, find_neighbors, take_with_target
from unreel.evaluate.retrieval import chance_at_k, recall_at_k
from unreel.evaluate.shuffle_sensitivity_features import ShuffledFeatures
from unreel.evaluate.svm import evaluate_svm
from unreel.features.table import FeatureTable

# S shuffles, Q query videos that have a class, X clips, D features

_BLOCK = 4096


@dataclass(frozen=True)
class ShuffledScore:
    """What share of the queries is told right, as they are and shuffled; shares are in [0, 1].

    Attributes:
        queries: videos that were tested.
        gallery: videos that were learned from or searched.
        chance: the share of a guess.
        normal: share that is right when all clips are as they are.
        shuffled: the same when the clips of the queries are shuffled, by shuffle.
        normal_by_class: ``normal`` of every class.
        shuffled_by_class: mean of ``shuffled`` of every class.
        queries_by_class: number of queries.
        unconverged: classes whose solver was stopped before it was done; 0 of retrieval.
    """

    queries: int
    gallery: int
    chance: float
    normal: float
    shuffled: tuple[float, ...]
    normal_by_class: dict[str, float]
    shuffled_by_class: dict[str, float]
    queries_by_class: dict[str, int]
    unconverged: int = 0

    @property
    def mean_shuffled(self) -> float:
        """Mean over the shuffles."""
        return float(np.mean(self.shuffled))

    @property
    def difference(self) -> float:
        """How much is lost by shuffling."""
        return self.normal - self.mean_shuffled

    @property
    def deviation(self) -> float:
        """Standard deviation over the shuffles, 0 of a single one."""
        return float(np.std(self.shuffled, ddof=1)) if len(self.shuffled) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the score as plain values."""
        means = ("mean_shuffled", "difference", "deviation")
        return {**config_to_dict(self), **{name: getattr(self, name) for name in means}}


def find_obstacles(features: ShuffledFeatures, gallery_split: str, by: Target) -> dict[str, str]:
    """Say why there can be no "svm" or no "retrieval", where that is so.

    Args:
        features: of queries and gallery.
        gallery_split: videos that are learned from and searched, "" for all.
        by: what is to be told.
    """
    gallery = features.normal.select(gallery_split)
    known = set(gallery.column(by)) - {""}
    if not (set(features.queries.column(by)) - {""} and known):
        return dict.fromkeys(("svm", "retrieval"), f"no {by} is known of the videos")
    shared = len(np.intersect1d(features.queries.video_ids, gallery.video_ids))
    if shared:
        left_out = {"svm": f"{shared} videos would be both learned from and tested; name two splits"}
        is_alone = len(np.unique(gallery.video_ids)) == 1
        return left_out | ({"retrieval": "there is no other video to be searched"} if is_alone else {})
    return {"svm": f"there is a single {by} to learn from"} if len(known) < 2 else {}


def measure_svm(features: ShuffledFeatures, config: RankingConfig, svm: SVMConfig) -> ShuffledScore:
    """Learn from clips as they are, and classify the queries as they are and shuffled.

    Raises:
        FeaturesError: as `evaluate_svm`.
    """
    fitted = evaluate_svm(features.normal, svm=svm, config=config)
    level = fitted.ranking.levels["video"]
    tables = [features.queries, *features.shuffled]
    right = [_tell(fitted.classifier, table, config.by) for table in tables]
    return replace(_score(right, level.gallery, level.chance), unconverged=len(level.unconverged))


def _tell(
    classifier: LinearClassifier, table: FeatureTable, by: Target
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the classes of the videos, and whether the classifier finds each."""
    videos, _ = take_with_target(table, "", "video", by)
    told_Q = np.array(classifier.classes)[classifier.scores(videos.vectors).argmax(axis=1)]
    return videos.column(by), told_Q == videos.column(by)


def measure_retrieval(features: ShuffledFeatures, config: RankingConfig) -> ShuffledScore:
    """Look for the nearest video, other than its own, of every query as it is and shuffled.

    Raises:
        FeaturesError: a query has nothing to be compared with.
    """
    gallery = features.normal.select(config.gallery_split)
    right = []
    for table in (features.queries, *features.shuffled):
        both = RankingConfig(config.by, "query", "gallery")
        found = find_neighbors(_join(table, gallery), 1, "video", both)
        classes_Q = np.array(found.classes)[found.query_class_Q]
        right.append((classes_Q, recall_at_k(found.query_class_Q, found.neighbor_class_QK, 1)))
    return _score(right, found.num_gallery, chance_at_k(found.matches_Q, found.available_Q, 1))


def _join(queries: FeatureTable, gallery: FeatureTable) -> FeatureTable:
    """Return one table with the splits "query" and "gallery"; a video may be in both."""
    columns = {
        name: np.concatenate([queries.column(name), gallery.column(name)])
        for name in FeatureTable.column_names()
    }
    columns["split"] = np.repeat(["query", "gallery"], [len(queries), len(gallery)]).astype(object)
    vectors = np.concatenate([queries.vectors, gallery.vectors])
    return FeatureTable.from_columns(queries.info, vectors, **columns)


def _score(right: list[tuple[NDArray[Any], NDArray[np.bool_]]], gallery: int, chance: float) -> ShuffledScore:
    """Summarise which queries are right, the first time as they are, then shuffled."""
    classes_Q, normal_Q = right[0]
    shuffled_SQ = np.stack([is_right_Q for _, is_right_Q in right[1:]])
    rows = {str(name): classes_Q == name for name in np.unique(classes_Q)}
    return ShuffledScore(
        queries=len(classes_Q),
        gallery=gallery,
        chance=chance,
        normal=float(normal_Q.mean()),
        shuffled=tuple(shuffled_SQ.mean(axis=1).tolist()),
        normal_by_class={name: float(normal_Q[is_row].mean()) for name, is_row in rows.items()},
        shuffled_by_class={name: float(shuffled_SQ[:, is_row].mean()) for name, is_row in rows.items()},
        queries_by_class={name: int(is_row.sum()) for name, is_row in rows.items()},
    )


def mean_cosine(first_XD: NDArray[np.float32], second_XD: NDArray[np.float32]) -> float:
    """Return the mean cosine of the rows of two matrices; that of a row of zeros is 0."""
    total = 0.0
    for start in range(0, len(first_XD), _BLOCK):
        block = slice(start, start + _BLOCK)
        total += float(np.sum(_normalize(first_XD[block]) * _normalize(second_XD[block])))
    return total / len(first_XD)


def mean_cosine_between(vectors_XD: NDArray[np.float32], video_X: NDArray[Any]) -> float | None:
    """Return the mean cosine of all pairs of rows of different videos; None when there is one video.

    The sum over all pairs is the square of the sum of unit vectors; from it, that of each video is taken.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    for start in range(0, len(vectors_XD), _BLOCK):
        block = slice(start, start + _BLOCK)
        for video, unit_D in zip(video_X[block], _normalize(vectors_XD[block]), strict=True):
            sums[video] = sums.get(video, 0) + unit_D
    count_V = np.unique(video_X, return_counts=True)[1].astype(np.float64)
    num_pairs = count_V.sum() ** 2 - (count_V**2).sum()
    if not num_pairs:
        return None
    sum_VD = np.stack(list(sums.values()))
    return float((np.square(sum_VD.sum(axis=0)).sum() - np.square(sum_VD).sum()) / num_pairs)


def _normalize(vectors_XD: NDArray[np.float32]) -> NDArray[np.float64]:
    exact_XD = vectors_XD.astype(np.float64)
    length_X1 = np.linalg.norm(exact_XD, axis=1, keepdims=True)
    unit_XD: NDArray[np.float64] = np.divide(
        exact_XD, length_X1, out=np.zeros_like(exact_XD), where=length_X1 > 0
    )
    return unit_XD
