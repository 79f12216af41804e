import json
import math
from pathlib import Path

import pytest

from tests.report.run_folders import line, write_metrics
from unreel.report.run_metrics import read_metrics


def read(run: Path) -> tuple[dict[str, list[float]], list[str]]:
    told: list[str] = []
    return read_metrics(run, warn=told.append), told


def test_every_number_is_a_list_as_long_as_that_of_the_steps(tmp_path: Path) -> None:
    write_metrics(tmp_path, [line(5), line(10)])
    metrics, told = read(tmp_path)
    assert next(iter(metrics)) == "step"
    assert metrics["step"] == [5, 10]
    assert metrics["loss"] == [2.0, 1.0]
    assert set(metrics) == set(line(5))
    assert told == []


def test_without_a_file_or_without_lines_there_are_no_columns(tmp_path: Path) -> None:
    assert read(tmp_path) == ({}, [])
    write_metrics(tmp_path, [])
    assert read(tmp_path) == ({}, [])


def test_a_half_written_last_line_is_dropped_and_nobody_need_know(tmp_path: Path) -> None:
    write_metrics(tmp_path, [line(5)], end='{"step": 10, "lo')
    metrics, told = read(tmp_path)
    assert metrics["step"] == [5]
    assert told == []


def test_a_last_line_that_only_lacks_its_end_counts(tmp_path: Path) -> None:
    write_metrics(tmp_path, [line(5)], end=json.dumps(line(10)))
    assert read(tmp_path)[0]["step"] == [5, 10]


def test_other_damaged_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    write_metrics(tmp_path, [line(5), [1], {"loss": 1.0}, "text", {"step": math.nan}, line(10), line(10**16)])
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\n\n" + b"[" * 5000 + b"\n")
    metrics, told = read(tmp_path)
    assert metrics["step"] == [5, 10]
    assert len(told) == 1
    assert "metrics.jsonl: 7 lines are no numbers of a step and are left out" in told[0]


def test_nan_and_infinity_stay_and_what_is_no_number_is_nan(tmp_path: Path) -> None:
    write_metrics(
        tmp_path,
        [
            line(5, loss=math.nan, contrast=math.inf, lr="low", batch_accuracy=True, extra=10**400),
            line(10, new=3),
        ],
    )
    metrics, told = read(tmp_path)
    assert math.isnan(metrics["loss"][0])
    assert metrics["contrast"][0] == math.inf
    assert math.isnan(metrics["lr"][0])
    assert math.isnan(metrics["batch_accuracy"][0])
    assert metrics["extra"][0] == math.inf
    assert math.isnan(metrics["new"][0])
    assert metrics["new"][1] == 3
    assert told == []


def test_steps_rise_and_of_two_lines_of_a_step_the_last_counts(tmp_path: Path) -> None:
    write_metrics(tmp_path, [line(5), line(10), line(5, loss=7.0), line(15)])
    metrics, _ = read(tmp_path)
    assert metrics["step"] == [5, 10, 15]
    assert metrics["loss"][0] == 7.0
    write_metrics(tmp_path, [line(10), line(5)])
    metrics, _ = read(tmp_path)
    assert (metrics["step"], metrics["loss"]) == ([5, 10], [2.0, 1.0])


def test_too_many_columns_are_cut_and_said(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"step": 1, **{f"term {number}": 1.0 for number in range(500)}}])
    metrics, told = read(tmp_path)
    assert len(metrics) == 201
    assert "has 501 columns; the first 200 are read" in told[0]


def test_a_file_without_end_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_metrics(tmp_path, [line(step) for step in range(1, 200)])
    assert read(tmp_path)[1] == []
    monkeypatch.setattr("unreel.report.run_metrics.LARGEST_FILE_MB", 0)
    path = tmp_path / "metrics.jsonl"
    assert read(tmp_path) == ({}, [f"{path} is larger than 0 MB; what lies behind that is not read"])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    metrics, told = read(tmp_path)
    assert metrics == {}
    assert "metrics.jsonl cannot be read" in told[0]
