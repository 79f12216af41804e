"""What visitors have searched with: vectors, for a while; never the files."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# D features


@dataclass(frozen=True)
class StoredQuery:
    """What is left of a file that was sent.

    Attributes:
        id: that nobody can guess.
        name: of the file.
        seconds: length of the video.
        start_sec: where the stretch starts that counts; None for all of it.
        end_sec: where it ends; None for the end of the video.
        encoder_hash: of the encoder that made the vector.
        vector_D: mean of the clips' vectors.
        expires: when it is forgotten, by the clock of its store.
    """

    id: str
    name: str
    seconds: float
    start_sec: float | None
    end_sec: float | None
    encoder_hash: str
    vector_D: NDArray[np.float32]
    expires: float


class QueryStore:
    """Keeps queries until they expire or newer ones need their place.

    Args:
        max_kept: queries at most.
        kept_sec: time for which each is kept.
        clock: seconds, ascending.
    """

    def __init__(
        self, max_kept: int, kept_sec: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.kept_sec = kept_sec
        self._max_kept = max_kept
        self._clock = clock
        self._queries: OrderedDict[str, StoredQuery] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._queries)

    def add(
        self,
        vector_D: NDArray[np.float32],
        *,
        name: str,
        seconds: float,
        start_sec: float | None,
        end_sec: float | None,
        encoder_hash: str,
    ) -> StoredQuery:
        """Keep a vector and return it with its new id."""
        query = StoredQuery(
            secrets.token_urlsafe(16),
            name,
            seconds,
            start_sec,
            end_sec,
            encoder_hash,
            vector_D,
            self._clock() + self.kept_sec,
        )
        with self._lock:
            self._forget_expired()
            self._queries[query.id] = query
            while len(self._queries) > self._max_kept:
                self._queries.popitem(last=False)
        return query

    def get(self, query_id: str) -> StoredQuery | None:
        """Return a query, None when there is none of this id, or it has expired."""
        with self._lock:
            self._forget_expired()
            return self._queries.get(query_id)

    def _forget_expired(self) -> None:
        """Drop the oldest; all are kept equally long, so these stand first."""
        now = self._clock()
        while self._queries and next(iter(self._queries.values())).expires <= now:
            self._queries.popitem(last=False)
