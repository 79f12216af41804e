"""Retrieval: does a query find a video of its class among its nearest neighbours?"""

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

# Q queries, K neighbours

DEFAULT_KS = (1, 5, 10, 20, 50)
LEVELS: tuple[Level, ...] = ("video", "clip")


@dataclass(frozen=True)
class LevelRecall:
    """Recall of one level; shares are in [0, 1].

    Attributes:
        queries: vectors that asked.
        gallery: vectors that were searched.
        without_target: further queries that could not be counted, since they have no target.
        without_match: queries whose class the gallery lacks; they count as misses.
        recall: share of queries with a right neighbour among the nearest k, by k.
        chance: the same if neighbours were drawn at random.
        recall_by_class: by name of the class, then by k.
        queries_by_class: number of queries by name of the class.
        impossible_ks: ks that were asked for and are larger than the gallery; they have no value.
    """

    queries: int
    gallery: int
    without_target: int
    without_match: int
    recall: dict[int, float]
    chance: dict[int, float]
    recall_by_class: dict[str, dict[int, float]]
    queries_by_class: dict[str, int]
    impossible_ks: list[int]


def recall_at_k(
    query_class_Q: NDArray[np.int64], neighbor_class_QK: NDArray[np.int64], k: int
) -> NDArray[np.bool_]:
    """Say for every query whether one of its k nearest neighbours is of its class; the mean is recall@k.

    Raises:
        ValueError: k is not between 1 and the number of neighbours.
    """
    num_neighbors = neighbor_class_QK.shape[1]
    if not 1 <= k <= num_neighbors:
        raise ValueError(f"k must be between 1 and the {num_neighbors} neighbours at hand, got {k}")
    is_hit: NDArray[np.bool_] = (neighbor_class_QK[:, :k] == query_class_Q[:, None]).any(axis=1)
    return is_hit


def chance_at_k(matches_Q: NDArray[np.int64], available_Q: NDArray[np.int64], k: int) -> float:
    """Return recall@k of neighbours drawn at random without repetition.

    One query with m matches among n rows misses with probability ``prod_{i<k} (n - m - i) / (n - i)``.

    Args:
        matches_Q: m, right rows of the gallery per query.
        available_Q: n, rows of the gallery per query, at least k.
        k: number of neighbours.
    """
    miss_Q = np.ones(len(matches_Q))
    for i in range(k):
        miss_Q *= np.maximum(available_Q - matches_Q - i, 0) / (available_Q - i)
    return float(1 - miss_Q.mean())


def evaluate_retrieval(
    table: FeatureTable,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    levels: Sequence[Level] = LEVELS,
    config: RankingConfig | None = None,
) -> RankingResult[LevelRecall]:
    """Measure recall@k of a table of features by cosine similarity.

    Each k asks for the share of queries with at least one neighbour of their class among the k nearest.
    Videos are compared by the mean of their vectors, clips one by one.

    Args:
        table: the features.
        ks: numbers of neighbours; those beyond the gallery get no value and are listed.
        levels: videos, clips, or both.
        config: splits and target.

    Raises:
        FeaturesError: the table lacks a split, no query has a target, or a query has nothing to be
            compared with.
        ValueError: there is no k, or one that is not positive.

    Reference: Xu et al., 2019 (VCOP), section 4.3; CACL, section 4.4; CCL, section 4.2.
    """
    started = time.monotonic()
    config = config or RankingConfig()
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must be one or more positive numbers, got {list(ks)}")
    results = {level: _measure(find_neighbors(table, max(ks), level, config), ks) for level in levels}
    return RankingResult(
        protocol="retrieval",
        levels=results,
        settings=describe_settings(table, config),
        features=config_to_dict(table.info),
        seconds=time.monotonic() - started,
    )


def _measure(neighbors: Neighbors, ks: Sequence[int]) -> LevelRecall:
    possible, impossible = neighbors.keep_possible(ks)
    query_class = neighbors.query_class_Q
    hits = {k: recall_at_k(query_class, neighbors.neighbor_class_QK, k) for k in possible}
    counts = np.bincount(query_class, minlength=len(neighbors.classes))
    present = [(number, name) for number, name in enumerate(neighbors.classes) if counts[number]]
    return LevelRecall(
        queries=len(query_class),
        gallery=neighbors.num_gallery,
        without_target=neighbors.num_without_target,
        without_match=int((neighbors.matches_Q == 0).sum()),
        recall={k: float(hit.mean()) for k, hit in hits.items()},
        chance={k: chance_at_k(neighbors.matches_Q, neighbors.available_Q, k) for k in possible},
        recall_by_class={
            name: {k: float(hit[query_class == number].mean()) for k, hit in hits.items()}
            for number, name in present
        },
        queries_by_class={name: int(counts[number]) for number, name in present},
        impossible_ks=impossible,
    )
