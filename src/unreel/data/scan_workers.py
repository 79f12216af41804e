"""Processes that can be killed: one hangs or dies, and only the job that it had is lost.

A decoder may loop for ever or crash inside C, where no Python code can stop it. So each worker is a program
of its own that reads a job (a line of JSON) and answers with a line of JSON. One thread per worker waits for
its answers; whoever consumes the answers also watches the clock and kills the worker whose job took too long.
The next job gets a new one. Unlike `multiprocessing`, nothing of the calling script is imported or run again.
"""

import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from unreel.errors import UnreelError

Job = Mapping[str, Any]
"""What a worker is told; plain JSON."""
Work = Callable[[Job], Mapping[str, Any]]
"""What a worker does, a module's function; the result is plain JSON."""

_SECONDS_BETWEEN_CHECKS = 0.1
_SECONDS_TO_START = 120.0
_SECONDS_AFTER_ORPHANED = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRAM = "from unreel.data.scan_workers import serve; serve()"


@dataclass(frozen=True)
class Reply:
    """What became of one job.

    Attributes:
        job: its number in the list of jobs.
        value: what the work returned; empty when it failed.
        failure: why there is no value, one line; empty when there is.
    """

    job: int
    value: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""


def run_jobs(work: str, jobs: Sequence[Job], *, num_workers: int, time_limit_sec: float) -> Iterator[Reply]:
    """Do jobs in worker processes and yield what became of each, in the order in which they end.

    Every job is answered exactly once. Closing the iterator, or an exception in its consumer, kills the
    workers.

    Args:
        work: ``"module:function"`` of a function that takes and returns plain JSON.
        jobs: what to do; one may set a lower limit for itself with ``kill_after_sec``.
        num_workers: processes; no more are started than there are jobs.
        time_limit_sec: a worker that takes longer over one job is killed and the job fails.

    Raises:
        UnreelError: a worker cannot be started.
    """
    answers: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()
    numbered = iter(enumerate(jobs))
    turn = threading.Lock()
    drivers = [
        _Driver(work, numbered, turn, answers, time_limit_sec) for _ in range(min(num_workers, len(jobs)))
    ]
    try:
        for driver in drivers:
            driver.start()
        for _ in range(len(jobs)):  # jobs may be made only when they are asked for
            yield _next_answer(answers, drivers)
    finally:
        for driver in drivers:
            driver.stop()
        for driver in drivers:
            driver.join()


def _next_answer(answers: "queue.SimpleQueue[Reply | BaseException]", drivers: "Sequence[_Driver]") -> Reply:
    while True:
        for driver in drivers:
            driver.kill_when_late()
        try:
            answer = answers.get(timeout=_SECONDS_BETWEEN_CHECKS)
        except queue.Empty:
            continue
        if isinstance(answer, BaseException):
            raise answer
        return answer


class _Driver(threading.Thread):
    """Hand jobs to one worker after the other and collect the answers."""

    def __init__(
        self,
        work: str,
        jobs: Iterator[tuple[int, Job]],
        turn: threading.Lock,
        answers: "queue.SimpleQueue[Reply | BaseException]",
        time_limit_sec: float,
    ) -> None:
        super().__init__(daemon=True)
        self._work, self._jobs, self._turn = work, jobs, turn
        self._answers = answers
        self._limit = time_limit_sec
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = float("inf")
        self._is_late = False
        self._is_stopped = False

    def run(self) -> None:
        """Do jobs until there are none left."""
        try:
            while (taken := self._take()) is not None:
                self._answers.put(self._do(*taken))
        except BaseException as error:  # handed to the consumer, which raises it
            self._answers.put(error)
        finally:
            self._discard()

    def stop(self) -> None:
        """Kill the worker, if any, and start no other."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def kill_when_late(self) -> None:
        """Kill the worker when its job has taken longer than allowed."""
        with self._lock:
            if self._process is not None and time.monotonic() > self._deadline:
                self._is_late = True
                self._process.kill()

    def _take(self) -> tuple[int, Job] | None:
        with self._turn:
            return None if self._is_stopped else next(self._jobs, None)

    def _do(self, number: int, job: Job) -> Reply:
        process = self._process or self._start()
        limit = min(self._limit, float(job.get("kill_after_sec", self._limit)))
        with self._lock:
            self._deadline = time.monotonic() + limit
        line = _ask(process, job)
        with self._lock:
            self._deadline = float("inf")
            is_late = self._is_late
        if line.endswith(b"\n") and not is_late:
            answer = json.loads(line)
            return Reply(number, answer.get("value", {}), answer.get("failure", ""))
        code = self._discard()
        if is_late:
            return Reply(number, failure=f"not read within {limit:g} s, even its reader hung")
        return Reply(number, failure=f"the process that read it died ({_describe_exit(code)})")

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is ready, so that the time limit is the job's alone."""
        with self._lock:
            if self._is_stopped:
                raise UnreelError("the scan was stopped")
            process = _open_worker(self._work, self._limit)
            self._process, self._is_late = process, False
            self._deadline = time.monotonic() + _SECONDS_TO_START
        assert process.stdout is not None
        if not process.stdout.readline().endswith(b"\n"):
            raise UnreelError(
                f"a worker process of {sys.executable} cannot start ({_describe_exit(self._discard())}); its "
                "own message stands above"
            )
        return process

    def _discard(self) -> int:
        """Kill and forget the worker; return how it ended."""
        with self._lock:
            process, self._process, self._deadline = self._process, None, float("inf")
        if process is None:
            return 0
        process.kill()  # has no effect on one that is dying already
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            _close_pipe(pipe)
        return code


def _ask(process: "subprocess.Popen[bytes]", job: Job) -> bytes:
    """Send a job and return the line that comes back, cut short when the worker dies."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return b""
    return process.stdout.readline()


def _open_worker(work: str, time_limit_sec: float) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        **dict.fromkeys(_THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, work, str(time_limit_sec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


def _close_pipe(pipe: IO[bytes] | None) -> None:
    assert pipe is not None
    with contextlib.suppress(OSError):  # what was not yet written to a dead worker is lost with it
        pipe.close()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, perhaps out of memory" if name == "SIGKILL" else name


def serve() -> None:
    """Be a worker: answer jobs from the standard input until it ends."""
    work, time_limit_sec = sys.argv[1], float(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    function = load_work(work)
    with os.fdopen(os.dup(0), "rb") as jobs, os.fdopen(os.dup(1), "wb") as answers:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # C libraries that print must not spoil the answers or the terminal
            os.dup2(nowhere, standard)
        answers.write(b"\n")
        answers.flush()
        answer_jobs(function, jobs, answers, time_limit_sec)


def load_work(work: str) -> Work:
    """Import ``"module:function"``."""
    module, _, name = work.partition(":")
    function: Work = getattr(importlib.import_module(module), name)
    return function


def answer_jobs(function: Work, jobs: IO[bytes], answers: IO[bytes], time_limit_sec: float) -> None:
    """Do the job of every line and write a line about it."""
    for line in jobs:
        _end_if_orphaned(time_limit_sec + _SECONDS_AFTER_ORPHANED)
        try:
            answer: Mapping[str, Any] = {"value": function(json.loads(line))}
        except Exception as error:
            answer = {"failure": f"unexpected {type(error).__name__}: {error}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
        _end_if_orphaned(0.0)


def _end_if_orphaned(seconds: float) -> None:
    """Have the kernel end this process later (0: never); nobody kills a worker whose parent was killed."""
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, seconds)
