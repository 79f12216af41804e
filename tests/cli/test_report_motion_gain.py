from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.test_motion_gain import make_gain
from unreel.cli.main import run
from unreel.evaluate.motion_gain import MotionGain
from unreel.report.motion_gain import save_motion_gain
from unreel.runs import write_json

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def result(tmp_path: Path) -> Path:
    write_json(tmp_path / "gain.json", make_gain().to_json())
    return tmp_path / "gain.json"


def report(result: Path, *words: str) -> int:
    return run(["report", "motion-gain", str(result), *words])


def test_the_picture_is_the_librarys(result: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "a.png"
    assert report(result, "--out", str(out), "--num-names", "1") == 0
    save_motion_gain(MotionGain.load(result), tmp_path / "b.png", num_names=1)
    assert out.read_bytes() == (tmp_path / "b.png").read_bytes()
    printed = capsys.readouterr().out
    assert f"Figure {out}" in printed
    assert "classes           4 of 4" in printed
    assert "rank correlation  1.000" in printed
    assert f"numbers           {result}" in printed


def test_without_a_name_the_figure_is_called_motion_gain(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report(result) == 0
    assert (tmp_path / "motion_gain.png").read_bytes().startswith(b"\x89PNG")


def test_gains_without_a_correlation_are_drawn_too(tmp_path: Path, capsys: Capture) -> None:
    even = make_gain({"a": (0.1, 0.0), "b": (0.1, 1.0)})
    write_json(tmp_path / "even.json", replace(even, second="b").to_json())
    assert report(tmp_path / "even.json", "--out", str(tmp_path / "a.svg")) == 0
    assert "rank correlation  not defined" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--out", "a.pdf"], 2, "must end in .png or .svg"),
        (["--out", "folder.png"], 2, "folder.png is a folder"),
        (["--num-names", "-1"], 2, "num_names must be 0 or more, got -1"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    result: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    assert report(result, *words) == code
    assert message in capsys.readouterr().err


def test_other_files_are_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "x.json").write_text('{"protocol": "svm"}')
    assert report(tmp_path / "x.json", "--out", str(tmp_path / "a.png")) == 1
    assert "is no result of `unreel evaluate motion-gain`" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
