"""Every example is a short whole script that runs."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80
    assert lines[0].startswith('"""')


def test_the_demo_goes_the_whole_way_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo" / "run").mkdir(parents=True)
    (tmp_path / "demo" / "run" / "recipe.json").touch()  # left by an earlier demo, like the index
    (tmp_path / "demo" / "videos.index").touch()
    monkeypatch.chdir(tmp_path)
    flags = ["--videos", "40", "--seed", "3"]
    training = ["--train.steps", "2", "--train.batch-size", "4", "--data.num-workers", "0"]
    monkeypatch.setattr(sys, "argv", ["demo.py", *flags, *training])
    runpy.run_path(str(EXAMPLES[0].with_name("demo.py")), run_name="__main__")

    out = capsys.readouterr().out
    commands = re.findall(r"^\$ unreel (\S+)", out, flags=re.MULTILINE)
    features = ["extract", "evaluate", "evaluate"] * 3
    assert commands == ["sample-data", "scan", "pretrain", *features, "index", "search", "report"]
    assert "recall" in Path("demo/report.html").read_text().lower()
    table = out[out.index("Nearest video right") :]
    rows = {
        name: re.findall(r"\d+\.\d", row)
        for name, row in re.findall(r"^│ (.*?) +│(.*)$", table, re.MULTILINE)
    }
    assert list(rows) == ["raw pixels", "untrained", "trained", "chance"]
    assert all(
        len(numbers) == 2 and all(0 <= float(number) <= 100 for number in numbers)
        for numbers in rows.values()
    )
    # 30 videos to search, five scenes alike: a random neighbour is of the right scene one time in five.
    assert rows["chance"][1] == "20.0"
    assert "make demo DEMO_ARGS=" in table
    settings = json.loads(Path("demo/run/recipe.json").read_text())["settings"]
    assert (settings["train"]["steps"], settings["train"]["seed"]) == (2, 3)


def test_a_demo_that_fails_stops_with_the_code_of_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--videos", "0"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(EXAMPLES[0].with_name("demo.py")), run_name="__main__")
    assert stop.value.code == 2
    assert "num_videos must be at least 1, got 0" in capsys.readouterr().err


def test_few_labels_compares_the_trained_network_with_fresh_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--videos", "44", "--steps", "2", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["few_labels.py", *flags])
    runpy.run_path(str(EXAMPLES[0].with_name("few_labels.py")), run_name="__main__")

    out = capsys.readouterr().out
    rows = {
        name: [float(number) for number in re.findall(r"\d+\.\d", row)]
        for name, row in re.findall(r"^│ (fresh|trained) +│(.*)$", out, re.MULTILINE)
    }
    assert list(rows) == ["fresh", "trained"]
    assert all(len(shares) == 4 and all(0 <= share <= 100 for share in shares) for shares in rows.values())
    assert len(re.findall(r"^videos/\S+\.mp4 shows \w+$", out, re.MULTILINE)) == 5
