"""Vectors of an index mirrored into Qdrant, and searched there.

For a Qdrant server that is there already, shared by several services. Qdrant's local mode (a folder, or
memory) needs no server but compares every vector in Python: it is slower than `ExactEngine`, and meant for
trials.
"""

import importlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.errors import SearchError
from unreel.progress import Progress, ignore_progress
from unreel.search.engine import NO_KEY, Found
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import Unit
from unreel.search.index_store import IndexStore

# Q queries, D features, K neighbours

API_KEY_VARIABLE = "UNREEL_QDRANT_API_KEY"
MEMORY = ":memory:"
"""Stands for a mirror that is gone when the process ends."""
_STATE_ID = 0
"""Keys start at 1; this point holds what the collection shows."""
_SCHEMES = ("http://", "https://")
_NO_SCHEME = re.compile(r"[\w.-]+:\d+/?")
_BATCH = 1000
_TIMEOUT_SEC = 30


@dataclass(frozen=True)
class Mirrored:
    """Which state of which index a collection shows.

    Attributes:
        identity: of the index.
        encoder: name of the encoder, for messages.
        encoder_hash: of the encoder.
        unit: whether the vectors are of whole videos or of clips.
        generation: of the index.
        token: that was made with the generation.
        last_key: largest key that is there.
        last_removal: number of the latest removal that was followed.
    """

    identity: str
    encoder: str
    encoder_hash: str
    unit: str
    generation: int = 0
    token: str = ""
    last_key: int = 0
    last_removal: int = 0


