"""The command line finds its commands, explains what went wrong, and answers `--help` at once."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from unreel import __version__
from unreel.cli.main import COMMANDS, main, run
from unreel.errors import CatalogError, VideoError

HEAVY = ("torch", "av", "pyarrow", "numpy", "rich", "tyro", "matplotlib")

Capture = pytest.CaptureFixture[str]
Command = Callable[[list[str]], None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Command], None]:
    """Give the command ``unreel fake`` a body."""

    def install(body: Command) -> None:
        module = types.ModuleType("unreel.cli.fake")
        module.main = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "unreel.cli.fake", module)
        monkeypatch.setitem(COMMANDS, "fake", ("fake", "for tests"))

    return install


def raising(error: BaseException) -> Command:
    def body(argv: list[str]) -> None:
        raise error

    return body


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"]])
def test_help_lists_every_command_and_an_example(words: list[str], capsys: Capture) -> None:
    assert run(words) == 0
    out, err = capsys.readouterr()
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in out
        assert text in out
    assert "example:\n  unreel scan videos/ --out catalog.parquet" in out
    assert err == ""


def test_no_command_is_wrong_usage_and_shows_the_help(capsys: Capture) -> None:
    assert run([]) == 2
    assert "usage: unreel COMMAND" in capsys.readouterr().out


def test_an_unknown_command_is_wrong_usage_and_lists_the_known(capsys: Capture) -> None:
    assert run(["scna"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: no command 'scna'; the commands are: doctor," in err


def test_the_version_is_printed(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"unreel {__version__}\n"


def test_a_command_gets_its_words(command: Callable[[Command], None]) -> None:
    seen: list[list[str]] = []
    command(seen.append)
    assert run(["fake", "a", "--b", "3"]) == 0
    assert seen == [["a", "--b", "3"]]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CatalogError("catalog.parquet is empty"), 1, "error: catalog.parquet is empty\n"),
        (VideoError("a.mp4", "no video stream"), 1, "error: a.mp4: no video stream\n"),
        (FileNotFoundError(2, "No such file or directory", "x"), 1, "No such file or directory: 'x'"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (ValueError("top_k must be at least 1, got 0"), 2, "error: top_k must be at least 1, got 0\n"),
        (VideoError("\x1b[31ma\x9b.mp4", "bad\nline"), 1, "error: ?[31ma?.mp4: bad\nline\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_goes_wrong_is_explained_on_the_error_stream(
    error: BaseException, code: int, message: str, command: Callable[[Command], None], capsys: Capture
) -> None:
    command(raising(error))
    assert run(["fake"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("status", "code"), [(None, 0), (0, 0), (2, 2), (3, 3), ("why", 1)])
def test_an_exit_inside_a_command_keeps_its_code(
    status: int | str | None, code: int, command: Callable[[Command], None], capsys: Capture
) -> None:
    command(raising(SystemExit(status)))
    assert run(["fake"]) == code
    assert capsys.readouterr().err == ("why\n" if status == "why" else "")


def test_a_command_that_prints_for_nobody_is_no_error(
    command: Callable[[Command], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Inside a command the closed pipe shows when it prints."""
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        command(raising(BrokenPipeError(32, "Broken pipe")))
        assert run(["fake"]) == 1


def test_a_missing_package_is_named(command: Callable[[Command], None], capsys: Capture) -> None:
    command(raising(ModuleNotFoundError("No module named 'rich'", name="rich")))
    assert run(["fake"]) == 1
    assert "error: the package 'rich' is missing; `pip install rich`" in capsys.readouterr().err


@pytest.mark.parametrize("bug", [ZeroDivisionError("bug"), ModuleNotFoundError("bug", name="unreel.dta")])
def test_a_bug_shows_itself(bug: Exception, command: Callable[[Command], None]) -> None:
    command(raising(bug))
    with pytest.raises(type(bug), match="bug"):
        run(["fake"])


def test_main_leaves_with_the_exit_code(
    command: Callable[[Command], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(raising(ValueError("wrong")))
    monkeypatch.setattr(sys, "argv", ["unreel", "fake"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2


def test_help_imports_nothing_heavy() -> None:
    """What keeps `unreel --help` under half a second: torch alone takes longer."""
    code = f"""
import json, sys
from unreel.cli.main import run
run(["--help"])
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unreel", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"unreel {__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """``unreel --help | head -0``: the pipe is closed before the text is written."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", "from unreel.cli.main import main; main(['--help'])"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert done.returncode == 1
    assert done.stderr == ""


def test_every_command_has_its_module() -> None:
    folder = Path(sys.modules["unreel.cli.main"].__file__ or "").parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "main", "terminal"}
    assert {module for module, _ in COMMANDS.values()} <= modules


def test_waiting_threads_sleep_unless_the_user_wants_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert run(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert run(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
