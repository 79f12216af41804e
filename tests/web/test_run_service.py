import json
import os
from pathlib import Path

import pytest

from tests.report.run_folders import line, write_metrics, write_run
from unreel.web import run_service
from unreel.web.problems import Problem
from unreel.web.run_service import RunService, find_differences


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs" / "first")
    write_run(tmp_path / "runs" / "group" / "second", seed=7)
    return tmp_path / "runs"


def test_runs_are_known_by_their_path_in_the_folder(folder: Path) -> None:
    service = RunService(folder)
    assert service.has_runs
    assert list(service.names()) == ["first", "group/second"]
    assert list(service.read_all()) == ["first", "group/second"]
    assert service.read("group/second").settings["train"]["seed"] == 7


def test_a_folder_that_is_a_run_has_its_name(folder: Path) -> None:
    assert list(RunService(folder / "first").names()) == ["first"]


def test_without_a_folder_there_are_none() -> None:
    service = RunService(None)
    assert not service.has_runs
    assert service.names() == {}
    assert service.read_all() == {}


@pytest.mark.parametrize(
    "name", ["", "absent", "..", "../runs/first", "first/../first", "/etc", "group", "first/", "first\0"]
)
def test_no_other_name_leads_to_a_folder(folder: Path, name: str) -> None:
    with pytest.raises(Problem, match="there is no run") as caught:
        RunService(folder).read(name)
    assert caught.value.status == 404


def test_a_run_is_read_again_when_it_goes_on_and_only_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = RunService(folder)
    assert service.read("first").metrics["step"][-1] == 20
    write_metrics(folder / "first", [line(step) for step in (5, 10)])
    os.utime(folder / "first" / "metrics.jsonl", ns=(1, 1))
    assert service.read("first").metrics["step"][-1] == 10
    monkeypatch.setattr(run_service, "read_run_record", lambda run: pytest.fail("read again"))
    assert service.read("first").metrics["step"][-1] == 10


def test_a_run_that_cannot_be_read_is_left_out_of_the_list(folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "recipe.json").write_text("no JSON")
    service = RunService(folder)
    assert list(service.read_all()) == ["first", "group/second"]
    with pytest.raises(Problem) as caught:
        service.read("broken")
    assert caught.value.status == 404


def test_only_what_differs_is_listed() -> None:
    """Working: b.c is 1 and 2; d is missing in the second; a and b.e are alike."""
    first = {"a": 1, "b": {"c": 1, "e": [1, 2]}, "d": None, "f": {}}
    second = {"a": 1, "b": {"c": 2, "e": [1, 2]}, "f": {"g": 0}}
    assert find_differences([first, second]) == [
        {"name": "b.c", "values": [1, 2]},
        {"name": "f", "values": [{}, None]},
        {"name": "f.g", "values": [None, 0]},
    ]
    assert find_differences([first, first]) == []


def test_real_runs_differ_in_their_seed(folder: Path) -> None:
    records = RunService(folder).read_all().values()
    found = find_differences([record.to_dict()["settings"] for record in records])
    assert [row["name"] for row in found] == ["train.seed"]
    assert json.dumps(found)