class QdrantEngine:
    """Searches a collection of Qdrant that mirrors one unit of an index, by key.

    The key to a server is taken from the environment variable ``UNREEL_QDRANT_API_KEY`` and kept nowhere.

    Args:
        location: address of a server, a folder, or ``":memory:"``.
        store: the index.
        unit: whether whole videos or clips are compared.
        collection: its name; by default one of this index and unit alone.

    Raises:
        SearchError: qdrant-client is not installed, or the folder is used by another process.
        ValueError: the location is neither an address with its scheme nor a folder.
    """

    def __init__(self, location: str, store: IndexStore, unit: Unit, collection: str = "") -> None:
        check_location(location)
        self.collection = collection or f"unreel_{store.identity[:12]}_{unit}"
        self._location = location
        self._store = store
        self._unit: Unit = unit
        try:
            self._models: Any = importlib.import_module("qdrant_client.models")
            client: Any = importlib.import_module("qdrant_client").QdrantClient
        except ImportError as error:
            raise SearchError(
                f"Qdrant needs the package qdrant-client ({error}); install it with "
                "`pip install 'unreel[qdrant]'`"
            ) from error
        place = _choose_location(location, self.collection)
        # A server answers many at once; local mode changes its arrays while others look at them.
        self._turn: AbstractContextManager[object] = nullcontext() if "url" in place else threading.RLock()
        with self._explain():
            self._client = client(**place)

    @property
    def name(self) -> str:
        """How it searches, for a person."""
        return f"Qdrant ({self._location}, collection {self.collection})"

    def close(self) -> None:
        """Let go of the server or folder."""
        self._client.close()

    def sync(self, progress: Progress = ignore_progress) -> tuple[int, int]:
        """Bring the collection in line with the index; given again after a break, go on where it was.

        Returns:
            How many vectors were added, and how many were taken out.

        Raises:
            SearchError: the collection is of another index or encoder, or the server cannot be reached or
                refuses.
        """
        with self._explain(), self._store.read() as reader:
            mirrored = self._prepare(reader)
            removed = reader.removed_since(self._unit, mirrored.last_removal)
            gone = [] if removed is None else [int(key) for key in removed if key <= mirrored.last_key]
            for part in _split(gone):
                self._client.delete(self.collection, self._models.PointIdsList(points=part), wait=True)
            mirrored = replace(
                mirrored,
                generation=reader.generation,
                token=reader.token,
                last_removal=reader.last_removal(),
            )
            self._note(mirrored)
            added, total = 0, reader.count_keys(self._unit, mirrored.last_key)
            for keys, vectors in reader.iterate_vectors(self._unit, mirrored.last_key):
                for rows in _split(range(len(keys))):
                    self._upsert(keys[rows], vectors[rows])
                    mirrored = replace(mirrored, last_key=int(keys[rows[-1]]))
                    self._note(mirrored)
                    added += len(rows)
                    progress(added, total, "vectors sent to Qdrant")
        return added, len(gone)

    def search(
        self, queries_QD: NDArray[np.float32], top_k: int, allowed: NDArray[np.int64] | None = None
    ) -> Found:
        """Return scores and keys of the nearest vectors that the server finds, best first.

        Raises:
            SearchError: the server cannot be reached or refuses.
        """
        scores_QK = np.full((len(queries_QD), top_k), -np.inf, dtype=np.float32)
        keys_QK = np.full((len(queries_QD), top_k), NO_KEY, dtype=np.int64)
        if allowed is not None and not len(allowed):
            return scores_QK, keys_QK
        models = self._models
        chosen = models.Filter(
            must_not=[models.HasIdCondition(has_id=[_STATE_ID])],
            must=None if allowed is None else [models.HasIdCondition(has_id=allowed.tolist())],
        )
        requests = [
            models.QueryRequest(query=query_D.tolist(), filter=chosen, limit=top_k) for query_D in queries_QD
        ]
        with self._explain():
            answers = self._client.query_batch_points(self.collection, requests)
        for query, answer in enumerate(answers):
            found = sorted((-point.score, point.id) for point in answer.points)
            scores_QK[query, : len(found)] = [-score for score, _ in found]
            keys_QK[query, : len(found)] = [key for _, key in found]
        return scores_QK, keys_QK

    def _prepare(self, reader: IndexReader) -> Mirrored:
        """Make the collection when there is none; refuse one of something else."""
        info = self._store.info
        ours = Mirrored(self._store.identity, info.encoder, info.encoder_hash, self._unit)
        if self._client.collection_exists(self.collection):
            theirs = self._read_state()
            if theirs is not None:
                self._check(ours, theirs)
                if not theirs.token or self._can_follow(reader, theirs):
                    return theirs
            elif self._client.count(self.collection).count:
                raise SearchError(
                    f"collection {self.collection!r} in {self._location} was not made by unreel; give the "
                    "name of another collection"
                )
            self._client.delete_collection(self.collection)
        models = self._models
        shape = models.VectorParams(size=info.dimension, distance=models.Distance.COSINE)
        self._client.create_collection(self.collection, vectors_config=shape)
        self._note(ours)
        return ours

    def _can_follow(self, reader: IndexReader, theirs: Mirrored) -> bool:
        is_past = reader.has_been(theirs.generation, theirs.token)
        return is_past and reader.removed_since(self._unit, theirs.last_removal) is not None

    def _check(self, ours: Mirrored, theirs: Mirrored) -> None:
        where = f"collection {self.collection!r} in {self._location}"
        if theirs.encoder_hash != ours.encoder_hash:
            raise SearchError(
                f"{where} holds vectors of encoder {theirs.encoder!r} (hash {theirs.encoder_hash}), the "
                f"index those of {ours.encoder!r} (hash {ours.encoder_hash}); give the name of another "
                "collection"
            )
        if (theirs.identity, theirs.unit) != (ours.identity, ours.unit):
            raise SearchError(
                f"{where} mirrors the {theirs.unit}s of another index, not the {ours.unit}s of "
                f"{self._store.path}; give the name of another collection"
            )

    def _read_state(self) -> Mirrored | None:
        points = self._client.retrieve(self.collection, [_STATE_ID], with_payload=True)
        try:
            return Mirrored(**points[0].payload) if points else None
        except TypeError:
            return None

    def _note(self, mirrored: Mirrored) -> None:
        # A vector is asked for; this one resembles nothing in particular and is never found.
        vector = [1.0] * self._store.info.dimension
        point = self._models.PointStruct(id=_STATE_ID, vector=vector, payload=asdict(mirrored))
        self._client.upsert(self.collection, [point], wait=True)

    def _upsert(self, keys: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        batch = self._models.Batch(ids=keys.tolist(), vectors=vectors.tolist())
        self._client.upsert(self.collection, batch, wait=True)

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Turn what the client raises into one error with a remedy; where one is served at a time, wait."""
        exceptions: Any = importlib.import_module("qdrant_client.http.exceptions")
        try:
            with self._turn:
                yield
        except (exceptions.ApiException, OSError) as error:
            raise SearchError(
                f"Qdrant at {self._location} cannot be reached or refuses ({_shorten(error)}); check that it "
                f"runs, its address, and the environment variable {API_KEY_VARIABLE} if it wants a key"
            ) from error
        except RuntimeError as error:
            raise SearchError(
                f"Qdrant cannot use {self._location} ({_shorten(error)}); end the process that uses it, or "
                "run a Qdrant server"
            ) from error


def check_location(location: str) -> None:
    """Refuse an address that lacks its scheme: it would be taken for a folder.

    Raises:
        ValueError: it is neither the address of a server nor a folder.
    """
    is_address = location.startswith(_SCHEMES)
    if not is_address and ("://" in location or _NO_SCHEME.fullmatch(location)):
        raise ValueError(
            f"qdrant must be an address that begins with http:// or https://, a folder, or {MEMORY}, got "
            f"{location!r}"
        )


def _choose_location(location: str, collection: str) -> dict[str, Any]:
    if location.startswith(_SCHEMES):
        api_key = os.environ.get(API_KEY_VARIABLE) or None
        # Asking for the version would only warn when there is no answer; the first request says so better.
        return {"url": location, "api_key": api_key, "timeout": _TIMEOUT_SEC, "check_compatibility": False}
    if location == MEMORY:
        return {"location": location}
    # One process may open a folder once only, and searches both units.
    folder = str(Path(location, collection))
    return {"path": folder, "force_disable_check_same_thread": True}


def _split(items: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(items), _BATCH):
        yield list(items[start : start + _BATCH])


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
