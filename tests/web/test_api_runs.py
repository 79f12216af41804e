from collections.abc import Iterator

import httpx
import pytest

from tests.report.run_folders import write_run
from tests.web.served import Served, open_client, read_error
from unreel.web.answers import CompareAnswer, RunAnswer, RunsAnswer


@pytest.fixture(scope="module")
def run_client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first")
    write_run(folder / "group" / "second run", seed=7)
    with open_client(served.settings(runs=folder)) as client:
        yield client


def test_runs_are_listed(run_client: httpx.Client) -> None:
    found = RunsAnswer.model_validate(run_client.get("/api/runs").json()).runs
    assert [run.name for run in found] == ["first", "group/second run"]
    assert (found[0].recipe, found[0].method, found[0].step) == ("moco.small", "moco", 20)
    assert found[0].is_finished
    assert run_client.get("/api/status").json()["has_runs"] is True


def test_without_a_folder_there_are_none(client: httpx.Client) -> None:
    assert client.get("/api/runs").json() == {"runs": []}
    assert client.get("/api/runs/first").status_code == 404


def test_a_run_is_shown_with_its_course(run_client: httpx.Client) -> None:
    found = RunAnswer.model_validate(run_client.get("/api/runs/group/second%20run").json())
    assert found.url == "/runs/group/second%20run"
    assert found.record["metrics"]["step"] == [5, 10, 15, 20]
    assert found.record["settings"]["train"]["seed"] == 7


@pytest.mark.parametrize(
    "name", ["absent", "..%2f..", "first%2f..", "%2fetc%2fpasswd", "first%00", "x" * 501]
)
def test_no_other_name_leads_anywhere(run_client: httpx.Client, name: str) -> None:
    answer = run_client.get(f"/api/runs/{name}")
    assert answer.status_code in (404, 422)
    assert read_error(answer)["message"]


def test_runs_are_compared(run_client: httpx.Client) -> None:
    answer = run_client.get("/api/compare", params={"run": ["first", "group/second run"]})
    found = CompareAnswer.model_validate(answer.json())
    assert [run.name for run in found.runs] == ["first", "group/second run"]
    assert [(row.name, row.values) for row in found.settings] == [("train.seed", [0, 7])]


@pytest.mark.parametrize(
    ("names", "status"), [([], 422), (["first"], 422), (["first", "absent"], 404), (["first"] * 9, 422)]
)
def test_what_cannot_be_compared_is_refused(run_client: httpx.Client, names: list[str], status: int) -> None:
    assert run_client.get("/api/compare", params={"run": names}).status_code == status
