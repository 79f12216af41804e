"""The command that makes sample videos: one call, a summary, and what comes next."""

from pathlib import Path

import pytest

from unreel.cli import main as program
from unreel.cli import sample_data


def test_the_command_makes_the_videos_and_says_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "samples"
    assert (
        program.run(["sample-data", str(out), "--num-videos", "2", "--seed", "5", "--num-workers", "1"]) == 0
    )
    assert len(list((out / "videos").glob("*.mp4"))) == 2
    printed = capsys.readouterr()
    assert "2 to train on, 0 to test on" in printed.out
    assert "left, right" in printed.out
    assert f"unreel scan {out / 'videos.csv'} --out catalog.parquet" in printed.out
    assert "Making videos: 2/2 videos" in printed.err


def test_a_folder_with_other_things_fails_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert program.run(["sample-data", str(tmp_path)]) == 1
    assert f"error: {tmp_path} is not empty" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("arguments", [[], ["out", "--num-videos", "many"], ["out", "--videos", "3"]])
def test_wrong_usage_exits_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["sample-data", *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_zero_videos_are_wrong_usage_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["sample-data", str(tmp_path / "out"), "--num-videos", "0"]) == 2
    assert "num_videos must be at least 1, got 0" in capsys.readouterr().err


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        sample_data.main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "unreel sample-data samples" in printed
    assert "--num-videos" in printed
