"""Search that looks for candidates among codes and compares these by their vectors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.search.codes import Codes
from unreel.search.engine import NO_KEY, ExactEngine, Found
from unreel.search.exact import inverse_norms
from unreel.search.vector_cache import VectorCache

# Q queries, G gallery, A codes, D features, K neighbours, R candidates

EXACT_SHARE = 0.02
"""Of the vectors; up to here those that may be found are all compared, which takes no longer."""


@dataclass(frozen=True)
class Effort:
    """How much is looked at.

    Attributes:
        num_candidates: vectors compared exactly, per query.
        num_probes: lists of codes that are looked at; 0 when the codes are in no lists.
        top_k: neighbours that this was measured for; more of them take more candidates.
    """

    num_candidates: int
    num_probes: int = 0
    top_k: int = 10


class ApproximateEngine:
    """Compares the query with the codes of all vectors, or of some lists, and then with the best vectors.

    Scores are the true cosines; a neighbour may be missed.

    Args:
        codes: of vectors with the keys of the cache; codes of other keys are passed over, and a vector
            without a code is never found.
        cache: the vectors.
        effort: how much to look at.
    """

    def __init__(self, codes: Codes, cache: VectorCache, effort: Effort) -> None:
        self._codes = codes
        self._cache = cache
        self._effort = effort
        self._exact = ExactEngine(cache.keys, cache.vectors, cache.scales)
        self._rows_A = find_rows(codes.keys_A, cache.keys)
        is_dead = self._rows_A < 0
        self._alive_A = ~is_dead if is_dead.any() else None
        self._mask: tuple[NDArray[np.int64], NDArray[np.bool_], int] | None = None

    @property
    def name(self) -> str:
        """How it searches, for a person."""
        if self._codes.num_lists:
            return f"approximate (RaBitQ, {self._effort.num_probes} of {self._codes.num_lists} lists)"
        return "approximate (RaBitQ)"

    def search(
        self, queries_QD: NDArray[np.float32], top_k: int, allowed: NDArray[np.int64] | None = None
    ) -> Found:
        """Return scores and keys of the nearest vectors that were found, best first."""
        # More neighbours lie farther off: in more of the lists, and behind more of the codes.
        share = max(1.0, top_k / self._effort.top_k)
        mask_A, num_probes = self._alive_A, math.ceil(self._effort.num_probes * share)
        num_allowed = len(self._cache.keys)
        if allowed is not None:
            mask_A, num_allowed = self._find_mask(allowed)
            if num_allowed <= max(top_k, EXACT_SHARE * len(self._cache.keys)):
                return self._exact.search(queries_QD, top_k, allowed)
            # The fewer may be found, the farther are the nearest of them. The square was measured: with every
            # tenth vector of a cluster allowed, ten times the lists find 94 %, a hundred times all.
            num_probes = math.ceil(num_probes * (len(self._codes) / num_allowed) ** 2)
        num_candidates = math.ceil(self._effort.num_candidates * share)
        unit_QD = queries_QD * inverse_norms(queries_QD, "query")[:, None]
        numbers_QR = self._codes.search(unit_QD, num_candidates, num_probes, mask_A)
        scores_QK = np.full((len(unit_QD), top_k), -np.inf, dtype=np.float32)
        keys_QK = np.full((len(unit_QD), top_k), NO_KEY, dtype=np.int64)
        for query, (unit_D, numbers_R) in enumerate(zip(unit_QD, numbers_QR, strict=True)):
            scores, keys = self._compare(unit_D, self._rows_A[numbers_R[numbers_R >= 0]], top_k)
            scores_QK[query, : len(scores)] = scores
            keys_QK[query, : len(keys)] = keys
        if (keys_QK[:, min(top_k, num_allowed) - 1] == NO_KEY).any():
            return self._exact.search(queries_QD, top_k, allowed)
        return scores_QK, keys_QK

    def _compare(self, unit_D: NDArray[np.float32], rows_R: NDArray[np.int64], top_k: int) -> Found:
        # Ascending rows are read faster, and leave equal scores in the order of their keys.
        rows_R = np.sort(rows_R)
        scores_R = (self._cache.vectors[rows_R] @ unit_D) * self._cache.scales[rows_R]
        best = np.argsort(-scores_R, kind="stable")[:top_k]
        return scores_R[best], self._cache.keys[rows_R[best]]

    def _find_mask(self, allowed: NDArray[np.int64]) -> tuple[NDArray[np.bool_], int]:
        # The same search is asked again and again, with the same array; this one is then not made anew.
        mask = self._mask
        if mask is None or mask[0] is not allowed:
            mask_A = np.isin(self._codes.keys_A, allowed, assume_unique=True)
            if self._alive_A is not None:
                mask_A &= self._alive_A
            mask = self._mask = (allowed, mask_A, int(mask_A.sum()))
        return mask[1], mask[2]


def find_rows(keys_A: NDArray[np.int64], keys_G: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where keys stand among others, -1 where they do not; both are ascending."""
    if not len(keys_G):
        return np.full(len(keys_A), -1, dtype=np.int64)
    rows_A = np.minimum(np.searchsorted(keys_G, keys_A), len(keys_G) - 1)
    return np.where(keys_G[rows_A] == keys_A, rows_A, -1)
