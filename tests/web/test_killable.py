import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.served import wait_for
from unreel.web import killable
from unreel.web.killable import KillableWorker, WorkFailure

WORK = "tests.web.jobs:work"


@pytest.fixture(scope="module")
def worker() -> Iterator[KillableWorker]:
    worker = KillableWorker(WORK, memory_mb=1024, file_mb=2)
    yield worker
    worker.close()


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_jobs_are_done_in_one_other_process(worker: KillableWorker) -> None:
    first, second = (worker.ask({"kind": "name"}, 10.0) for _ in range(2))
    assert first["kind"] == "name"
    assert first["process"] == second["process"] != os.getpid()


def test_a_job_that_raises_fails_alone(worker: KillableWorker) -> None:
    before = worker.ask({"kind": "name"}, 10.0)["process"]
    with pytest.raises(WorkFailure, match="ValueError: a fault of the work") as caught:
        worker.ask({"kind": "raise"}, 10.0)
    assert not caught.value.is_late
    assert worker.ask({"kind": "name"}, 10.0)["process"] == before


def test_a_job_that_hangs_is_killed_and_the_next_gets_a_new_process(worker: KillableWorker) -> None:
    before = worker.ask({"kind": "name"}, 10.0)["process"]
    started = time.monotonic()
    with pytest.raises(WorkFailure, match=r"not done within 0\.3 s") as caught:
        worker.ask({"kind": "sleep", "seconds": 60}, 0.3)
    assert caught.value.is_late
    assert time.monotonic() - started < 5
    assert not is_alive(before)
    assert worker.ask({"kind": "name"}, 10.0)["process"] != before


def test_a_crash_is_told_and_survived(worker: KillableWorker) -> None:
    with pytest.raises(WorkFailure, match="died") as caught:
        worker.ask({"kind": "crash"}, 10.0)
    assert not caught.value.is_late
    assert worker.ask({"kind": "name"}, 10.0)["kind"] == "name"


def test_memory_is_limited(worker: KillableWorker) -> None:
    assert worker.ask({"kind": "allocate", "mb": 100}, 10.0) == {"bytes": 100 << 20}
    with pytest.raises(WorkFailure, match="MemoryError"):
        worker.ask({"kind": "allocate", "mb": 2000}, 10.0)


def test_files_are_limited(worker: KillableWorker, tmp_path: Path) -> None:
    worker.ask({"kind": "write", "mb": 1, "out": str(tmp_path / "small")}, 10.0)
    with pytest.raises(WorkFailure, match="File too large"):
        worker.ask({"kind": "write", "mb": 3, "out": str(tmp_path / "large")}, 10.0)
    assert (tmp_path / "large").stat().st_size <= 2 << 20


def test_without_limits_the_work_is_done_all_the_same(tmp_path: Path) -> None:
    worker = KillableWorker(WORK)
    try:
        worker.ask({"kind": "write", "mb": 3, "out": str(tmp_path / "large")}, 10.0)
    finally:
        worker.close()
    assert (tmp_path / "large").stat().st_size == 3 << 20


def test_closing_kills_the_process_and_fails_its_job_at_once() -> None:
    worker = KillableWorker(WORK)
    process = worker.ask({"kind": "name"}, 10.0)["process"]
    failures: list[WorkFailure] = []

    def ask() -> None:
        try:
            worker.ask({"kind": "sleep", "seconds": 60}, 60.0)
        except WorkFailure as failure:
            failures.append(failure)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    started = time.monotonic()
    worker.close()
    thread.join(5)
    assert time.monotonic() - started < 3
    assert len(failures) == 1
    wait_for(lambda: not is_alive(process), 5)
    with pytest.raises(WorkFailure, match="shutting down"):
        worker.ask({"kind": "name"}, 10.0)


def test_what_cannot_start_fails_by_name() -> None:
    worker = KillableWorker("tests.web.jobs:absent")
    try:
        with pytest.raises(WorkFailure, match="AttributeError"):
            worker.ask({"kind": "name"}, 10.0)
    finally:
        worker.close()


def test_a_process_that_died_while_it_had_nothing_to_do_costs_no_job(worker: KillableWorker) -> None:
    before = worker.ask({"kind": "name"}, 10.0)["process"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: Path(f"/proc/{before}/stat").read_text().split()[2] == "Z", 5)
    assert worker.ask({"kind": "name"}, 10.0)["process"] != before


def test_the_job_of_a_server_that_was_killed_ends_by_itself(tmp_path: Path) -> None:
    """Nobody else would kill it; asleep, it uses none of the processor's time that is allowed."""
    program = (
        "from unreel.web.killable import KillableWorker\n"
        f"worker = KillableWorker({WORK!r})\n"
        "print(worker.ask({'kind': 'name'}, 10.0)['process'], flush=True)\n"
        "worker.ask({'kind': 'sleep', 'seconds': 60}, 0.5)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        time.sleep(0.2)
        server.kill()
    wait_for(lambda: not is_alive(child), 15)


def test_a_process_that_never_gets_ready_does_not_keep_the_server_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(killable, "_PROGRAM", "import time; time.sleep(60)")
    worker = KillableWorker(WORK)
    failures: list[str] = []

    def ask() -> None:
        try:
            worker.ask({"kind": "name"}, 10.0)
        except WorkFailure as failure:
            failures.append(str(failure))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    wait_for(lambda: worker._process is not None, 5)
    closer = threading.Thread(target=worker.close, daemon=True)
    closer.start()
    closer.join(5)
    thread.join(5)
    assert not closer.is_alive()
    assert len(failures) == 1


def test_a_process_that_takes_too_long_to_get_ready_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killable, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(killable, "_SECONDS_TO_START", 0.3)
    worker = KillableWorker(WORK)
    started = time.monotonic()
    with pytest.raises(WorkFailure, match=r"cannot run|died"):
        worker.ask({"kind": "name"}, 10.0)
    assert time.monotonic() - started < 5
    worker.close()
