"""Vectors as codes of one bit per number, small enough to look at all of a million in milliseconds.

faiss does the work. A code tells the cosine to within some hundredths, so what is found by codes is a list of
candidates, to be compared by their vectors.

Reference: Gao and Long, RaBitQ, SIGMOD 2024 (arXiv 2405.12497), sections 3.1 to 3.3.
"""

import importlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unreel.machine import count_cores
from unreel.progress import Progress, ignore_progress

# Q queries, A codes, D features, R candidates per query

_QUERY_BITS = 4
"""Of each number of a query; 8 cost half as much time again and find no more."""
_TRAINING_ROWS = 65_536
_ROWS_PER_LIST = 40
_CLUSTERING_ROUNDS = 8
_ROWS_PER_BLOCK = 32_768


class Codes:
    """Codes of vectors, numbered in the order in which they were added.

    Attributes:
        keys_A: key of each code's vector, ascending.
    """

    def __init__(self, index: Any, keys_A: NDArray[np.int64]) -> None:  # noqa: ANN401 (faiss has no types)
        self._index = index
        self.keys_A = keys_A

    def __len__(self) -> int:
        return len(self.keys_A)

    @property
    def num_lists(self) -> int:
        """Lists that the codes lie in, by the nearest of as many centres; 0 when they lie in one row."""
        return int(getattr(self._index, "nlist", 0))

    @classmethod
    def train(
        cls,
        vectors_GD: NDArray[np.float32],
        scales_G: NDArray[np.float32],
        *,
        num_lists: int = 0,
        seed: int = 0,
    ) -> "Codes":
        """Learn the centre, or the centres, of vectors; none of them is added.

        Args:
            vectors_GD: need not be normalised.
            scales_G: 1 / length of each.
            num_lists: of a search that looks at some lists only; 0 looks at all codes.
            seed: of the rows that are learnt from, and of the first centres.
        """
        faiss = _load_faiss(count_cores())
        wanted = max(_TRAINING_ROWS, _ROWS_PER_LIST * num_lists)
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(vectors_GD), min(wanted, len(vectors_GD)), replace=False))
        unit_GD = vectors_GD[rows] * scales_G[rows, None]
        dimension = vectors_GD.shape[1]
        if num_lists:
            centres = faiss.IndexFlatIP(dimension)
            index = faiss.IndexIVFRaBitQ(centres, dimension, num_lists, faiss.METRIC_INNER_PRODUCT)
            index.cp.niter, index.cp.seed, index.cp.spherical = _CLUSTERING_ROUNDS, seed + 1, True
            index.cp.min_points_per_centroid = 1
        else:
            index = faiss.IndexRaBitQ(dimension, faiss.METRIC_INNER_PRODUCT)
        index.train(unit_GD)
        return cls(index, np.empty(0, dtype=np.int64))

    def add(
        self,
        keys_G: NDArray[np.int64],
        vectors_GD: NDArray[np.float32],
        scales_G: NDArray[np.float32],
        progress: Progress = ignore_progress,
    ) -> None:
        """Add vectors; their keys are ascending and larger than those before."""
        _load_faiss(count_cores())
        for start in range(0, len(keys_G), _ROWS_PER_BLOCK):
            block = slice(start, start + _ROWS_PER_BLOCK)
            self._index.add(vectors_GD[block] * scales_G[block, None])
            progress(min(block.stop, len(keys_G)), len(keys_G), "vectors encoded")
        self.keys_A = np.concatenate([self.keys_A, keys_G])

    def find_lists(self, unit_QD: NDArray[np.float32], num_probes: int) -> NDArray[np.int64]:
        """Return the numbers of the lists whose centres are nearest, nearest first: shape (Q, probes)."""
        return np.asarray(self._index.quantizer.search(np.ascontiguousarray(unit_QD), num_probes)[1])

    def search(
        self,
        unit_QD: NDArray[np.float32],
        num_candidates: int,
        num_probes: int,
        allowed_A: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Return numbers of codes that promise a large cosine, -1 where there are too few: shape (Q, R).

        Args:
            unit_QD: of length 1 each.
            num_candidates: R, codes per query.
            num_probes: lists to look at; of no meaning without lists.
            allowed_A: which codes may be found; None is all.
        """
        # One query is done sooner by one thread than by several that wait for each other.
        faiss = _load_faiss(1 if len(unit_QD) == 1 else count_cores())
        settings: dict[str, Any] = {"qb": _QUERY_BITS}
        if allowed_A is not None:
            bits = np.packbits(allowed_A, bitorder="little")
            settings["sel"] = faiss.IDSelectorBitmap(len(allowed_A), faiss.swig_ptr(bits))
        if self.num_lists:
            settings["nprobe"] = min(num_probes, self.num_lists)
            parameters = faiss.IVFRaBitQSearchParameters(**settings)
        else:
            parameters = faiss.RaBitQSearchParameters(**settings)
        count = min(num_candidates, len(self))
        return np.asarray(self._index.search(np.ascontiguousarray(unit_QD), count, params=parameters)[1])

    def count_bytes(self) -> int:
        """Return the size of the codes in memory and in the file, with their keys."""
        lists = self.num_lists * 4 * self._index.d + 8 * len(self) if self.num_lists else 0
        return int(len(self) * (self._index.code_size + self.keys_A.itemsize) + lists)

    def write(self, file: BinaryIO) -> None:
        """Write the codes without their keys, as faiss does."""
        faiss = _load_faiss()
        faiss.write_index(self._index, faiss.PyCallbackIOWriter(file.write))

    @classmethod
    def read(cls, file: BinaryIO, keys_A: NDArray[np.int64], dimension: int) -> "Codes | None":
        """Read what `write` wrote; None when it is something else. The bytes must come from `write`."""
        faiss = _load_faiss()
        try:
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
        except RuntimeError:
            return None
        is_known = isinstance(index, faiss.IndexRaBitQ | faiss.IndexIVFRaBitQ)
        return (
            cls(index, keys_A) if is_known and (index.ntotal, index.d) == (len(keys_A), dimension) else None
        )


def _load_faiss(num_threads: int = 1) -> Any:  # noqa: ANN401 (its types differ between versions)
    """Import faiss where it is used, for that takes a while, and set the threads of this thread's calls."""
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(num_threads)
    return faiss
