import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unreel.cli.main import run
from unreel.cli.report import FIGURES

Capture = pytest.CaptureFixture[str]


def test_alone_it_lists_the_figures_and_is_wrong_usage(capsys: Capture) -> None:
    assert run(["report"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for name, (_, text) in FIGURES.items():
        assert f"  {name}" in captured.err
        assert text in captured.err


def test_an_unknown_figure_is_named_and_the_known_ones_listed(capsys: Capture) -> None:
    assert run(["report", "atention"]) == 2
    error = capsys.readouterr().err
    assert "no figure 'atention'; the figures are: attention" in error
    assert "usage: unreel report FIGURE" in error


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_no_error(capsys: Capture, word: str) -> None:
    assert run(["report", word]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "unreel report attention --run runs/cacl" in captured.out


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_help_with_an_example(capsys: Capture, name: str) -> None:
    assert run(["report", name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"unreel report {name} " in out
    assert "--out" in out


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_what_it_shows(name: str) -> None:
    assert importlib.import_module(f"unreel.cli.{FIGURES[name][0]}").__doc__


def test_a_first_word_that_is_a_path_is_a_run(capsys: Capture, tmp_path: Path) -> None:
    assert run(["report", str(tmp_path)]) == 1
    assert f"{tmp_path} holds no run" in capsys.readouterr().err
    with contextlib.chdir(tmp_path):
        assert run(["report", "atention"]) == 2
        assert "no figure 'atention'" in capsys.readouterr().err
        Path("atention").mkdir()
        assert run(["report", "atention"]) == 1
        assert "atention holds no run" in capsys.readouterr().err


def test_a_run_that_is_called_like_a_figure_is_named_with_its_path(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "motion").mkdir()
    with contextlib.chdir(tmp_path):
        assert run(["report", "motion"]) == 2
        assert "--catalog" in capsys.readouterr().err
        assert run(["report", f"..{os.sep}{tmp_path.name}{os.sep}motion"]) == 1
        assert "holds no run" in capsys.readouterr().err


def test_the_list_needs_no_heavy_import() -> None:
    script = "import sys, unreel.cli.report; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
