import json
import time
from pathlib import Path

import pytest
import torch

from unreel.train.metrics import Averages, MetricsWriter, Stopwatch


def test_averages_are_means_and_start_anew_when_read() -> None:
    averages = Averages()
    averages.add({"loss": torch.tensor(1.0), "accuracy": torch.tensor(0.5)})
    averages.add({"loss": torch.tensor(4.0, requires_grad=True), "accuracy": torch.tensor(1.0)})
    assert averages.read() == {"loss": 2.5, "accuracy": 0.75}
    assert averages.read() == {}
    averages.add({"loss": torch.tensor(7.0)})
    assert averages.read() == {"loss": 7.0}


def test_the_share_of_waiting_is_of_the_time_since_the_last_reading() -> None:
    stopwatch = Stopwatch()
    time.sleep(0.02)
    stopwatch.add_wait(0.01)
    seconds, share = stopwatch.read()
    assert seconds >= 0.02
    assert share == pytest.approx(0.01 / seconds)
    assert stopwatch.read()[1] == 0.0


def read_steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_lines_are_json_and_tensorboard_gets_the_same(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, first_step=0)
    writer.write({"step": 1, "loss": 2.5})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 2.5}
    writer.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"train/loss" in events.read_bytes()


def test_a_resumed_run_drops_the_lines_it_will_write_again(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, first_step=0)
    for step in (10, 20, 30):
        writer.write({"step": step})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('not a line of ours\n{"step": 4')  # a killed process leaves half a line
    resumed = MetricsWriter(tmp_path, first_step=20)
    assert read_steps(tmp_path) == [10, 20]
    resumed.write({"step": 30})
    resumed.close()
    assert read_steps(tmp_path) == [10, 20, 30]
