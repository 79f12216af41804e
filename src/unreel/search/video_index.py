"""Search an index of videos."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unreel.errors import SearchError
from unreel.search.engine import NO_KEY, Engine, merge_found
from unreel.search.exact import inverse_norms
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.hits import Hit
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_store import IndexStore
from unreel.search.layers import Layers, build_layers
from unreel.search.qdrant_engine import QdrantEngine, check_location
from unreel.search.vector_cache import VectorCache

# D features, G gallery

_KEPT_SELECTIONS = 16


@dataclass(frozen=True)
class _Mirror:
    """A mirror that shows a state of the index, or a later one, in the place of `Layers`."""

    token: str
    engines: tuple[Engine, ...]
    rows: int
    alive: None = None


class VideoIndex:
    """Finds the videos or clips of an index that are most like a vector; for any number of threads.

    What other processes add or remove is seen by the next search. Vectors are compared in the way that
    `unreel.search.tuning` has chosen, else exactly.

    Attributes:
        store: the file.

    Args:
        store: the file.
        qdrant: where a mirror of the index is searched instead: address of a server, a folder, or
            ``":memory:"``; it is brought in line before each search that needs it.

    Raises:
        ValueError: the mirror is neither at an address with its scheme nor in a folder.
    """

    def __init__(self, store: IndexStore, *, qdrant: str = "") -> None:
        check_location(qdrant)
        self.store = store
        self._qdrant = qdrant
        self._clients: dict[Unit, QdrantEngine] = {}
        self._mirrors: dict[Unit, _Mirror] = {}
        self._lock = threading.Lock()
        self._layers: dict[Unit, Layers] = {}
        self._selections: OrderedDict[tuple[str, Unit, Filter], NDArray[np.int64]] = OrderedDict()

    @classmethod
    def open(cls, path: Path, *, qdrant: str = "") -> Self:
        """Open the file that `unreel index` wrote.

        Args:
            path: the file.
            qdrant: where a mirror of it is searched instead; "" searches here.

        Raises:
            SearchError: the file is missing, damaged, no index, or of another version.
        """
        return cls(IndexStore.open(path), qdrant=qdrant)

    def close(self) -> None:
        """Let go of a mirror; without one there is nothing to let go of."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._mirrors.clear()

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
            SearchError: the index is gone or damaged, or its mirror cannot be searched.
            ValueError: ``top_k`` is not positive, the unit is unknown, or the vector has another length or is
                not finite.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        query_1D = self._check_query(query_D)
        with self._look(unit) as (reader, layers):
            excluded = reader.keys_of(unit, exclude) if exclude else np.empty(0, dtype=np.int64)
            allowed = self._select(layers, unit, wanted, reader)
            count = max(1, min(top_k + len(excluded), layers.rows))
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
            ValueError: the unit is unknown.
        """
        with self._look(unit) as (_, layers):
            return layers.engines[0].name

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
            keys = [
                clip.key
                for clip in clips
                # The stretch of a video's last frame may be empty: nothing says how long it is shown.
                if clip.start_sec < end_sec and (clip.end_sec > start_sec or clip.start_sec == start_sec)
            ]
            if not keys:
                raise SearchError(
                    f"video {video_id!r} has no vector between {start_sec:g} s and {end_sec:g} s; give "
                    "another stretch of time"
                )
            return np.asarray(reader.vectors("clip", keys).mean(axis=0))

    def _check_query(self, query_D: ArrayLike) -> NDArray[np.float32]:
        dimension = self.store.info.dimension
        query = np.asarray(query_D, dtype=np.float64)
        if query.shape != (dimension,):
            shape = f"has shape {query.shape}"
            raise ValueError(f"the query {shape}, the vectors of {self.store.path} have {dimension} numbers")
        # Beyond float32 there is nothing that a cosine could tell apart.
        if not (np.abs(query) <= np.finfo(np.float32).max).all():
            raise ValueError("the query holds NaN or infinity; embed it again with a sound encoder")
        return query.astype(np.float32).reshape(1, -1)

    @contextmanager
    def _look(self, unit: Unit) -> Iterator[tuple[IndexReader, Layers | _Mirror]]:
        """Look into the index as it is now, and at engines that show this very state."""
        if unit not in UNITS:
            raise ValueError(f"unit must be 'video' or 'clip', got {unit!r}")
        with ExitStack() as stack:
            with self._lock:
                reader, layers = self._look_up(unit, stack)
            yield reader, layers

    def _look_up(self, unit: Unit, stack: ExitStack) -> tuple[IndexReader, Layers | _Mirror]:
        if self._qdrant:
            reader = stack.enter_context(self.store.read())
            mirror = self._mirrors.get(unit)
            if mirror is None or mirror.token != reader.token:
                engine = self._bring_mirror_in_line(unit)
                mirror = _Mirror(reader.token, (engine,), reader.count_keys(unit))
                self._mirrors[unit] = mirror
            return reader, mirror
        known = self._layers.get(unit)
        cache = known.cache if known else VectorCache.load(self.store, unit)
        # Opened when the cache is in hand: no cache is newer than what this reader sees.
        reader = stack.enter_context(self.store.read())
        if known is None or not known.are_current(self.store, unit, reader):
            known = self._layers[unit] = build_layers(self.store, unit, reader, cache, known)
        return reader, known

    def _bring_mirror_in_line(self, unit: Unit) -> QdrantEngine:
        if unit not in self._clients:
            self._clients[unit] = QdrantEngine(self._qdrant, self.store, unit)
        self._clients[unit].sync()
        return self._clients[unit]

    def _select(
        self, layers: Layers | _Mirror, unit: Unit, wanted: Filter, reader: IndexReader
    ) -> NDArray[np.int64] | None:
        """Return the keys that may be found, the same array for the same question."""
        if wanted.is_empty:
            return layers.alive
        question = (layers.token, unit, wanted)
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


def _describe(
    found: list[tuple[int, float]], query_1D: NDArray[np.float32], unit: Unit, reader: IndexReader
) -> list[Hit]:
    places = reader.locate(unit, [key for key, _ in found])
    hits = []
    for key, score in found:
        if key not in places:  # a mirror may be ahead of what this reader sees
            continue
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
    vectors_ND = reader.vectors("clip", [clip.key for clip in clips])
    # A few rows: a loop in double precision is done before a matrix product has begun, and keeps ties.
    scores_N = np.einsum("nd,d->n", vectors_ND, query_1D[0], dtype=np.float64)
    clip = clips[int(np.argmax(scores_N * inverse_norms(vectors_ND, "index")))]
    return clip.start_sec, clip.end_sec
