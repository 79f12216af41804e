import json
from pathlib import Path

import pytest

from tests.evaluate.test_average_results import make, write
from unreel.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    first = make("a", top1=0.5, top5=0.75, settings={"costs": [1.0]})
    second = make("b", top1=0.75, accuracy_by_class={"x": 0.5}, settings={"costs": [2.0]})
    return [str(write(tmp_path, f"{name}.json", own)) for name, own in (("a", first), ("b", second))]


def test_means_are_shown_and_kept(two: list[str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "mean.json"
    assert run(["evaluate", "average", *two, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "Mean of 2 results of svm" in captured.out
    row = next(line for line in captured.out.splitlines() if "video.top1" in line)
    # (50 + 75) / 2, and 12.5 times the root of 2.
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["62.5", "17.7", "50.0  75.0"]
    assert f"{two[0]}  train -> test" in captured.out
    assert "not all results have video.top5; these are left out" in captured.err
    assert "not measured alike: costs is [1.0] in" in captured.err
    assert json.loads(out.read_text())["numbers"]["video.top1"]["mean"] == 0.625


def test_json_replaces_the_table(two: list[str], capsys: Capture) -> None:
    assert run(["evaluate", "average", *two, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["averaged_protocol"] == "svm"


@pytest.mark.parametrize("is_same", [True, False])
def test_what_cannot_be_averaged_is_refused(two: list[str], capsys: Capture, is_same: bool) -> None:
    assert run(["evaluate", "average", two[0], *([two[0]] if is_same else [])]) == (1 if is_same else 2)
    message = "measured on the same split" if is_same else "give two results or more"
    assert message in capsys.readouterr().err


def test_a_result_is_never_overwritten(two: list[str], capsys: Capture) -> None:
    assert run(["evaluate", "average", *two, "--out", two[1]]) == 2
    assert "--out names the same file as the results" in capsys.readouterr().err
