import math
from pathlib import Path
from typing import Any

import pytest

from tests.report.run_folders import line, write_metrics, write_run
from unreel.report.line_chart import COLORS
from unreel.report.run_curves import MOST_CURVES, draw_curves
from unreel.report.run_record import RunRecord, read_run_record


def make(folder: Path, name: str, lines: list[Any]) -> RunRecord:
    run = write_run(folder / name)
    write_metrics(run, lines)
    return read_run_record(run)


def test_the_loss_comes_first_then_its_terms_then_rate_and_speed(tmp_path: Path) -> None:
    curves = draw_curves([make(tmp_path, "a", [line(5), line(10)])], ["a"])
    assert [curve.title for curve in curves] == [
        "loss",
        "contrast",
        "batch accuracy",
        "learning rate",
        "videos per second",
        "time spent waiting for data",
    ]
    assert all(curve.drawing.startswith("<svg") for curve in curves)
    assert all(curve.notes == () for curve in curves)
    turned = dict(reversed(line(5).items()))
    titles = [curve.title for curve in draw_curves([make(tmp_path, "b", [turned])], ["b"])]
    assert titles[0] == "loss"
    assert titles[-1] == "time spent waiting for data"


def test_every_run_has_its_curve_and_one_that_lacks_the_number_is_named(tmp_path: Path) -> None:
    runs = [make(tmp_path, "a", [line(5), line(10)]), make(tmp_path, "b", [line(5, degree=1.0), line(10)])]
    by_title = {curve.title: curve for curve in draw_curves(runs, ["a", "b"])}
    assert by_title["loss"].drawing.count("<polyline") == 2
    assert by_title["degree"].notes == (
        "b: 1 of 2 values are no finite numbers and leave gaps",
        "a: no such number",
    )


def test_a_run_keeps_its_colour_where_another_lacks_the_number(tmp_path: Path) -> None:
    lines = [line(5, degree=1.0), line(10, degree=2.0)]
    runs = [make(tmp_path, "a", [line(5), line(10)]), make(tmp_path, "b", lines)]
    by_title = {curve.title: curve.drawing for curve in draw_curves(runs, ["a", "b"])}
    assert f'stroke="{COLORS[1]}"' in by_title["degree"]
    assert f'stroke="{COLORS[0]}"' not in by_title["degree"]


def test_shares_are_in_percent_and_what_only_looks_like_one_is_not(tmp_path: Path) -> None:
    run = make(tmp_path, "a", [line(5, own_accuracy=1.5), line(10)])
    by_title = {curve.title: curve.drawing for curve in draw_curves([run], ["a"])}
    assert ">%<" in by_title["batch accuracy"]
    assert ">%<" in by_title["time spent waiting for data"]
    assert ">%<" not in by_title["own accuracy"]
    assert ">%<" not in by_title["loss"]


def test_a_loss_that_became_nan_says_so(tmp_path: Path) -> None:
    lines = [line(5), line(10, loss=math.nan), line(15, loss=math.inf)]
    (loss, *_) = draw_curves([make(tmp_path, "a", lines)], ["a"])
    assert loss.notes == ("a: 2 of 3 values are no finite numbers and leave gaps",)


def test_a_long_run_says_that_points_are_left_out(tmp_path: Path) -> None:
    (loss, *_) = draw_curves([make(tmp_path, "a", [line(step) for step in range(1, 1000)])], ["a"])
    assert loss.notes == ("long: cut into 240 parts, of each the smallest and the largest value",)


def test_without_numbers_there_is_no_curve(tmp_path: Path) -> None:
    assert draw_curves([make(tmp_path, "a", [])], ["a"]) == []


@pytest.mark.parametrize("has_legend", [True, False])
def test_runs_are_named_in_the_drawing_where_that_is_wanted(tmp_path: Path, has_legend: bool) -> None:
    (loss, *_) = draw_curves([make(tmp_path, "a", [line(5)])], ["the run"], has_legend=has_legend)
    assert (">the run</text>" in loss.drawing) == has_legend


def test_drawings_have_an_end(tmp_path: Path) -> None:
    terms = {f"term {number}": 1.0 for number in range(150)}
    assert len(draw_curves([make(tmp_path, "a", [line(5, **terms)])], ["a"])) == MOST_CURVES
