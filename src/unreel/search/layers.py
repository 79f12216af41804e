"""What a search looks through while an index stays as it is, made from what it was before the last change.

Most vectors lie in the cache; what is new since is compared beside it, and what is gone since is masked. So a
change of a large index costs the next search little more than what has changed.
"""

from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unreel.search.approximate import find_rows
from unreel.search.engine import Engine, ExactEngine
from unreel.search.exact import inverse_norms
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import Unit
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import identify_tuned, open_approximate
from unreel.search.vector_cache import VectorCache

# G vectors, D features

_Number = TypeVar("_Number", np.int64, np.float32)

_MAX_STALE_SHARE = 0.1
_MAX_STALE_ROWS = 1000
"""So many vectors may be new or gone since the cache was made before it is made anew."""


@dataclass(frozen=True)
class Layers:
    """What is searched in one state of an index.

    Attributes:
        generation: of the index.
        token: that was made with the generation.
        cache: most of the vectors.
        main: searches them.
        tuned: which file of codes it knows.
        recent: the vectors that came since; some may be gone again.
        removed: ascending keys of vectors in the cache or among the recent ones that are gone.
        last_removal: number of the latest removal.
        engines: the main one, and one over the recent vectors.
        alive: ascending keys of all vectors; None when none is gone.
    """

    generation: int
    token: str
    cache: VectorCache
    main: Engine
    tuned: tuple[int, ...]
    recent: "RecentVectors"
    removed: NDArray[np.int64]
    last_removal: int
    engines: tuple[Engine, ...]
    alive: NDArray[np.int64] | None

    @property
    def rows(self) -> int:
        """Vectors that the engines hold together, with those that are gone."""
        return len(self.cache.keys) + len(self.recent.keys)

    def are_current(self, store: IndexStore, unit: Unit, reader: IndexReader) -> bool:
        """Say whether neither the index nor the way in which it is tuned has changed."""
        return self.token == reader.token and self.tuned == identify_tuned(store, unit)


class RecentVectors:
    """Vectors by ascending key; growing leaves what was there before where it is.

    Args:
        keys: of the vectors, perhaps with room behind them.
        vectors: the vectors, with the same room.
        scales: 1 / length of each, with the same room.
        rows: G, number of vectors.
    """

    def __init__(
        self, keys: NDArray[np.int64], vectors: NDArray[np.float32], scales: NDArray[np.float32], rows: int
    ) -> None:
        self._room = keys, vectors, scales
        self.keys, self.vectors, self.scales = keys[:rows], vectors[:rows], scales[:rows]

    @classmethod
    def start(cls, dimension: int) -> Self:
        """Return none, of some length."""
        vectors = np.empty((0, dimension), dtype=np.float32)
        return cls(np.empty(0, dtype=np.int64), vectors, np.empty(0, dtype=np.float32), 0)

    def extend(self, keys_G: NDArray[np.int64], vectors_GD: NDArray[np.float32]) -> "RecentVectors":
        """Return these and further ones, whose keys are larger; only the latest of these may be extended."""
        first, rows = len(self.keys), len(self.keys) + len(keys_G)
        keys, vectors, scales = self._room
        if rows > len(keys):
            room = max(rows, 2 * len(keys))
            keys, vectors, scales = (
                _enlarge(keys, first, room),
                _enlarge(vectors, first, room),
                _enlarge(scales, first, room),
            )
        keys[first:rows] = keys_G
        vectors[first:rows] = vectors_GD
        scales[first:rows] = inverse_norms(vectors_GD, "index")
        return RecentVectors(keys, vectors, scales, rows)


def _enlarge(part: NDArray[_Number], rows: int, room: int) -> NDArray[_Number]:
    larger = np.empty((room, *part.shape[1:]), dtype=part.dtype)
    larger[:rows] = part[:rows]
    return larger


def build_layers(
    store: IndexStore, unit: Unit, reader: IndexReader, cache: VectorCache | None, before: Layers | None
) -> Layers:
    """Return what is to be searched as a reader sees an index.

    Args:
        store: the index.
        unit: whether whole videos or clips are compared.
        reader: of its present state.
        cache: made of a former state; None, or one that shows another past, or too little, is replaced.
        before: what was searched in a former state; None, or that of another past, is passed over.
    """
    if before is not None and not reader.has_been(before.generation, before.token):
        before = None
    if before is None or cache is not before.cache or before.tuned != identify_tuned(store, unit):
        if cache is None or not reader.has_been(cache.stamp.generation, cache.stamp.token):
            cache = VectorCache.build(store, unit, reader)
        before = _start(store, unit, reader, cache)
    removed = reader.removed_since(unit, before.last_removal)
    newest = int(max([before.cache.stamp.last_key, *before.recent.keys[-1:]]))
    num_new = len(before.recent.keys) + reader.count_keys(unit, newest)
    num_old = len(before.removed) + (0 if removed is None else len(removed))
    is_stale = num_new + num_old > max(_MAX_STALE_ROWS, _MAX_STALE_SHARE * len(before.cache.keys))
    if removed is None or is_stale:
        return _start(store, unit, reader, VectorCache.build(store, unit, reader))
    recent = before.recent
    for keys_G, vectors_GD in reader.iterate_vectors(unit, newest):
        recent = recent.extend(keys_G, vectors_GD)
    return _stack(reader, before, recent, np.union1d(before.removed, removed))


def _start(store: IndexStore, unit: Unit, reader: IndexReader, cache: VectorCache) -> Layers:
    """Return the layers of the state that a cache shows."""
    main: Engine | None = open_approximate(store, unit, cache, reader)
    if main is None:
        main = ExactEngine(cache.keys, cache.vectors, cache.scales)
    return Layers(
        generation=cache.stamp.generation,
        token=cache.stamp.token,
        cache=cache,
        main=main,
        tuned=identify_tuned(store, unit),
        recent=RecentVectors.start(store.info.dimension),
        removed=np.empty(0, dtype=np.int64),
        last_removal=cache.stamp.last_removal,
        engines=(main,),
        alive=None,
    )


def _stack(reader: IndexReader, before: Layers, recent: RecentVectors, removed: NDArray[np.int64]) -> Layers:
    engines: tuple[Engine, ...] = (before.main,)
    if len(recent.keys):
        engines += (ExactEngine(recent.keys, recent.vectors, recent.scales),)
    parts = [before.cache.keys, recent.keys]
    rows = [find_rows(removed, keys) for keys in parts]
    is_known = np.logical_or(*(part >= 0 for part in rows))
    alive = None
    if is_known.any():
        left = [np.delete(keys, part[part >= 0]) for keys, part in zip(parts, rows, strict=True)]
        alive = np.concatenate(left)
    return replace(
        before,
        generation=reader.generation,
        token=reader.token,
        recent=recent,
        removed=removed,
        last_removal=reader.last_removal(),
        engines=engines,
        alive=alive,
    )
