"""Work in processes that can be killed, on files that a stranger may have made; bounded in every way.

A decoder may loop for ever, crash inside C or ask for all memory. So what opens a video runs in a process of
its own, with limits on memory, time and the size of what it writes, and a server outlives it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from unreel.data.scan_workers import Job, load_work

_PROGRAM = "from unreel.data.scan_workers import serve; serve()"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_JOBS_PER_PROCESS = 500
"""After so many a new process takes over, for libraries may leak."""
_LONGEST_JOB_SEC = 3600.0
_CPU_ALLOWANCE_SEC = 10.0
_ORPHAN_ALLOWANCE_SEC = 2.0
_SECONDS_TO_START = 120.0


class WorkFailure(Exception):  # noqa: N818 (it is no error of the program)
    """A job that came to nothing.

    Attributes:
        is_late: whether it was killed for taking too long.
    """

    def __init__(self, reason: str, *, is_late: bool = False) -> None:
        super().__init__(reason)
        self.is_late = is_late


def do_limited(job: Job) -> Mapping[str, Any]:
    """Do the work that a job names, within the limits that it names; runs in a process of its own.

    Args:
        job: ``work``, as ``"module:function"``, with ``memory_mb``, ``file_mb`` and ``cpu_sec``, each 0
            where there is no limit; the work gets all of it.
    """
    try:
        import resource
    except ImportError:  # where there are no such limits, the clock alone ends a job
        return load_work(job["work"])(job)
    _limit(resource.RLIMIT_CORE, 0)
    for kind, size_mb in ((resource.RLIMIT_AS, job["memory_mb"]), (resource.RLIMIT_FSIZE, job["file_mb"])):
        if size_mb:
            _limit(kind, int(size_mb) << 20)
    if job["cpu_sec"]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = used.ru_utime + used.ru_stime + float(job["cpu_sec"]) + _CPU_ALLOWANCE_SEC
        _limit(resource.RLIMIT_CPU, int(seconds))
        # For the worker of a server that was killed: nobody else watches the clock any more.
        signal.setitimer(signal.ITIMER_REAL, float(job["cpu_sec"]) + _ORPHAN_ALLOWANCE_SEC)
    return load_work(job["work"])(job)


def _limit(kind: int, value: int) -> None:
    """Lower the soft limit, never above the hard one, which stays: the next job may have another."""
    import resource

    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


class KillableWorker:
    """A process that does one job at a time; the next job after a crash gets a new one.

    Args:
        work: ``"module:function"`` of a function that takes and returns plain JSON.
        memory_mb: address space of the process in MiB; 0 sets no limit.
        file_mb: largest file that it may write, in MiB; 0 sets no limit.
    """

    def __init__(self, work: str, *, memory_mb: int = 0, file_mb: int = 0) -> None:
        self._limits = {"work": work, "memory_mb": memory_mb, "file_mb": file_mb}
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._num_jobs = 0
        self._is_closed = False

    def ask(self, job: Job, time_limit_sec: float) -> Mapping[str, Any]:
        """Have a job done and return its result; waits its turn.

        Raises:
            WorkFailure: the job raised, died, took too long, or the worker was closed.
        """
        with self._turn:
            process = self._get_process()
            started = time.monotonic()
            timer = threading.Timer(time_limit_sec, process.kill)
            timer.daemon = True
            timer.start()
            try:
                line = _exchange(process, {**job, **self._limits, "cpu_sec": time_limit_sec})
            finally:
                timer.cancel()
            if not line.endswith(b"\n"):
                self._discard()
                if time.monotonic() - started >= time_limit_sec:
                    raise WorkFailure(f"not done within {time_limit_sec:g} s", is_late=True)
                raise WorkFailure("the process that did it died, perhaps for want of memory or time")
            self._num_jobs += 1
            if self._num_jobs % _JOBS_PER_PROCESS == 0:
                self._discard()
        answer = json.loads(line)
        if "value" not in answer:
            raise WorkFailure(str(answer.get("failure", "it gave no answer")))
        value: Mapping[str, Any] = answer["value"]
        return value

    def close(self) -> None:
        """Kill the process; jobs fail from now on."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
        with self._turn:
            self._discard()

    def _get_process(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is not None:
            self._discard()  # it died while it had nothing to do, of which the next job is not guilty
        with self._lock:
            if self._is_closed:
                raise WorkFailure("the server is shutting down")
            is_new = self._process is None
            process = self._process = self._process or _start()
        if is_new:  # without the lock, so that closing can end the wait
            _wait_until_ready(process)
        if process.poll() is not None:
            self._discard()
            raise WorkFailure("the process that does it cannot run")
        return process

    def _discard(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # what was not yet written to a dead process is lost with it
                continue


def _start() -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        **dict.fromkeys(_THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    words = [sys.executable, "-P", "-c", _PROGRAM, f"{__name__}:do_limited", str(_LONGEST_JOB_SEC)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _wait_until_ready(process: "subprocess.Popen[bytes]") -> None:
    timer = threading.Timer(_SECONDS_TO_START, process.kill)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None
    process.stdout.readline()  # an empty line says that it is ready; none, that it died: seen when asked
    timer.cancel()


def _exchange(process: "subprocess.Popen[bytes]", job: Mapping[str, Any]) -> bytes:
    """Send a job and return the line that comes back, cut short when the process dies."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return b""
    return process.stdout.readline()
