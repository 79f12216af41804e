"""A reader, or a process killed at any moment, never sees half of a file."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unreel import __version__, runs
from unreel.runs import (
    atomic_path,
    collect_provenance,
    read_json,
    remove_abandoned,
    write_json,
    write_text,
)

KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
from unreel.runs import atomic_path

with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of the new te")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def umask() -> Iterator[None]:
    previous = os.umask(0o022)
    yield
    os.umask(previous)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "report.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["report.txt"]


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "videos.index"
    for name in ("videos.index", "videos.index.csv", "other"):
        subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(tmp_path / name)], check=False)
    (tmp_path / ".videos.index.tmp").touch()
    assert len(os.listdir(tmp_path)) == 4
    remove_abandoned(path, older_than_sec=60)
    assert len(os.listdir(tmp_path)) == 4
    remove_abandoned(path)
    left = sorted(name.split(".")[-3] for name in os.listdir(tmp_path) if name != ".videos.index.tmp")
    assert left == ["csv", "other"]
    with atomic_path(path) as temporary:
        os.utime(temporary, (0, 0))
        remove_abandoned(path, older_than_sec=60)
        assert not temporary.exists()
        temporary.touch()


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    write_text(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.txt"]


def test_a_process_killed_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    write_text(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    # What was left behind is hidden and does not stand in the way of the next write.
    assert all(name.startswith(".report.txt.") for name in os.listdir(tmp_path) if name != "report.txt")
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.usefixtures("umask")
def test_a_file_gets_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "report.txt", "text")
    assert stat.S_IMODE((tmp_path / "report.txt").stat().st_mode) == 0o644


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    texts = [str(number) * 200_000 for number in range(4)]
    writers = [threading.Thread(target=write_text, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ["report.txt"]


def test_json_keeps_its_order_and_its_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"z": 1, "a": [1.5, None], "name": "Jürgen läuft"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["z", "a", "name"]
    assert "Jürgen läuft" in text
    assert text.endswith("}\n")


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def test_provenance_says_what_made_a_result() -> None:
    provenance = collect_provenance()
    assert provenance["unreel"] == __version__
    assert provenance["python"].split(".")[0] == "3"
    assert set(provenance["packages"]) == {"torch", "av", "numpy", "pyarrow"}
    assert provenance["cores"] >= 1
    assert provenance["processor"]
    assert provenance["command"] == sys.argv
    assert json.loads(json.dumps(provenance)) == provenance


def make_checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs.py believe that it lies in ``folder``, a repository with one commit."""
    module = folder / "src" / "unreel" / "runs.py"
    module.parent.mkdir(parents=True)
    module.write_text("one")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    monkeypatch.setattr(runs, "__file__", str(module))


def test_provenance_names_the_commit_and_marks_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkout(tmp_path, monkeypatch)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    commit = head.stdout.strip()
    assert collect_provenance()["commit"] == commit
    (tmp_path / "src" / "unreel" / "runs.py").write_text("two")
    assert collect_provenance()["commit"] == f"{commit}+changes"


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "site-packages" / "unreel" / "runs.py"))
    assert collect_provenance()["commit"] == ""


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_checkout(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert collect_provenance()["commit"] == ""


def test_the_processor_has_a_name_without_linux_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert runs._processor()


def test_a_package_that_is_missing_is_named_as_missing() -> None:
    assert runs._version("surely-not-a-package") == "not installed"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, "ü"]})
    assert read_json(tmp_path / "a.json") == {"b": [1, "ü"]}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "{", "9" * 5000])
def test_what_is_no_json_or_a_trap_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")
