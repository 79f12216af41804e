import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.data.scan_samples import run_jobs_here
from unreel.cli import prepare as command
from unreel.cli.main import run
from unreel.cli.prepare import ask, describe_summary
from unreel.data import prepare_estimate, prepare_jobs
from unreel.data.catalog import Catalog
from unreel.data.prepare import Estimate, PrepareSummary

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the corpus in `v` and its catalog, the current one; copies are made in this process."""
    monkeypatch.setattr(prepare_jobs, "run_jobs", run_jobs_here)
    monkeypatch.setattr(prepare_estimate, "run_jobs", run_jobs_here)
    shutil.copytree(corpus.parent, tmp_path / "v")
    shutil.move(tmp_path / "v" / corpus.name, tmp_path / "catalog.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(words: str = "") -> int:
    return run(f"prepare --catalog catalog.parquet --root v --out p --num-workers 1 {words}".split())


def test_the_estimate_comes_first_and_the_summary_says_what_comes_next(folder: Path, capsys: Capture) -> None:
    assert prepare("--verify") == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines()[0].startswith("copies of 12 videos of ")
    assert ", by a sample of 12; " in captured.err
    assert "Preparing: 10/10 s of video" in captured.err
    for words in (
        "Copies p/catalog.parquet",
        "12 = 12 prepared + 0 unchanged + 0 rejected",
        "12 copies, the least alike picture with ",
        "unreel pretrain moco.small --data.catalog p/catalog.parquet --run runs/first",
    ):
        assert words in captured.out
    copies = Catalog.load(folder / "p" / "catalog.parquet")
    assert copies.ids == Catalog.load(folder / "catalog.parquet").ids
    assert all(video.path.is_file() for video in copies)
    assert prepare() == 0
    captured = capsys.readouterr()
    assert "12 = 0 prepared + 12 unchanged + 0 rejected" in captured.out
    assert "copies of" not in captured.err


def test_every_flag_reaches_the_copies(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    seen: list[dict[str, Any]] = []

    def note_and_run(work: str, jobs: Any, **options: Any) -> Any:
        seen.append({**jobs[0], **options})
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(prepare_jobs, "run_jobs", note_and_run)
    words = "--short-side 16 --width 20 --fps 5 --gop 4 --crf 30 --time-limit-sec 9 --yes --verify"
    assert prepare(words) == 0
    assert seen[0]["config"] == {
        "short_side": 16,
        "width": 20,
        "fps": 5.0,
        "format": "h264",
        "gop": 4,
        "crf": 30,
    }
    assert (seen[0]["num_workers"], seen[0]["time_limit_sec"], seen[0]["verify"]) == (1, 29.0, True)
    video = Catalog.load(folder / "p" / "catalog.parquet").video(0)
    assert (video.height, video.width, video.frames, video.fps) == (16, 20, 4, pytest.approx(5))
    capsys.readouterr()
    assert prepare() == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "its copies were made with short_side 16 and not 128, width 20 and not 0, fps 5.0" in message


def test_json_is_all_there_is_on_the_standard_output(folder: Path, capsys: Capture) -> None:
    (folder / "v" / "03.mp4").unlink()
    assert prepare("--json --format raw") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["videos"], values["prepared"], values["rejected"]) == (12, 11, 1)
    assert (values["out"], values["rejected_path"]) == ("p/catalog.parquet", "p/rejected.csv")
    assert values["config"]["format"] == "raw"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--catalog nowhere.parquet", 1, "nowhere.parquet: there is no catalog"),
        ("--short-side 127", 2, "short_side must be an even number of pixels, at least 2, got 127"),
        ("--format raw --crf 3", 2, "crf = 3 are of h264, and format is raw"),
        ("--num-workers 0", 2, "num_workers must be at least 1"),
        ("--format mjpeg", 2, "invalid choice 'mjpeg'"),
        ("--out v", 1, "originals lie in"),
        ("--out .", 2, "--out names the same file as --catalog"),
        ("--out /proc/p", 2, "--out /proc/p/catalog.parquet cannot be written"),
    ],
)
def test_what_goes_wrong_is_said_and_sets_the_exit_code(
    words: str, code: int, message: str, folder: Path, capsys: Capture
) -> None:
    assert prepare(words) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (folder / "p").exists()


def test_when_no_video_can_be_prepared_it_is_a_failure(folder: Path, capsys: Capture) -> None:
    for path in (folder / "v").glob("*.mp4"):
        path.unlink()
    assert prepare() == 1
    assert "not one of the 12 videos could be prepared" in " ".join(capsys.readouterr().err.split())


def test_an_interrupted_run_says_how_to_go_on(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_jobs, "run_jobs", interrupt)
    assert prepare() == 130
    assert "the copies made so far are kept; the same command goes on from there" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(command.sys, "stdin", Terminal(answer))
    assert prepare() == code
    captured = capsys.readouterr().err
    assert "Go on? [y/N]" in captured
    assert ("the estimate was not accepted" in captured) == bool(code)
    assert (folder / "p").exists() == (not code)


def test_yes_and_scripts_are_not_asked(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.sys, "stdin", Terminal("n\n"))
    assert prepare("--yes") == 0
    assert "Go on?" not in capsys.readouterr().err
    assert ask(Estimate(1, 10, 20, 0, 30, folder), is_asked=False)
    assert capsys.readouterr().err == (
        f"copies of 1 videos of 10 bytes take about 20 bytes; 30 bytes are free for {folder}\n"
    )


def test_the_summary_shows_the_five_most_frequent_reasons_and_what_was_odd() -> None:
    summary = PrepareSummary(
        out=Path("p/catalog.parquet"),
        rejected_path=Path("p/rejected.csv"),
        videos=40,
        prepared=7,
        reused=5,
        rejected=28,
        dropped=3,
        touched=2,
        reasons={f"reason {letter}": count for letter, count in zip("gfedcba", range(7, 0, -1), strict=True)},
        seconds_of_video=3600.0,
        original_bytes=17_000_000,
        copy_bytes=7_000_000,
        verified=12,
        least_psnr=31.25,
        seconds=60.0,
    )
    assert describe_summary(summary) == {
        "videos": "40 = 7 prepared + 5 unchanged + 28 rejected",
        "rejected": "listed in p/rejected.csv",
        "reason 1": "7 x reason g",
        "reason 2": "6 x reason f",
        "reason 3": "5 x reason e",
        "reason 4": "4 x reason d",
        "reason 5": "3 x reason c",
        "more reasons": "2 more in the list",
        "dropped": "3 copies in the folder are of videos that the catalog lacks",
        "touched": "2 originals were written at another time than scanned, with the same size and "
        "timestamps; scan again if they were changed",
        "verified": "12 copies, the least alike picture with 31.2 dB",
        "size": "7.0 MB, 0.41 of the originals' 17 MB",
        "video": "1 h 0 min read, 60.0 s per second",
        "time": "1 min 0 s",
    }
