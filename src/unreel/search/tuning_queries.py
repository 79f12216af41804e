"""Questions whose true answers are known, and what a way of search makes of them."""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.search.engine import Engine, ExactEngine
from unreel.search.vector_cache import VectorCache

# Q queries, D features, K neighbours, R candidates

_TIMED_QUERIES = 30
_TIE = 1e-6
"""Scores that differ by less are equal: a sum of products ends in another digit when blocks differ."""


@dataclass(frozen=True)
class Questions:
    """Vectors of an index as queries, with their true neighbours, which are others than they themselves.

    Attributes:
        keys_Q: of the queries.
        vectors_QD: the queries.
        neighbors_QK: keys of the true neighbours, nearest first.
        scores_QK: their cosines.
    """

    keys_Q: NDArray[np.int64]
    vectors_QD: NDArray[np.float32]
    neighbors_QK: NDArray[np.int64]
    scores_QK: NDArray[np.float32]

    @property
    def top_k(self) -> int:
        """K, neighbours per query."""
        return int(self.neighbors_QK.shape[1])

    def select(self, part: slice) -> "Questions":
        """Return some of them."""
        return Questions(
            self.keys_Q[part], self.vectors_QD[part], self.neighbors_QK[part], self.scores_QK[part]
        )


def draw_questions(cache: VectorCache, exact: ExactEngine, top_k: int, count: int, seed: int) -> Questions:
    """Draw vectors at random, in random order, and find their true neighbours."""
    rng = np.random.default_rng(seed)
    rows_Q = rng.choice(len(cache.keys), min(count, len(cache.keys)), replace=False)
    keys_Q, vectors_QD = cache.keys[rows_Q], cache.vectors[rows_Q]
    scores, keys = drop_self(*exact.search(vectors_QD, top_k + 1), keys_Q)
    return Questions(keys_Q, vectors_QD, keys, scores)


def drop_self(
    scores_QK: NDArray[np.float32], keys_QK: NDArray[np.int64], keys_Q: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Leave out of each answer the query itself, or else the last place."""
    is_self = keys_QK == keys_Q[:, None]
    is_self[:, -1] |= ~is_self.any(axis=1)
    shape = (len(keys_Q), keys_QK.shape[1] - 1)
    return scores_QK[~is_self].reshape(shape), keys_QK[~is_self].reshape(shape)


def measure_recall(engine: Engine, questions: Questions) -> float:
    """Return the share of the true neighbours that are found, in [0, 1].

    Anything as near as the last true neighbour counts as one: where several are equally near, each is right.
    """
    found = engine.search(questions.vectors_QD, questions.top_k + 1)
    scores_QK, _ = drop_self(*found, questions.keys_Q)
    return float((scores_QK >= questions.scores_QK[:, -1:] - _TIE).mean())


def bound_recall(recall: float, num_queries: int) -> tuple[float, float]:
    """Return Wilson's 95 % confidence interval of a recall.

    It takes each query for one trial, as if its neighbours were found or missed together; so it is rather
    too wide than too narrow, and has a width at recall 1, too.
    """
    z = 1.959964
    middle = (recall + z * z / (2 * num_queries)) / (1 + z * z / num_queries)
    spread = recall * (1 - recall) / num_queries + z * z / (4 * num_queries**2)
    half = z / (1 + z * z / num_queries) * math.sqrt(spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def time_queries(engine: Engine, questions: Questions) -> float:
    """Return the median time of a query in milliseconds, one asked after the other."""
    times = []
    for vector_D in questions.vectors_QD[:_TIMED_QUERIES]:
        started = time.perf_counter()
        engine.search(vector_D[None], questions.top_k)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def rank_wanted(listed_QR: NDArray[np.int64], wanted_QK: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of a query's listed numbers must be looked at to meet each wanted one: shape (Q, K).

    What is not listed at all is met at R + 1.
    """
    ranks_QK = np.empty(wanted_QK.shape, dtype=np.int64)
    for query, (listed_R, wanted_K) in enumerate(zip(listed_QR, wanted_QK, strict=True)):
        order = np.argsort(listed_R, kind="stable")
        places = np.minimum(np.searchsorted(listed_R, wanted_K, sorter=order), len(order) - 1)
        ranks_QK[query] = np.where(listed_R[order[places]] == wanted_K, order[places], len(order)) + 1
    return ranks_QK


def count_needed(ranks_QK: NDArray[np.int64], share: float) -> int:
    """Return how many numbers must be looked at so that some share of all wanted ones is met."""
    ranks = np.sort(ranks_QK, axis=None)
    return int(ranks[max(0, math.ceil(share * len(ranks)) - 1)])
