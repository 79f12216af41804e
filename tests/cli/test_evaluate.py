import importlib
import subprocess
import sys

import pytest

from unreel.cli.evaluate import PROTOCOLS
from unreel.cli.main import run

Capture = pytest.CaptureFixture[str]


def test_alone_it_lists_the_protocols_and_is_wrong_usage(capsys: Capture) -> None:
    assert run(["evaluate"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for name, (_, text) in PROTOCOLS.items():
        assert f"  {name}" in captured.err
        assert text in captured.err


def test_an_unknown_protocol_is_named_and_the_known_ones_listed(capsys: Capture) -> None:
    assert run(["evaluate", "retreival"]) == 2
    error = capsys.readouterr().err
    assert "no protocol 'retreival'; the protocols are: retrieval, knn, svm, linear" in error
    assert "usage: unreel evaluate PROTOCOL" in error


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_no_error(capsys: Capture, word: str) -> None:
    assert run(["evaluate", word]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "unreel evaluate retrieval --features features.parquet" in captured.out


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_help_with_an_example(capsys: Capture, name: str) -> None:
    assert run(["evaluate", name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"unreel evaluate {name} " in out
    assert "--out" in out


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_what_it_measures(name: str) -> None:
    assert importlib.import_module(f"unreel.cli.{PROTOCOLS[name][0]}").__doc__


def test_the_list_needs_no_heavy_import() -> None:
    script = "import sys, unreel.cli.evaluate; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
