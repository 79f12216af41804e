"""What finds the nearest of many vectors, by whatever means."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unreel.search.exact import ExactIndex

# Q queries, G gallery, D features, K neighbours

NO_KEY = -1
"""Stands where fewer vectors may be found than are asked for; its score is -infinity."""

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and keys, both of shape (Q, K), best first."""


class Engine(Protocol):
    """Finds the vectors with the largest cosine to a query."""

    @property
    def name(self) -> str:
        """How it searches, for a person."""

    def search(
        self, queries_QD: NDArray[np.float32], top_k: int, allowed: NDArray[np.int64] | None = None
    ) -> Found:
        """Return scores and keys of the nearest vectors, best first; see `NO_KEY`.

        Args:
            queries_QD: need not be normalised.
            top_k: neighbours per query.
            allowed: ascending keys that may be found, others may be among them; None is all.
        """


class ExactEngine:
    """Compares the query with every vector; equal scores are ordered by key, lowest first.

    Args:
        keys_G: ascending.
        vectors_GD: their vectors; may be memory-mapped, are not copied.
        scales_G: 1 / length of each, when known.
    """

    def __init__(
        self,
        keys_G: NDArray[np.int64],
        vectors_GD: NDArray[np.float32],
        scales_G: NDArray[np.float32] | None = None,
    ) -> None:
        self._keys_G = keys_G
        self._index = ExactIndex(vectors_GD, scales_G) if len(keys_G) else None
        self._mask: tuple[NDArray[np.int64], NDArray[np.bool_]] | None = None

    @property
    def name(self) -> str:
        """How it searches, for a person."""
        return "exact"

    def search(
        self, queries_QD: NDArray[np.float32], top_k: int, allowed: NDArray[np.int64] | None = None
    ) -> Found:
        """Return scores and keys of the nearest vectors, best first."""
        scores_QK = np.full((len(queries_QD), top_k), -np.inf, dtype=np.float32)
        keys_QK = np.full((len(queries_QD), top_k), NO_KEY, dtype=np.int64)
        if self._index is not None:
            count = min(top_k, len(self._index))
            mask_G = None if allowed is None else self._find_mask(allowed)
            scores, rows = self._index.search(queries_QD, count, allowed_G=mask_G)
            scores_QK[:, :count] = scores
            keys_QK[:, :count] = np.where(rows < 0, NO_KEY, self._keys_G[rows])
        return scores_QK, keys_QK

    def _find_mask(self, allowed: NDArray[np.int64]) -> NDArray[np.bool_]:
        # The same search is asked again and again, with the same array; this one is then not made anew.
        mask = self._mask
        if mask is None or mask[0] is not allowed:
            mask = self._mask = (allowed, np.isin(self._keys_G, allowed, assume_unique=True))
        return mask[1]


def merge_found(parts: list[Found], top_k: int) -> Found:
    """Join what several engines found of the same queries; equal scores are ordered by key, lowest first."""
    scores_QG = np.concatenate([scores for scores, _ in parts], axis=1)
    keys_QG = np.concatenate([keys for _, keys in parts], axis=1)
    order = np.lexsort((keys_QG, -scores_QG), axis=1)[:, :top_k]
    return np.take_along_axis(scores_QG, order, axis=1), np.take_along_axis(keys_QG, order, axis=1)
