from pathlib import Path

import pytest
import torch

from tests.methods.batches import make_batch
from tests.train.test_setup import prepare
from unreel.data.batch import Rejection, UnreadableBatch
from unreel.errors import CatalogError, TrainingError
from unreel.methods.method import StepOutput
from unreel.train.journal import Journal
from unreel.train.signals import StopRequest


def test_lines_are_written_when_due_and_average_what_lies_between(corpus: Path, tmp_path: Path) -> None:
    job = prepare(corpus, tmp_path / "run", log_every_steps=2, checkpoint_every_steps=100, steps=5)
    told: list[tuple[int, int, str]] = []
    with Journal(job, lambda done, total, note: told.append((done, total, note))) as journal:
        for step in range(1, 6):
            journal.note(StepOutput(torch.tensor(float(step)), {"extra": torch.tensor(2.0)}))
            assert journal.report(step, 0.1, StopRequest()) is False
            assert journal.metrics.get("step", 0) == (step if step in (2, 4, 5) else step - 1)
    assert journal.metrics["loss"] == 5.0  # the last step of a run is always due
    assert journal.metrics["extra"] == 2.0
    assert [done for done, _, _ in told] == [0, 2, 4, 5]
    assert "loss 3.500" in told[2][2]
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_request_to_stop_is_answered_at_once_when_alone(corpus: Path, tmp_path: Path) -> None:
    job = prepare(corpus, tmp_path / "run", log_every_steps=100, checkpoint_every_steps=100)
    with Journal(job, lambda done, total, note: None) as journal:
        stop = StopRequest()
        journal.note(StepOutput(torch.tensor(1.0)))
        assert journal.report(1, 0.1, stop) is False
        stop.signal_name = "SIGTERM"
        assert journal.report(2, 0.1, stop) is True
        assert journal.metrics["step"] == 2


def test_waiting_for_batches_is_counted_and_their_failures_are_reported(corpus: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    job = prepare(corpus, tmp_path / "run", log_every_steps=1)
    failed = replace(make_batch(), rejections=(Rejection("a.mp4", "noise"),))
    with Journal(job, lambda done, total, note: None) as journal:
        assert list(journal.time_batches([failed])) == [failed]
        journal.note(StepOutput(torch.tensor(1.0)))
        with pytest.raises(TrainingError, match="1 of 9 videos cannot be read"):
            journal.report(1, 0.1, StopRequest())
    assert journal.metrics["data_wait_fraction"] > 0


def test_a_batch_that_cannot_be_filled_stops_the_run_with_all_failures_listed(
    corpus: Path, tmp_path: Path
) -> None:
    job = prepare(corpus, tmp_path / "run")
    unreadable = UnreadableBatch("batch 0 cannot be filled", (Rejection("a.mp4", "noise"),))
    with (
        pytest.raises(CatalogError, match="batch 0 cannot be filled"),
        Journal(job, lambda done, total, note: None) as journal,
    ):
        next(journal.time_batches([unreadable]))
    assert "a.mp4,failed,noise" in (tmp_path / "run" / "rejected.csv").read_text()


def test_a_signal_after_the_exchange_waits_for_the_next_report(corpus: Path, tmp_path: Path) -> None:
    """Otherwise one process would leave and the others would wait for it for ever."""
    job = prepare(corpus, tmp_path / "run", log_every_steps=1, steps=5)
    stop = StopRequest()

    def progress(done: int, total: int, note: str) -> None:
        stop.signal_name = "SIGTERM" if done == 1 else ""

    with Journal(job, progress) as journal:
        journal.note(StepOutput(torch.tensor(1.0)))
        assert journal.report(1, 0.1, stop) is False
        assert stop.signal_name == "SIGTERM"
        journal.note(StepOutput(torch.tensor(1.0)))
        assert journal.report(2, 0.1, stop) is True
        assert journal.stopped_by == "SIGTERM"
