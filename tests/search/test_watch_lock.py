import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unreel.errors import SearchError
from unreel.search import watch_lock
from unreel.search.watch_lock import lock_index

HOLD = """
import os, sys, time
from pathlib import Path
from unreel.search.watch_lock import lock_index
with lock_index(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(30)
    print("locked", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def hold(index: Path, how: str = "") -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the lock while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(index), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_the_lock_is_there_while_it_is_held_and_leaves_nothing(tmp_path: Path) -> None:
    index = tmp_path / "new" / "videos.index"
    with lock_index(index):
        assert (tmp_path / "new" / "videos.index.lock").read_text() == f"{os.getpid()}\n"
    assert list(index.parent.iterdir()) == []
    with lock_index(index):
        pass


def test_an_exception_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError), lock_index(tmp_path / "i"):
        raise ArithmeticError
    assert list(tmp_path.iterdir()) == []


def test_another_watcher_is_refused_by_name_until_the_first_ends(tmp_path: Path) -> None:
    index = tmp_path / "videos.index"
    with (
        hold(index) as process,
        pytest.raises(
            SearchError, match=rf"videos.index: another .*\(process {process.pid}\).*stop it first"
        ),
        lock_index(index),
    ):
        pass
    with lock_index(index), lock_index(tmp_path / "other.index"):
        pass


def test_the_lock_of_a_killed_watcher_locks_nothing_even_while_its_children_live(tmp_path: Path) -> None:
    """As a decoding worker does, which notices only after seconds that its parent is gone."""
    index = tmp_path / "videos.index"
    with hold(index, "fork") as process:
        process.kill()
        process.wait()
        assert (tmp_path / "videos.index.lock").exists()
        with lock_index(index):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_just_removed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, its owner may end: the lock would be on a file that nobody else sees."""
    path, locked, opened = tmp_path / "i.lock", fcntl.lockf, []

    def remove_and_lock(handle: int, command: int) -> None:
        if not opened:
            path.unlink()
        opened.append(handle)
        locked(handle, command)

    monkeypatch.setattr(watch_lock.fcntl, "lockf", remove_and_lock)
    with lock_index(tmp_path / "i"):
        assert path.exists()
        assert len(opened) == 2


def test_a_file_system_without_locks_is_put_up_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(watch_lock.fcntl, "lockf", refuse)
    with lock_index(tmp_path / "i"):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SearchError, match=r"file/i\.lock: cannot be written \(.*\); choose another --out"),
        lock_index(tmp_path / "file" / "i"),
    ):
        pass


def test_handles_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with lock_index(tmp_path / "i"):
            pass
    started = time.monotonic()
    with hold(tmp_path / "i"):
        for _ in range(3):
            with pytest.raises(SearchError), lock_index(tmp_path / "i"):
                pass
    assert len(os.listdir("/proc/self/fd")) == before
    assert time.monotonic() - started < 20
