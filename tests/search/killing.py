"""Commands that are killed: a process that has everything imported forks one, and the test ends it."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from unreel.search.index_store import IndexStore

_SERVER = """
import json, os, sys
import unreel.cli.extract, unreel.cli.index
from unreel.cli.main import run
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 70
        try:
            exec(order["code"], {})
            code = run(order["argv"]) if order["argv"] else 0
            sys.stdout.flush()
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, negative for a signal.
        seconds: how long it ran.
        output: what it printed.
    """

    code: int
    seconds: float
    output: str


class Forker:
    """Runs commands without their start-up of seconds; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log.txt"

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)
        self._server.stdout.close()

    def run(self, argv: Sequence[str], end: Callable[[int], None] | None = None, *, code: str = "") -> Ended:
        """Run a command and wait until it and all its children have ended.

        Args:
            argv: behind ``unreel``.
            end: given the process, ends it in some way; None lets it run.
            code: done before the command, or in place of it when there is no ``argv``.
        """
        stdin, stdout = self._server.stdin, self._server.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"argv": list(argv), "code": code, "log": str(self._log)}) + "\n")
        stdin.flush()
        process, started = int(stdout.readline()), time.monotonic()
        if end is not None:
            end(process)
        exit_code = os.waitstatus_to_exitcode(int(stdout.readline()))
        seconds = time.monotonic() - started
        _wait_for_children(process)
        return Ended(exit_code, seconds, self._log.read_text())


def _wait_for_children(group: int) -> None:
    """Wait until no process of a group is left; workers notice by themselves that their parent is gone."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError(f"processes of group {group} live on without their parent")


def kill_after(seconds: float, *, once: Callable[[], bool] = lambda: True) -> Callable[[int], None]:
    """Return what kills a process so long after something has come true, or lets it end before."""

    def kill(process: int) -> None:
        give_up = time.monotonic() + 60
        while not once() and time.monotonic() < give_up and os.path.exists(f"/proc/{process}"):
            time.sleep(0.001)
        time.sleep(seconds)
        _send(process, signal.SIGKILL)

    return kill


def _send(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def draw_moments(seed: int, count: int, longest_sec: float) -> list[float]:
    """Return moments of a life, one in each of as many equal parts, in random order."""
    rng = random.Random(seed)
    moments = [(part + rng.random()) / count * longest_sec for part in range(count)]
    rng.shuffle(moments)
    return moments


def read_index(path: Path) -> dict[str, bytes]:
    """Return the vectors of every video by path, having checked that nothing is damaged or there twice."""
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    store = IndexStore.open(path)
    with store.read() as reader:
        videos = reader.find_videos()
        assert len({video.id for video in videos}) == len({video.path for video in videos}) == len(videos)
        assert reader.count_keys("clip") == sum(video.num_clips for video in videos)
        assert sum(len(keys) for keys, _ in reader.iterate_vectors("clip")) == reader.count_keys("clip")
        return {
            video.path: b"".join(
                reader.vectors(unit, reader.keys_of(unit, video.id)).tobytes() for unit in ("clip", "video")
            )
            for video in videos
        }
