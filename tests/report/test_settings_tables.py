from pathlib import Path

import pytest

from tests.report.run_folders import write_json, write_run
from unreel.report.run_record import RunRecord, read_run_record
from unreel.report.settings_tables import compare_origins, compare_settings


def make(folder: Path, name: str, **changes: object) -> RunRecord:
    return read_run_record(write_run(folder / name, **changes))  # type: ignore[arg-type]


def test_of_several_runs_only_what_differs_comes_first(tmp_path: Path) -> None:
    runs = [make(tmp_path, "a"), make(tmp_path, "b", seed=1, epochs=7)]
    first, everything = compare_settings(runs, ["a", "b"])
    assert first.columns == ("a", "b")
    assert first.rows == (("train.epochs", "100", "7"), ("train.seed", "0", "1"))
    assert ("train.steps", "20", "20") in everything.rows
    assert len(everything.rows) > 40


def test_a_setting_that_one_run_lacks_is_a_dash_and_an_empty_one_is_not(tmp_path: Path) -> None:
    runs = [make(tmp_path, "a"), make(tmp_path, "b", extra="", further=1)]
    rows = compare_settings(runs, ["a", "b"])[0].rows
    assert rows == (("train.extra", "-", '""'), ("train.further", "-", "1"))


def test_of_one_run_what_is_other_than_in_its_recipe_comes_first(tmp_path: Path) -> None:
    first, everything = compare_settings([make(tmp_path, "a", seed=3)], ["a"])
    assert first.columns == ("recipe", "run")
    assert [row for row in first.rows if row[0] == "train.seed"] == [("train.seed", "0", "3")]
    assert {row[0] for row in first.rows} <= {"train.seed", "train.steps"}
    assert everything.columns == ("a",)


@pytest.mark.parametrize("recipe", ["tests.evaluate.tiny_cacl:tiny", "future.small"])
def test_of_a_recipe_that_is_not_known_nothing_is_said_and_no_code_is_run(
    tmp_path: Path, recipe: str
) -> None:
    run = write_run(tmp_path / "a")
    write_json(run / "recipe.json", {"recipe": recipe, "settings": {"train": {"seed": 1}}})
    first, everything = compare_settings([read_run_record(run)], ["a"])
    assert first.rows == ()
    assert everything.rows == (("train.seed", "1"),)


def test_the_origin_is_told_with_its_command_as_it_was_typed(tmp_path: Path) -> None:
    rows = dict(compare_origins([make(tmp_path, "a")], ["a"]).rows)  # type: ignore[arg-type]
    assert rows["command"] == "unreel pretrain 'a name'"
    assert rows["packages.torch"] == "2.13.0"
    assert rows["cautions"] == "mind the gap"
    assert "commit" not in rows  # it is empty: nobody knows it


def test_of_a_resumed_run_both_parts_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    parts = [{"first_step": 0, "seed": 0, "cores": 2}, {"first_step": 10, "seed": 0, "command": "odd"}]
    write_json(run / "provenance.json", {"parts": parts})
    table = compare_origins([read_run_record(run), make(tmp_path, "b")], ["a", "b"])
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["first_step"] == ("0, then 10", "0")
    assert rows["seed"] == ("0", "0")
    assert rows["cores"] == ("2", "-")
    assert rows["command"][0] == "odd"


def test_without_an_origin_there_is_no_row(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    (run / "provenance.json").unlink()
    assert compare_origins([read_run_record(run)], ["a"]).rows == ()


def test_tables_have_an_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    settings = {f"setting {number}": "x" * 1000 for number in range(3000)}
    write_json(run / "recipe.json", {"recipe": "a:b", "settings": settings})
    rows = compare_settings([read_run_record(run)], ["a"])[1].rows
    assert len(rows) == 2001
    assert rows[-1] == ("and 1000 more", "...")
    assert max(len(row[1]) for row in rows) == 400
