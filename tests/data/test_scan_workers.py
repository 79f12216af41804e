import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.data.worker_jobs import THIS
from unreel.data.scan_workers import Reply, answer_jobs, load_work, run_jobs, serve
from unreel.errors import UnreelError


def run(work: str, jobs: list[dict[str, Any]], *, workers: int = 1, limit: float = 20.0) -> dict[int, Reply]:
    replies = list(run_jobs(f"{THIS}:{work}", jobs, num_workers=workers, time_limit_sec=limit))
    assert len({reply.job for reply in replies}) == len(replies)
    return {reply.job: reply for reply in replies}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """Every process that the test starts."""
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def start_and_note(*args: Any, **kwargs: Any) -> "subprocess.Popen[bytes]":
        started.append(start(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start_and_note)
    return started


def test_every_job_is_answered_once_by_several_workers() -> None:
    replies = run("double", [{"number": number} for number in range(40)], workers=2)
    assert [replies[number].value["double"] for number in range(40)] == [2 * number for number in range(40)]
    assert len({reply.value["process"] for reply in replies.values()}) == 2
    assert os.getpid() not in {reply.value["process"] for reply in replies.values()}


def test_without_jobs_no_worker_is_started() -> None:
    assert run("no_such_function", [], workers=4) == {}


def test_no_more_workers_than_jobs_are_started(processes: list["subprocess.Popen[bytes]"]) -> None:
    assert len(run("double", [{"number": 1}], workers=4)) == 1
    assert len(processes) == 1
    assert processes[0].poll() is not None


def test_a_worker_that_hangs_is_killed_and_only_its_job_fails() -> None:
    started = time.monotonic()
    replies = run("misbehave", [{"order": "go"}, {"order": "hang"}, {"order": "go"}], limit=0.5)
    assert time.monotonic() - started < 20
    assert "row" in replies[0].value
    assert "row" in replies[2].value
    assert replies[1].failure == "not read within 0.5 s, even its reader hung"


def test_a_job_may_set_a_lower_limit_for_itself_but_no_higher_one() -> None:
    short, long = ({"order": "hang", "kill_after_sec": seconds} for seconds in (0.25, 60))
    replies = run("misbehave", [short, {"order": "go"}], limit=20)
    assert replies[0].failure == "not read within 0.25 s, even its reader hung"
    assert "row" in replies[1].value
    assert run("misbehave", [long], limit=0.5)[0].failure == "not read within 0.5 s, even its reader hung"


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("crash", "the process that read it died (SIGSEGV)"),
        ("exhaust", "the process that read it died (SIGKILL, perhaps out of memory)"),
        ("leave", "the process that read it died (exit code 3)"),
    ],
)
def test_a_worker_that_dies_loses_only_its_job(order: str, reason: str) -> None:
    replies = run("misbehave", [{"order": "go"}, {"order": order}, {"order": "go"}])
    assert replies[1].failure == reason
    assert "row" in replies[0].value
    assert replies[0].value["process"] != replies[2].value["process"]


def test_an_error_in_the_work_fails_the_job_and_spares_the_worker() -> None:
    replies = run("misbehave", [{"order": "go"}, {"order": "raise"}, {"order": "go"}])
    assert replies[1] == Reply(1, failure="unexpected ArithmeticError: the sum is wrong")
    assert replies[0].value["process"] == replies[2].value["process"]


def test_a_worker_has_one_thread_and_nothing_of_the_calling_script() -> None:
    value = run("describe_worker", [{}])[0].value
    assert value == {"threads": "1", "torch": False, "main": None, "interrupt_ignored": True}


def test_a_worker_that_cannot_start_stops_everything(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnreelError, match=r"cannot start \(exit code 1\); its own message stands above"):
        run("no_such_function", [{}, {}])
    assert "no_such_function" in capfd.readouterr().err


def test_closing_the_iterator_leaves_no_process_behind(processes: list["subprocess.Popen[bytes]"]) -> None:
    jobs = [{"order": "hang"}, {"order": "go"}]
    replies = run_jobs(f"{THIS}:misbehave", jobs, num_workers=2, time_limit_sec=60)
    assert next(replies).job == 1
    replies.close()
    assert -signal.SIGKILL in [process.poll() for process in processes]
    assert None not in [process.poll() for process in processes]
    assert not [thread for thread in threading.enumerate() if type(thread).__name__ == "_Driver"]


def test_an_exception_in_the_consumer_leaves_no_process_behind(
    processes: list["subprocess.Popen[bytes]"],
) -> None:

    def consume() -> None:
        for _ in run_jobs(f"{THIS}:double", [{"number": 1}] * 50, num_workers=1, time_limit_sec=60):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert [process.poll() is None for process in processes] == [False]


def test_every_line_is_answered_by_a_line() -> None:
    def halve(job: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"half": 1 / job["number"]}

    answers = io.BytesIO()
    answer_jobs(halve, io.BytesIO(b'{"number": 2}\n{"number": 0}\n'), answers, 60.0)
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [
        {"value": {"half": 0.5}},
        {"failure": "unexpected ZeroDivisionError: division by zero"},
    ]


def test_a_hanging_worker_ends_even_when_nobody_is_left_to_kill_it() -> None:
    """The kernel ends it five seconds behind the time limit; here the limit is short of that by 4.9 s."""
    program = (
        "import io, time; from unreel.data.scan_workers import answer_jobs; "
        "answer_jobs(lambda job: time.sleep(60), io.BytesIO(b'{}\\n'), io.BytesIO(), -4.9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, timeout=30, check=False)
    assert ended.returncode == -signal.SIGALRM


def test_work_is_found_by_name() -> None:
    assert load_work("os.path:basename")("a/b") == "b"  # type: ignore[arg-type]


def test_a_worker_is_ready_then_answers_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`serve` with pipes in place of the standard streams, which stay as they are."""
    jobs_out, jobs_in = os.pipe()
    answers_out, answers_in = os.pipe()
    os.write(jobs_in, b'{"number": 21}\n')
    os.close(jobs_in)
    copies = iter((jobs_out, answers_in))
    redirected: list[int] = []
    monkeypatch.setattr(os, "dup", lambda _: next(copies))
    monkeypatch.setattr(os, "dup2", lambda _, standard: redirected.append(standard))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["worker", f"{THIS}:double", "60"])
    serve()
    with os.fdopen(answers_out, "rb") as file:
        ready, answer = file.read().splitlines()
    assert ready == b""
    assert json.loads(answer)["value"]["double"] == 42
    assert redirected == [0, 1, 2]
