import contextlib
from pathlib import Path

import pytest

from tests.report.run_folders import OTHER_HASH, PNG, retrieval, write_json, write_run
from unreel.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(write_run(tmp_path / "cacl") / "evaluations" / "retrieval.json", retrieval())
    write_run(tmp_path / "moco", digits=OTHER_HASH)
    return tmp_path


def test_a_page_about_one_run_lies_in_its_folder(folder: Path, capsys: Capture) -> None:
    assert run(["report", str(folder / "cacl")]) == 0
    page = folder / "cacl" / "report.html"
    captured = capsys.readouterr()
    assert f"Page {page}, {page.stat().st_size / 1e3:.0f} kB" in captured.out
    assert "cacl (finished, 20 steps)" in captured.out
    assert "1 of the runs\n" in captured.out
    assert "Next:" not in captured.out
    assert captured.err == ""
    assert "Run cacl" in page.read_text()


def test_a_page_about_several_runs_lies_here(folder: Path, capsys: Capture) -> None:
    with contextlib.chdir(folder):
        assert run(["report", "cacl", "moco"]) == 0
    assert "2 runs: cacl, moco" in (folder / "report.html").read_text()
    out = capsys.readouterr().out
    assert "1 of the runs; none of moco" in out
    assert "unreel extract --encoder moco/encoder" in out


def test_further_results_and_figures_are_named(folder: Path, capsys: Capture) -> None:
    result = write_json(folder / "pixels.json", retrieval("pixels-1", encoder="pixels"))
    (folder / "a.png").write_bytes(PNG)
    words = ["--results", str(result), "--figures", str(folder / "a.png"), "--out", str(folder / "page.html")]
    assert run(["report", "page", str(folder / "cacl"), *words]) == 0
    assert "1 of the runs and 1 of something else" in capsys.readouterr().out
    assert "data:image/png" in (folder / "page.html").read_text()


def test_flags_may_come_first(folder: Path) -> None:
    assert run(["report", "--out", str(folder / "page.html"), str(folder / "cacl")]) == 0
    assert (folder / "page.html").exists()


def test_what_could_not_be_used_is_a_warning(folder: Path, capsys: Capture) -> None:
    assert run(["report", str(folder / "cacl"), "--results", str(folder / "missing.json")]) == 0
    assert "warning: " in (err := capsys.readouterr().err)
    assert "missing.json cannot be read as a result" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cacl/evaluations"], "cacl/evaluations holds no run: there is no recipe.json"),
        (["./nowhere"], "nowhere holds no run"),
        (["cacl", "--out", "page.txt"], "--out page.txt must end in .html"),
        (["cacl", "--out", "cacl/encoder/page.html"], "is a file of RUN"),
        (["cacl", "--out", "nothing.html/page.html", "--results", "r.json"], "cannot be written"),
        (["--out", "page.html"], "a report is one of runs, got none; give the folder of `--run`"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    folder: Path, capsys: Capture, words: list[str], message: str
) -> None:
    (folder / "nothing.html").write_text("")
    with contextlib.chdir(folder):
        assert run(["report", *words]) != 0
        assert message in capsys.readouterr().err
        assert not Path("page.html").exists()


def test_a_page_never_replaces_what_it_is_made_of(folder: Path, capsys: Capture) -> None:
    result = write_json(folder / "result.html", retrieval())
    assert run(["report", str(folder / "cacl"), "--results", str(result), "--out", str(result)]) != 0
    assert "--out names the same file as --results" in capsys.readouterr().err


def test_a_full_disk_is_said(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unreel.report.html_report.write_text", fail)
    assert run(["report", str(folder / "cacl")]) == 1
    assert "report.html was not written (No space left on device); make room" in capsys.readouterr().err


def test_the_size_of_a_large_page_is_in_megabytes(folder: Path, capsys: Capture) -> None:
    (folder / "cacl" / "large.png").write_bytes(PNG + bytes(1_500_000))
    assert run(["report", str(folder / "cacl")]) == 0
    assert "2.0 MB" in capsys.readouterr().out
