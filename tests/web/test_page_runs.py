import json
from pathlib import Path

import pytest

from unreel.report.run_record import RunRecord, read_run_record
from unreel.web.page_runs import MOST_CHARTS, compare_runs, describe_run, list_numbers


def write_run(
    folder: Path, *, rate: float = 0.1, encoder_hash: str = "a" * 16, columns: int = 1
) -> RunRecord:
    """Write a run of three steps, with an encoder and a result of it."""
    (folder / "encoder").mkdir(parents=True)
    (folder / "evaluations").mkdir()
    settings = {"train": {"steps": 3, "rate": rate}, "name": "<script>"}
    (folder / "recipe.json").write_text(json.dumps({"recipe": "moco.small", "settings": settings}))
    (folder / "provenance.json").write_text(json.dumps({"parts": [{"unreel": "1", "seed": 0}, {"seed": 0}]}))
    lines = [{"step": step, "loss": 3.0 - step, **{f"c{n}": n for n in range(columns)}} for step in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "encoder" / "encoder.json").write_text(json.dumps({"hash": encoder_hash}))
    result = {
        "protocol": "retrieval",
        "features": {"encoder_hash": encoder_hash, "encoder": "own"},
        "levels": {"video": {"recall": {"1": 0.25, "5": 0.5}, "queries": 8}},
    }
    (folder / "evaluations" / "retrieval.json").write_text(json.dumps(result))
    other = {**result, "features": {"encoder_hash": "f" * 16, "encoder": "pixels"}}
    (folder / "evaluations" / "pixels.json").write_text(json.dumps(other))
    return read_run_record(folder)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, RunRecord]]:
    folder = tmp_path_factory.mktemp("runs")
    first = write_run(folder / "first")
    second = write_run(folder / "second", rate=0.2, encoder_hash="b" * 16)
    return [("first", first), ("second", second)]


def test_a_run_shows_state_settings_and_origin(records: list[tuple[str, RunRecord]]) -> None:
    view = describe_run(*records[0])
    assert view["heading"] == "first"
    assert view["facts"] == {
        "State": "finished, 3 steps",
        "Recipe": "moco.small",
        "Method": "moco",
        "Encoder": "a" * 16,
    }
    settings = {row["name"]: row["cells"] for row in view["settings"]["rows"]}
    assert settings == {"train.steps": ["3"], "train.rate": ["0.1"], "name": ["<script>"]}
    assert [part["title"] for part in view["provenance"]] == ["Provenance", "Provenance, part 2"]
    assert view["provenance"][0]["facts"] == {"unreel": "1", "seed": "0"}


def test_a_run_shows_its_curves_loss_first(records: list[tuple[str, RunRecord]]) -> None:
    charts = describe_run(*records[0])["charts"]
    assert [chart["title"] for chart in charts] == ["loss", "c0"]
    assert charts[0]["svg"].startswith("<svg")
    assert "from 2 at 1 to 0 at 3" in charts[0]["svg"]


def test_a_run_shows_its_results_and_those_of_others_by_their_name(
    records: list[tuple[str, RunRecord]],
) -> None:
    (section,) = describe_run(*records[0])["evaluations"]
    names = [row.name for row in section.tables[0].rows]
    assert names == ["first", "pixels"]
    assert "25.0" in [cell.text for cell in section.tables[0].rows[0].cells]


def test_runs_side_by_side_show_only_the_settings_that_differ(records: list[tuple[str, RunRecord]]) -> None:
    view = compare_runs(records)
    assert view["heading"] == "first and second"
    assert view["settings"] == {
        "columns": ["first", "second"],
        "rows": [{"name": "train.rate", "cells": ["0.1", "0.2"]}],
    }
    assert view["facts"] == {"first": "finished, 3 steps", "second": "finished, 3 steps"}
    svg = view["charts"][0]["svg"]
    assert "first" in svg
    assert svg.count("<polyline") == 2
    rows = view["evaluations"][0].tables[0].rows
    assert [row.name for row in rows][:2] == ["first", "second"]


def test_many_runs_are_counted_not_listed(records: list[tuple[str, RunRecord]]) -> None:
    assert compare_runs(records * 2)["heading"] == "4 runs"


def test_curves_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    record = write_run(tmp_path / "many", columns=MOST_CHARTS + 2)
    view = describe_run("many", record)
    assert len(view["charts"]) == MOST_CHARTS
    assert view["notes"][-1].startswith("3 more curves")


def test_numbers_at_a_glance(records: list[tuple[str, RunRecord]]) -> None:
    assert list_numbers(records[0][1]) == {"loss": "0", "R@1 %": "25.0", "R@5 %": "50.0"}


def test_a_run_that_has_just_begun_has_no_numbers_and_a_page_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": "moco.small", "settings": {}}))
    record = read_run_record(tmp_path)
    assert list_numbers(record) == {}
    view = describe_run("new", record)
    assert view["charts"] == []
    assert view["evaluations"] == []
    assert any("provenance.json is not there" in note for note in view["notes"])


def test_long_settings_are_cut(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": "m", "settings": {"long": "x" * 9999}}))
    view = describe_run("new", read_run_record(tmp_path))
    assert len(view["settings"]["rows"][0]["cells"][0]) < 500
