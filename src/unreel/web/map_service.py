"""Maps of the collection, computed in the background once for every state of the index."""

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from unreel.runs import read_json
from unreel.search.index_store import IndexStore
from unreel.search.projection import WORK, Projection
from unreel.web.answers import MapAnswer
from unreel.web.killable import KillableWorker
from unreel.web.work_queue import WorkQueue

_TIME_LIMIT_SEC = 900.0


class MapService:
    """Computes maps in a process of its own, one after the other, and remembers the last of each kind.

    Args:
        folder: for maps.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._queue = WorkQueue("maps", WORK, max_waiting=4, retry_after_sec=30)
        self._lock = threading.Lock()
        self._maps: dict[str, dict[str, Any]] = {}
        self._jobs: dict[str, Future[None]] = {}
        self._failures: dict[tuple[str, int], str] = {}

    def close(self) -> None:
        """Kill the process."""
        self._queue.close()

    def get(self, store: IndexStore, method: Projection) -> MapAnswer:
        """Return the map of an index as it is now; while that is computed, the one before it.

        Raises:
            Problem: too many maps are waiting (429).
            SearchError: the index cannot be read.
        """
        with store.read() as reader:
            generation, identity = reader.generation, reader.identity
            total = reader.count_keys("video")
        name = f"map-{method}-{identity[:16]}.json"
        with self._lock:
            values = self._maps.get(name) or self._read(name)
            reason = self._failures.get((name, generation), "")
            is_current = values.get("generation") == generation
            if not is_current and not reason and name not in self._jobs:
                self._start(store, method, name, generation)
        return MapAnswer(
            state="ready" if is_current else "failed" if reason else "computing",
            method=method,
            shown=len(values.get("points", [])),
            total=total,
            points=values.get("points", []),
            reason=reason,
        )

    def _read(self, name: str) -> dict[str, Any]:
        try:
            values = read_json(self._folder / name)
        except (OSError, ValueError):
            return {}
        if isinstance(values, dict):
            self._maps[name] = values
            return values
        return {}

    def _start(self, store: IndexStore, method: Projection, name: str, generation: int) -> None:
        job = {"index": str(store.path), "method": method, "out": str(self._folder / name)}

        def compute(worker: KillableWorker) -> None:
            worker.ask(job, _TIME_LIMIT_SEC)

        def finish(promise: "Future[None]") -> None:
            with self._lock:
                del self._jobs[name]
                self._maps.pop(name, None)
                error = None if promise.cancelled() else promise.exception()
                if error is not None:
                    self._failures = {(name, generation): str(error)}

        promise = self._jobs[name] = self._queue.call(compute)
        # Behind the lock that is held here, for the job may be done already.
        threading.Thread(target=lambda: promise.add_done_callback(finish), daemon=True).start()
