"""k-NN accuracy: the nearest neighbours vote for a class."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.evaluate.ranking import (
    Level,
    Neighbors,
    RankingConfig,
    RankingResult,
    describe_settings,
    find_neighbors,
)
from unreel.features.table import FeatureTable

# Q queries, K neighbours, C classes

DEFAULT_KS = (1, 5, 20, 200)
LEVELS: tuple[Level, ...] = ("video", "clip")
_QUERIES_PER_BLOCK = 4096


@dataclass(frozen=True)
class LevelAccuracy:
    """Accuracy of one level; shares are in [0, 1].

    Attributes:
        queries: vectors that asked.
        gallery: vectors that voted.
        classes: number of classes.
        without_target: further queries that could not be counted, since they have no target.
        majority: accuracy when each of the k nearest has one vote, by k.
        weighted: accuracy when a vote weighs ``exp(similarity / temperature)``, by k.
        impossible_ks: ks that were asked for and are larger than the gallery; they have no value.
    """

    queries: int
    gallery: int
    classes: int
    without_target: int
    majority: dict[int, float]
    weighted: dict[int, float]
    impossible_ks: list[int]


def vote(
    neighbor_class_QK: NDArray[np.int64],
    scores_QK: NDArray[np.float32],
    num_classes: int,
    *,
    temperature: float | None = None,
) -> NDArray[np.int64]:
    """Return the class that each query's neighbours choose.

    Without a temperature every neighbour has one vote; among classes with equally many, the one with the
    larger sum of similarities wins, then the first by number. Neighbours of class -1 do not vote; -1 is
    returned where nobody votes.

    Args:
        neighbor_class_QK: class of each neighbour, -1 for none.
        scores_QK: cosine similarities.
        num_classes: C.
        temperature: when given, a vote weighs ``exp(similarity / temperature)``.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: Wu et al., 2018 (instance discrimination), section 3.4.
    """
    if temperature is not None and temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    weights = np.ones_like(scores_QK) if temperature is None else _weigh(scores_QK, temperature)
    votes_QC = _sum_by_class(neighbor_class_QK, weights, num_classes)
    is_best_QC = votes_QC == votes_QC.max(axis=1, keepdims=True)
    similarity_QC = _sum_by_class(neighbor_class_QK, scores_QK, num_classes)
    winner_Q = np.where(is_best_QC, similarity_QC, -np.inf).argmax(axis=1)
    return np.where((neighbor_class_QK >= 0).any(axis=1), winner_Q, -1)


def _weigh(scores_QK: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return vote weights relative to the best neighbour's, which keeps them finite at any temperature."""
    weights: NDArray[np.float32] = np.exp((scores_QK - scores_QK[:, :1]) / np.float32(temperature))
    return weights


def _sum_by_class(
    class_QK: NDArray[np.int64], values_QK: NDArray[np.float32], num_classes: int
) -> NDArray[np.float64]:
    # Class -1 is added to a column of its own, which is then dropped.
    sums_QC = np.zeros((len(class_QK), num_classes + 1))
    queries_QK = np.broadcast_to(np.arange(len(class_QK))[:, None], class_QK.shape)
    np.add.at(sums_QC, (queries_QK, class_QK), values_QK)
    return sums_QC[:, :num_classes]


def evaluate_knn(
    table: FeatureTable,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    levels: Sequence[Level] = LEVELS,
    temperature: float = 0.07,
    config: RankingConfig | None = None,
) -> RankingResult[LevelAccuracy]:
    """Measure how often the k nearest neighbours by cosine similarity vote for the right class.

    Args:
        table: the features.
        ks: numbers of neighbours; those beyond the gallery get no value and are listed.
        levels: videos (mean of their vectors), clips one by one, or both.
        temperature: of the weighted vote; the field uses 0.07 with k = 20 or 200.
        config: splits and target.

    Raises:
        FeaturesError: the table lacks a split, no query has a target, or a query has nothing to be
            compared with.
        ValueError: there is no k, one is not positive, or ``temperature`` is not.

    Reference: Wu et al., 2018 (instance discrimination), section 3.4.
    """
    started = time.monotonic()
    config = config or RankingConfig()
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must be one or more positive numbers, got {list(ks)}")
    results = {
        level: _measure(find_neighbors(table, max(ks), level, config), ks, temperature) for level in levels
    }
    return RankingResult(
        protocol="knn",
        levels=results,
        settings={**describe_settings(table, config), "temperature": temperature},
        features=config_to_dict(table.info),
        seconds=time.monotonic() - started,
    )


def _measure(neighbors: Neighbors, ks: Sequence[int], temperature: float) -> LevelAccuracy:
    possible, impossible = neighbors.keep_possible(ks)
    return LevelAccuracy(
        queries=len(neighbors.query_class_Q),
        gallery=neighbors.num_gallery,
        classes=len(neighbors.classes),
        without_target=neighbors.num_without_target,
        majority={k: _accuracy(neighbors, k, None) for k in possible},
        weighted={k: _accuracy(neighbors, k, temperature) for k in possible},
        impossible_ks=impossible,
    )


def _accuracy(neighbors: Neighbors, k: int, temperature: float | None) -> float:
    num_right, num_queries = 0, len(neighbors.query_class_Q)
    for start in range(0, num_queries, _QUERIES_PER_BLOCK):
        block = slice(start, start + _QUERIES_PER_BLOCK)
        voted = vote(
            neighbors.neighbor_class_QK[block, :k],
            neighbors.scores_QK[block, :k],
            len(neighbors.classes),
            temperature=temperature,
        )
        num_right += int((voted == neighbors.query_class_Q[block]).sum())
    return num_right / num_queries
