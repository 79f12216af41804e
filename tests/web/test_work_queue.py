import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from tests.web.served import wait_for
from unreel.web.killable import WorkFailure
from unreel.web.problems import Problem
from unreel.web.work_queue import WorkQueue


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    queue = WorkQueue("jobs", "tests.web.jobs:work", num_workers=2, max_waiting=1, retry_after_sec=9)
    yield queue
    queue.close()


SLEEP = {"kind": "sleep", "seconds": 0.5}
LONG = {"kind": "sleep", "seconds": 60}


def test_a_job_too_many_is_refused_and_room_comes_back(queue: WorkQueue) -> None:
    promises = [queue.submit(SLEEP, time_limit_sec=20) for _ in range(3)]
    with pytest.raises(Problem, match="too many jobs are waiting") as caught:
        queue.submit(SLEEP, time_limit_sec=20)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_sec) == (429, "busy", 9)
    assert {promise.result(20)["kind"] for promise in promises} == {"sleep"}
    assert queue.submit({"kind": "name"}, time_limit_sec=20).result(20)["kind"] == "name"


def test_each_worker_has_a_process_of_its_own(queue: WorkQueue) -> None:
    promises = [queue.submit(SLEEP, time_limit_sec=20) for _ in range(2)]
    assert len({promise.result(20)["process"] for promise in promises}) == 2


def test_failures_are_in_the_promise_and_give_the_place_back(queue: WorkQueue) -> None:
    for _ in range(5):
        with pytest.raises(WorkFailure, match="a fault of the work"):
            queue.submit({"kind": "raise"}, time_limit_sec=20).result(20)


def test_a_function_may_do_more_than_ask(queue: WorkQueue) -> None:
    promise = queue.call(lambda worker: [worker.ask({"kind": kind}, 20)["kind"] for kind in "ab"])
    assert promise.result(20) == ["a", "b"]


def test_closing_is_quick_and_fails_what_is_open(queue: WorkQueue) -> None:
    promises = [queue.submit(LONG, time_limit_sec=60) for _ in range(3)]
    wait_for(lambda: sum(promise.running() for promise in promises) == 2)
    time.sleep(0.2)
    started = time.monotonic()
    queue.close()
    assert time.monotonic() - started < 3
    for promise in promises:
        with pytest.raises((WorkFailure, CancelledError)):
            promise.result(5)
    with pytest.raises(Problem, match="shutting down") as caught:
        queue.submit(SLEEP, time_limit_sec=1)
    assert caught.value.status == 503
