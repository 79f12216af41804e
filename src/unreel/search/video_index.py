"""Search an index of videos."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unreel.errors import SearchError
from unreel.search.engine import NO_KEY, Engine, ExactEngine, merge_found
from unreel.search.exact import ExactIndex
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.hits import Hit
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import Unit
from unreel.search.index_store import IndexStore
from unreel.search.vector_cache import VectorCache

# D features, G gallery

_KEPT_SELECTIONS = 16
_MAX_STALE_SHARE = 0.1
_MAX_STALE_ROWS = 1000
"""So many vectors may be new or gone since the cache was made before it is made anew."""


@dataclass(frozen=True)
class _Layers:
    """What is searched while the index stays as it is.

    Attributes:
        generation: of the index.
        cache: most of its vectors.
        engines: the one over the cache, and one over what is new since.
        alive: ascending keys of all vectors; None when none was removed since the cache was made.
    """

    generation: int
    cache: VectorCache
    engines: tuple[Engine, ...]
    alive: NDArray[np.int64] | None


class VideoIndex:
    """Finds the videos or clips of an index that are most like a vector; for any number of threads.

    What other processes add or remove is seen by the next search.

    Attributes:
        store: the file.
    """

    def __init__(self, store: IndexStore) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._identity = ""
        self._layers: dict[Unit, _Layers] = {}
        self._selections: OrderedDict[tuple[int, Unit, Filter], NDArray[np.int64]] = OrderedDict()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file that `unreel index` wrote.

        Raises:
            SearchError: the file is missing, damaged, no index, or of another version.
        """
        return cls(IndexStore.open(path))

    def search(
        self,
        query_D: ArrayLike,
        *,
        top_k: int = 10,
        unit: Unit = "video",
        wanted: Filter = NO_FILTER,
        exclude: str = "",
    ) -> list[Hit]:
        """Return what is most like a vector, best first; equal scores in the order of their arrival.

        Args:
            query_D: of the index's encoder; need not be normalised.
            top_k: number of hits; fewer when fewer videos or clips may be found.
            unit: ``"video"`` compares with the mean vector of each video and names its best clip; ``"clip"``
                compares with every clip, so that a video may be found several times.
            wanted: which videos may be found.
            exclude: id of a video that is not to be found, such as the one that the query is from.

        Raises:
            SearchError: the index is gone or damaged.
            ValueError: ``top_k`` is not positive, or the vector has another length or is not finite.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        query_1D = np.asarray(query_D, dtype=np.float32).reshape(1, -1)
        if query_1D.shape[1] != self.store.info.dimension or not np.isfinite(query_1D).all():
            raise ValueError(
                f"the query must be {self.store.info.dimension} finite numbers, as the vectors of "
                f"{self.store.path} are, got {query_1D.shape[1]}"
            )
        with self.store.read() as reader:
            excluded = reader.keys_of(unit, exclude) if exclude else np.empty(0, dtype=np.int64)
            layers = self._refresh(unit, reader)
            allowed = self._select(layers, unit, wanted, reader)
            count = top_k + len(excluded)
            parts = [engine.search(query_1D, count, allowed) for engine in layers.engines]
            scores_1K, keys_1K = merge_found(parts, count)
            found = [
                (int(key), float(score))
                for key, score in zip(keys_1K[0], scores_1K[0], strict=True)
                if key != NO_KEY and key not in excluded
            ]
            return _describe(found[:top_k], query_1D, unit, reader)

    def describe_engine(self, unit: Unit = "video") -> str:
        """Say how vectors are compared.

        Raises:
            SearchError: the index is gone or damaged.
        """
        with self.store.read() as reader:
            return self._refresh(unit, reader).engines[0].name

    def embed_stored(
        self, video_id: str, start_sec: float = 0.0, end_sec: float = np.inf
    ) -> NDArray[np.float32]:
        """Return the mean of the vectors that stand for a stretch of a video: its length is D.

        Vectors count whose own stretch shares some time with the one that is asked for.

        Raises:
            SearchError: there is no such video, or none of its vectors lies there.
        """
        with self.store.read() as reader:
            clips = reader.clips(video_id)
            if not clips:
                raise SearchError(
                    f"{self.store.path} has no video {video_id!r}; `unreel index --status` counts them"
                )
            if start_sec <= 0 and end_sec == np.inf:
                return np.asarray(reader.vectors("video", reader.keys_of("video", video_id))[0])
            keys = [clip.key for clip in clips if clip.start_sec < end_sec and clip.end_sec > start_sec]
            if not keys:
                raise SearchError(
                    f"video {video_id!r} has no vector between {start_sec:g} s and {end_sec:g} s; give "
                    "another stretch of time"
                )
            return np.asarray(reader.vectors("clip", keys).mean(axis=0))

    def _refresh(self, unit: Unit, reader: IndexReader) -> _Layers:
        generation = reader.generation
        with self._lock:
            self._identity = self._identity or reader.identity
            if reader.identity != self._identity:
                raise SearchError(f"{self.store.path} has been replaced by another index; open it again")
            layers = self._layers.get(unit)
            if layers is None or layers.generation != generation:
                cache = layers.cache if layers else VectorCache.load(self.store, unit, reader.identity)
                layers = self._layers[unit] = self._build_layers(unit, reader, cache)
            return layers

    def _build_layers(self, unit: Unit, reader: IndexReader, cache: VectorCache | None) -> _Layers:
        if cache is None or _is_stale(cache, unit, reader):
            cache = VectorCache.build(self.store, unit, reader)
        engines: list[Engine] = [ExactEngine(cache.keys, cache.vectors, cache.scales)]
        recent = list(reader.iterate_vectors(unit, cache.stamp.last_key))
        alive = None
        if recent:
            keys_G = np.concatenate([keys for keys, _ in recent])
            engines.append(ExactEngine(keys_G, np.concatenate([vectors for _, vectors in recent])))
        removed = reader.removed_since(unit, cache.stamp.last_removal)
        if np.isin(removed, cache.keys).any():
            alive = reader.select_keys(unit, NO_FILTER)
        return _Layers(reader.generation, cache, tuple(engines), alive)

    def _select(
        self, layers: _Layers, unit: Unit, wanted: Filter, reader: IndexReader
    ) -> NDArray[np.int64] | None:
        """Return the keys that may be found, the same array for the same question."""
        if wanted.is_empty:
            return layers.alive
        question = (layers.generation, unit, wanted)
        with self._lock:
            if question in self._selections:
                self._selections.move_to_end(question)
                return self._selections[question]
        keys = reader.select_keys(unit, wanted)
        with self._lock:
            self._selections[question] = keys
            while len(self._selections) > _KEPT_SELECTIONS:
                self._selections.popitem(last=False)
        return keys


def _is_stale(cache: VectorCache, unit: Unit, reader: IndexReader) -> bool:
    """Say whether so much has changed since a cache was made that another is due."""
    removed = np.isin(reader.removed_since(unit, cache.stamp.last_removal), cache.keys).sum()
    added = reader.count_keys(unit) - (len(cache.keys) - removed)
    return bool(added + removed > max(_MAX_STALE_ROWS, _MAX_STALE_SHARE * len(cache.keys)))


def _describe(
    found: list[tuple[int, float]], query_1D: NDArray[np.float32], unit: Unit, reader: IndexReader
) -> list[Hit]:
    places = reader.locate(unit, [key for key, _ in found])
    hits = []
    for key, score in found:
        video, start_sec, end_sec = places[key]
        if unit == "video":
            start_sec, end_sec = _find_best_clip(video.id, query_1D, reader)
        hits.append(
            Hit(
                video_id=video.id,
                path=video.path,
                score=score,
                start_sec=start_sec,
                end_sec=end_sec,
                label=video.label,
                split=video.split,
                group=video.group,
                seconds=video.seconds,
            )
        )
    return hits


def _find_best_clip(video_id: str, query_1D: NDArray[np.float32], reader: IndexReader) -> tuple[float, float]:
    """Return where the clip of a video lies that is most like the query."""
    clips = reader.clips(video_id)
    vectors = reader.vectors("clip", [clip.key for clip in clips])
    _, best = ExactIndex(vectors).search(query_1D, 1)
    clip = clips[int(best[0, 0])]
    return clip.start_sec, clip.end_sec
