import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.scan_samples import run_jobs_here, write_clip
from tests.features.tiny import build_encoder
from unreel.cli.index_watch import WatchDisplay
from unreel.cli.main import run
from unreel.data import scan
from unreel.search.folder_watcher import WatchStatus
from unreel.search.index_store import IndexStore

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    build_encoder().save(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "jump/b.mp4"):
        write_clip(tmp_path / "videos" / name)
    return tmp_path / "videos"


def words(encoder: Path, *more: str) -> list[str]:
    reading = ["--device", "cpu", "--num-workers", "0", "--clips-per-video", "2"]
    times = ["--settle-sec", "0.05", "--interval-sec", "0.02"]
    return ["index", "--encoder", str(encoder), "--watch", "videos/", *reading, *times, *more]


@pytest.mark.usefixtures("folder")
def test_once_brings_an_index_in_line_and_says_what_it_did(encoder: Path, capsys: Capture) -> None:
    Path("videos/bad.mp4").write_text("no video")
    assert run(words(encoder, "--once", "--labels", "from-folders")) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert lines[0] == "watching videos/: 0 videos, 3 waiting, 0 rejected"
    assert lines[1][8:] == " added 2: a.mp4, jump/b.mp4"
    assert lines[2][8:].startswith(" rejected bad.mp4: ")
    assert len(lines) == 3
    assert "2 added, 0 replaced, 0 dropped" in out
    assert "1 files; videos.index.rejected.csv lists those" in out
    assert "unreel search VIDEO --index videos.index" in out
    assert run(["index", "--status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_labels"] == 1


@pytest.mark.usefixtures("folder")
def test_the_summary_comes_as_json(encoder: Path, capsys: Capture) -> None:
    assert run(words(encoder, "--once", "--json")) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["videos"], values["added"], values["out"]) == (2, 2, "videos.index")


def test_all_that_is_gone_at_once_stays_unless_it_is_allowed(
    encoder: Path, folder: Path, capsys: Capture
) -> None:
    assert run(words(encoder, "--once")) == 0
    for path in folder.rglob("*.mp4"):
        path.unlink()
    assert run(words(encoder, "--once")) == 0
    out, err = capsys.readouterr()
    assert "all 2 videos are gone" in err
    assert "0 dropped" in out
    assert run(words(encoder, "--once", "--allow-empty")) == 0
    out, err = capsys.readouterr()
    assert "dropped 2: a.mp4, jump/b.mp4" in err
    assert "2 dropped" in out
    assert "Next:" not in out.split("2 dropped")[1]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["index", "--watch", "videos"], "--watch embeds what arrives; say with what"),
        (["index", "--watch", "videos", "--status"], "--status and --watch are two jobs"),
        (["index", "--watch", "v", "--encoder", "e", "--catalog", "c"], "leave out --catalog"),
        (["index", "--watch", "v", "--encoder", "e", "--prune"], "leave out --prune"),
        (["index", "--watch", "v", "--encoder", "e", "--split", "train"], "leave out --split"),
        (["index", "--encoder", "e", "--catalog", "c", "--once"], "--once goes with --watch"),
        (["index", "--status", "--settle-sec", "2"], "--settle-sec goes with --watch"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(argv: list[str], message: str, capsys: Capture) -> None:
    assert run(argv) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_missing_folder_is_named(encoder: Path, capsys: Capture) -> None:
    assert run([*words(encoder)[:4], "nowhere", "--device", "cpu"]) == 1
    assert "nowhere: there is no such folder" in capsys.readouterr().err


def count_videos() -> int:
    with IndexStore.open(Path("videos.index")).read() as reader:
        return reader.count_videos()


def wait_until(is_true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_watch_with_a_summary(
    encoder: Path, folder: Path, capsys: Capture, number: signal.Signals
) -> None:
    """Sent when the two videos are in the index and the loop waits."""
    before = signal.getsignal(number)

    def send() -> None:
        wait_until(lambda: Path("videos.index").exists() and count_videos() == 2)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    assert run(words(encoder)) == 0
    sender.join()
    assert "2 added, 0 replaced, 0 dropped" in capsys.readouterr().out
    assert signal.getsignal(number) == before
    assert not Path("videos.index.lock").exists()


def test_ctrl_c_on_a_terminal_ends_the_whole_group_with_a_summary(encoder: Path, folder: Path) -> None:
    """A real terminal: the line is kept up to date, and the workers that decode get the signal as well."""
    leader, follower = pty.openpty()
    argv = [*words(encoder), "--num-workers", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "unreel", *argv],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    shown = b""
    while b"last change" not in shown:
        assert select.select([leader], [], [], 60)[0], shown
        shown += os.read(leader, 4096)
    os.killpg(process.pid, signal.SIGINT)
    shown += read_rest(leader)
    os.close(leader)
    assert process.wait(timeout=30) == 0
    assert b"watching videos/: 2 videos, 0 waiting, 0 rejected; last change " in shown
    assert b"2 added, 0 replaced, 0 dropped" in shown
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def read_rest(leader: int) -> bytes:
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:  # how a terminal ends
        pass
    return shown


def test_a_long_round_of_work_is_told_now_and_then(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("unreel.cli.index_watch.time.monotonic", lambda: now[0])
    with WatchDisplay(Path("videos")) as display:
        display.report(WatchStatus(1, 0, 0, 0))
        for second in range(1, 25):
            now[0] = float(second)
            display.advance(second, 24, "1 rejected" if second > 15 else "")
        display.report(WatchStatus(2, 0, 1, 0, ("added 1: x\x1b[31m.mp4",)))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "watching videos/: 1 videos, 0 waiting, 0 rejected",
        "watching videos/: 10/24 files",
        "watching videos/: 20/24 files, 1 rejected",
    ]
    assert lines[3][8:] == " added 1: x?[31m.mp4"
    assert len(lines) == 4
