import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.data.scan_samples import run_jobs_here
from unreel.cli.main import run
from unreel.cli.motion import Arguments, _suggest, describe_summary
from unreel.data import motion as module
from unreel.data.catalog import Catalog
from unreel.data.motion import MotionSummary
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import MotionTable, name_table
from unreel.recipes.find import find_recipe

Capture = pytest.CaptureFixture[str]
FAST = "--backend frame_difference --size 32 --num-workers 1"


@pytest.fixture
def folder(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the corpus and its catalog, the current one; measuring happens in this process."""
    monkeypatch.setattr(module, "run_jobs", run_jobs_here)
    shutil.copytree(corpus.parent, tmp_path / "c")
    name_table(tmp_path / "c" / corpus.name).unlink()
    monkeypatch.chdir(tmp_path / "c")
    return tmp_path / "c"


def motion(words: str = "") -> int:
    return run(f"motion --catalog catalog.parquet --root . {FAST} {words}".split())


def test_the_table_lies_beside_the_catalog_and_the_summary_says_what_comes_next(
    folder: Path, capsys: Capture
) -> None:
    assert motion() == 0
    captured = capsys.readouterr()
    for words in (
        "Motion catalog.motion.parquet",
        "12 = 12 measured + 0 unchanged + 0 rejected",
        "1.0 per video, as uncertain as 1.0 at beta 5",
        "unreel report motion --catalog catalog.parquet --root . --out motion.png",
        "unreel pretrain scvrl.kinetics400 --data.catalog catalog.parquet --method.clips.beta 5 --run",
    ):
        assert words in captured.out
    assert "Measuring: 10/10 s of video" in captured.err
    assert "12 of 12 videos" in captured.err
    table = MotionTable.load(folder / "catalog.motion.parquet")
    assert table.rows["id"].to_pylist() == Catalog.load(folder / "catalog.parquet").ids
    assert table.config == MotionConfig("frame_difference", 32)
    assert motion() == 0
    assert "12 = 0 measured + 12 unchanged + 0 rejected" in capsys.readouterr().out


def test_every_flag_reaches_the_measurement(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    seen: list[dict[str, Any]] = []

    def note_and_run(work: str, jobs: Any, **options: Any) -> Any:
        seen.append({**jobs[0], **options, "jobs": len(jobs)})
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(module, "run_jobs", note_and_run)
    words = (
        "--out o/m.parquet --rejected r.csv --window-sec 0.2 --pairs-per-sec 5 --time-limit-sec 9 --beta 2"
    )
    assert motion(words) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "4.0 per video" in output
    assert "report motion --catalog catalog.parquet --root . --motion o/m.parquet --out motion.png" in output
    assert "--data.catalog catalog.parquet --data.motion o/m.parquet --method.clips.beta 2 --run" in output
    assert motion(f"{words} --fresh") == 0
    assert (folder / "r.csv").exists()
    assert [call["jobs"] for call in seen] == [12, 12]
    assert (seen[0]["num_workers"], seen[0]["time_limit_sec"]) == (1, 11.0)
    assert seen[0]["config"] == {
        "backend": "frame_difference",
        "size": 32,
        "window_sec": 0.2,
        "pairs_per_sec": 5.0,
    }
    assert MotionTable.load(folder / "o" / "m.parquet").window_sec == 0.2


def test_json_is_all_there_is_on_the_standard_output(folder: Path, capsys: Capture) -> None:
    (folder / "03.mp4").unlink()
    assert motion("--json --beta inf") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["videos"], values["measured"], values["rejected"]) == (12, 11, 1)
    assert values["out"] == "catalog.motion.parquet"
    assert values["rejected_path"] == "catalog.motion.rejected.csv"
    assert values["config"]["size"] == 32


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--catalog nowhere.parquet", 1, "nowhere.parquet: there is no catalog"),
        ("--size 9", 2, "size must lie between 32 and 256 pixels, got 9"),
        ("--beta 0", 2, "beta must be positive, got 0.0"),
        ("--num-workers 0", 2, "num_workers must be at least 1"),
        ("--backend raft", 2, "invalid choice 'raft'"),
        ("--out catalog.parquet", 2, "--out names the same file as --catalog"),
        ("--out x.csv --rejected ./x.csv", 2, "--out and --rejected name the same file"),
        ("--out /proc/m.parquet", 2, "--out /proc/m.parquet cannot be written"),
    ],
)
def test_what_goes_wrong_is_said_and_sets_the_exit_code(
    words: str, code: int, message: str, folder: Path, capsys: Capture
) -> None:
    assert motion(words) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (folder / "catalog.motion.parquet").exists()


def test_another_way_of_measuring_is_refused_until_it_is_wanted(folder: Path, capsys: Capture) -> None:
    assert motion() == 0
    capsys.readouterr()
    assert motion("--size 48") == 1
    assert "was measured with size 32 and not 48" in " ".join(capsys.readouterr().err.split())
    assert motion("--size 48 --fresh") == 0
    assert MotionTable.load(folder / "catalog.motion.parquet").config.size == 48


def test_the_recipe_to_train_with_draws_its_clips_by_motion() -> None:
    _, train = _suggest(Arguments(catalog=Path("my videos.parquet"), beta=0.5))
    _, _, recipe, *settings = shlex.split(train)
    assert settings[:4] == ["--data.catalog", "my videos.parquet", "--method.clips.beta", "0.5"]
    assert find_recipe(recipe)().method.clips.needs_motion


def test_when_no_video_can_be_measured_it_is_a_failure(folder: Path, capsys: Capture) -> None:
    for path in folder.glob("*.mp4"):
        path.unlink()
    assert motion() == 1
    assert "not one of the 12 videos could be measured" in " ".join(capsys.readouterr().err.split())


def test_an_interrupted_measurement_says_how_to_go_on(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_jobs", interrupt)
    assert motion() == 130
    assert "the same command without --fresh goes on from there" in capsys.readouterr().err


def test_the_summary_shows_the_five_most_frequent_reasons_and_what_motion_says() -> None:
    summary = MotionSummary(
        out=Path("m.parquet"),
        rejected_path=Path("m.rejected.csv"),
        videos=40,
        measured=7,
        reused=5,
        rejected=28,
        dropped=3,
        reasons={f"reason {letter}": count for letter, count in zip("gfedcba", range(7, 0, -1), strict=True)},
        seconds_of_video=3600.0,
        windows=10.0,
        effective_windows=9.6,
        beta=5.0,
        quantiles=(0.0, 1.25, 2.0, 3.5, 16.0),
        seconds=60.0,
    )
    assert describe_summary(summary) == {
        "videos": "40 = 7 measured + 5 unchanged + 28 rejected",
        "rejected": "listed in m.rejected.csv",
        "reason 1": "7 x reason g",
        "reason 2": "6 x reason f",
        "reason 3": "5 x reason e",
        "reason 4": "4 x reason d",
        "reason 5": "3 x reason c",
        "more reasons": "2 more in the list",
        "dropped": "3 of the earlier table are not in the catalog",
        "motion": "0 to 16, half of the windows 1.25 to 3.5, median 2",
        "windows": "10.0 per video, as uncertain as 9.6 at beta 5; motion hardly plays a role, a smaller "
        "beta prefers it more",
        "video": "1 h 0 min measured, 60.0 s per second",
        "time": "1 min 0 s",
    }
