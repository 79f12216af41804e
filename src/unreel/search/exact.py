"""Exact search by cosine similarity: blocks of one matrix product, each reduced to its best rows at once."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

# Q queries, G gallery, D features, K neighbours

_GALLERY_BLOCK = 8192
_QUERY_BLOCK = 512
"""Scores of one block take 16 MB, whatever the size of the gallery."""
_MAX_LONGER = 8
"""Blocks are at most so much longer for few queries."""
_COPIED_SHARE = 0.25
"""Of a block's rows; up to here those that may be found are copied and compared, beyond all are compared."""


class ExactIndex:
    """Find the most similar rows of a gallery, all of them compared.

    Similarity is the cosine, in [-1, 1] up to rounding. A vector of zeros has similarity 0 with
    everything. The gallery is used where it lies, without a copy, so it may be a memory-mapped array.

    Args:
        vectors_GD: the gallery, float32 or convertible; need not be normalised.
        scales_G: ``inverse_norms`` of the gallery, when they are known; else they are computed.

    Raises:
        ValueError: the gallery is no matrix, is empty, or holds NaN or infinity.
    """

    def __init__(self, vectors_GD: ArrayLike, scales_G: NDArray[np.float32] | None = None) -> None:
        self._vectors_GD = _check_vectors(vectors_GD, "gallery")
        self._scales_G = inverse_norms(self._vectors_GD, "gallery") if scales_G is None else scales_G

    def __len__(self) -> int:
        return len(self._vectors_GD)

    @property
    def dimension(self) -> int:
        """D, length of a vector."""
        return int(self._vectors_GD.shape[1])

    def search(
        self, queries_QD: ArrayLike, top_k: int, *, allowed_G: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the ``top_k`` most similar rows of every query, best first.

        Equal scores are ordered by row, lowest first, so the answer does not depend on the order of
        computation.

        Args:
            queries_QD: need not be normalised.
            top_k: rows per query, at most the size of the gallery.
            allowed_G: which rows may be found; None is all.

        Returns:
            Scores and row numbers, both of shape (Q, K); where fewer rows may be found than are asked for,
            the places left have score -infinity and row -1.

        Raises:
            ValueError: a query is not of the gallery's length or not finite, or ``top_k`` is out of range.
        """
        queries = _check_vectors(queries_QD, "query")
        if queries.shape[1] != self.dimension:
            raise ValueError(
                f"queries have {queries.shape[1]} features, the gallery has {self.dimension}; "
                "use vectors of the same encoder and pooling"
            )
        if not 1 <= top_k <= len(self):
            raise ValueError(f"top_k must be between 1 and the {len(self)} rows of the gallery, got {top_k}")
        scores_QK = np.empty((len(queries), top_k), dtype=np.float32)
        rows_QK = np.empty((len(queries), top_k), dtype=np.int64)
        for start in range(0, len(queries), _QUERY_BLOCK):
            block = slice(start, start + _QUERY_BLOCK)
            unit_QD = queries[block] * inverse_norms(queries[block], "query", start)[:, None]
            scores_QK[block], rows_QK[block] = self._search_block(unit_QD, top_k, allowed_G)
        return scores_QK, rows_QK

    def _search_block(
        self, unit_QD: NDArray[np.float32], top_k: int, allowed_G: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        best_scores = torch.full((len(unit_QD), top_k), -torch.inf)
        best_rows = torch.full((len(unit_QD), top_k), -1, dtype=torch.int64)
        # Few queries take longer blocks: each block has its cost, however short. The scores keep their
        # place in memory, for new pages cost as much as the product that fills them.
        size = _GALLERY_BLOCK * min(_MAX_LONGER, max(1, _QUERY_BLOCK // _MAX_LONGER // len(unit_QD)))
        buffer_QG = np.empty((len(unit_QD), min(size, len(self))), dtype=np.float32)
        for start in range(0, len(self), size):
            block = slice(start, start + size)
            mask_G = None if allowed_G is None else allowed_G[block]
            num_allowed = np.count_nonzero(mask_G) if mask_G is not None else size
            if not num_allowed:
                continue
            is_copied = mask_G is not None and num_allowed <= _COPIED_SHARE * len(mask_G)
            rows = start + np.flatnonzero(mask_G) if mask_G is not None and is_copied else None
            scores_QG = self._score(unit_QD, block, rows, buffer_QG)
            if mask_G is not None and not is_copied:
                scores_QG.masked_fill_(torch.from_numpy(~mask_G), -torch.inf)
            # In most blocks nothing is better than what was found before; a maximum tells it at little cost.
            better = torch.nonzero(scores_QG.amax(dim=1) > best_scores[:, -1])[:, 0]
            if not len(better):
                continue
            hopeful_QG = scores_QG if len(better) == len(scores_QG) else scores_QG[better]
            scores, places = _select_top(hopeful_QG, min(top_k, scores_QG.shape[1]))
            found = places + start if rows is None else torch.from_numpy(rows)[places]
            # Earlier rows stand first and the sort is stable, so ties keep the lowest row.
            scores = torch.cat([best_scores[better], scores], dim=1)
            found = torch.cat([best_rows[better], found], dim=1)
            scores, order = scores.sort(dim=1, descending=True, stable=True)
            best_scores[better] = scores[:, :top_k]
            best_rows[better] = found.gather(1, order[:, :top_k])
        return best_scores.numpy(), best_rows.numpy()

    def _score(
        self,
        unit_QD: NDArray[np.float32],
        block: slice,
        rows: NDArray[np.int64] | None,
        buffer_QG: NDArray[np.float32],
    ) -> Tensor:
        """Return the cosines with the rows of a block, or with some of its rows, in the buffer."""
        chosen = block if rows is None else rows
        vectors_GD, scales_G = self._vectors_GD[chosen], self._scales_G[chosen]
        scores_QG = buffer_QG[:, : len(scales_G)]
        # numpy is faster by a fifth for one query, torch for many.
        if len(unit_QD) == 1:
            np.matmul(unit_QD, vectors_GD.T, out=scores_QG)
        else:
            torch.mm(_share(unit_QD), _share(vectors_GD).T, out=_share(scores_QG))
        scores_QG *= scales_G
        return torch.from_numpy(scores_QG)


class _Unprotected:
    """Memory that numpy takes for its own to write to."""

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self.owner = matrix
        self.__array_interface__ = {**matrix.__array_interface__, "data": (matrix.ctypes.data, False)}


def _share(matrix: NDArray[np.float32]) -> Tensor:
    """Return a tensor over the same memory, only read; torch would warn of write-protected memory."""
    return torch.from_numpy(matrix if matrix.flags.writeable else np.asarray(_Unprotected(matrix)))


def _select_top(scores_QG: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the best ``top_k`` columns of every row, ordered by score, then by column.

    ``topk`` chooses freely among equal scores; one place more than wanted shows where that choice mattered.
    """
    num_columns = scores_QG.shape[1]
    scores, columns = scores_QG.topk(min(top_k + 1, num_columns), dim=1)
    if num_columns > top_k:
        for query in torch.nonzero(scores[:, top_k - 1] == scores[:, top_k])[:, 0].tolist():
            threshold = scores[query, top_k - 1]
            above = torch.nonzero(scores_QG[query] > threshold)[:, 0]
            equal = torch.nonzero(scores_QG[query] == threshold)[:, 0]
            columns[query, :top_k] = torch.cat([above, equal])[:top_k]
    columns = columns[:, :top_k].sort(dim=1).values
    scores, order = scores_QG.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return scores, columns.gather(1, order)


def _check_vectors(vectors: ArrayLike, name: str) -> NDArray[np.float32]:
    matrix: NDArray[np.float32] = np.asarray(vectors, dtype=np.float32)
    if min(matrix.strides, default=0) < 0:
        matrix = matrix.copy()
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(
            f"{name} vectors must be a matrix with at least one row and column, got shape {matrix.shape}"
        )
    return matrix


def inverse_norms(vectors: NDArray[np.float32], name: str, first_row: int = 0) -> NDArray[np.float32]:
    """Return 1 / length of every row, 0 for a row of zeros; works block by block.

    Args:
        vectors: a matrix.
        name: what the message calls its rows.
        first_row: number of its first row, for the message.

    Raises:
        ValueError: a row holds NaN or infinity.
    """
    scales = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _GALLERY_BLOCK):
        block = vectors[start : start + _GALLERY_BLOCK]
        squares = np.einsum("gd,gd->g", block, block, dtype=np.float64)
        if not np.isfinite(squares).all():
            row = first_row + start + int(np.flatnonzero(~np.isfinite(squares))[0])
            raise ValueError(
                f"{name} vector {row} holds NaN or infinity; extract it again with a sound encoder"
            )
        norms = np.sqrt(squares)
        scales[start : start + len(block)] = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return scales
