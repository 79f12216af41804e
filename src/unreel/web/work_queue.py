"""Jobs that wait their turn: so many and no more."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from unreel.data.scan_workers import Job
from unreel.web.killable import KillableWorker
from unreel.web.problems import Problem

ResultT = TypeVar("ResultT")


class WorkQueue:
    """Jobs that wait for one of a few processes; when too many wait, the next is refused.

    Args:
        name: what waits, for the message, such as ``"conversions"``.
        work: ``"module:function"`` of a function that takes and returns plain JSON.
        num_workers: processes, started when they are first needed.
        max_waiting: jobs that may wait besides those being done.
        memory_mb: address space of a process in MiB; 0 sets no limit.
        file_mb: largest file that one may write, in MiB; 0 sets no limit.
        retry_after_sec: when a refused visitor may come again.
    """

    def __init__(
        self,
        name: str,
        work: str,
        *,
        num_workers: int = 1,
        max_waiting: int,
        memory_mb: int = 0,
        file_mb: int = 0,
        retry_after_sec: int = 5,
    ) -> None:
        self._name = name
        self._retry_after_sec = retry_after_sec
        self._workers = [
            KillableWorker(work, memory_mb=memory_mb, file_mb=file_mb) for _ in range(num_workers)
        ]
        self._idle = list(self._workers)
        self._lock = threading.Lock()
        self._num_open, self._max_open = 0, num_workers + max_waiting
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix=f"unreel-{name}")

    def submit(self, job: Job, *, time_limit_sec: float) -> "Future[Mapping[str, Any]]":
        """Put a job into the queue and return its promise, which may hold a `WorkFailure`.

        Raises:
            Problem: too many wait (429), or the server is shutting down (503).
        """
        return self.call(lambda worker: worker.ask(job, time_limit_sec))

    def call(self, function: Callable[[KillableWorker], ResultT]) -> "Future[ResultT]":
        """Have a function called with a worker, in another thread, when one is free; return its promise.

        Raises:
            Problem: too many wait (429), or the server is shutting down (503).
        """
        with self._lock:
            if self._num_open >= self._max_open:
                raise Problem(
                    429,
                    "busy",
                    f"too many {self._name} are waiting",
                    "try again in a few seconds",
                    retry_after_sec=self._retry_after_sec,
                )
            self._num_open += 1
        try:
            promise = self._threads.submit(self._do, function)
        except RuntimeError as error:
            self._leave()
            raise Problem(503, "shutting_down", "the server is shutting down") from error
        promise.add_done_callback(lambda _: self._leave())
        return promise

    def close(self) -> None:
        """Kill the processes and forget what waits."""
        for worker in self._workers:
            threading.Thread(target=worker.close, daemon=True).start()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _leave(self) -> None:
        with self._lock:
            self._num_open -= 1

    def _do(self, function: Callable[[KillableWorker], ResultT]) -> ResultT:
        with self._lock:
            worker = self._idle.pop()
        try:
            return function(worker)
        finally:
            with self._lock:
                self._idle.append(worker)
