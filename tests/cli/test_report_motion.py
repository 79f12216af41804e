import json
from pathlib import Path

import pytest

from tests.data.motion_tables import CONFIG, make_table
from unreel.cli.main import run
from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.motion_table import attach_motion
from unreel.data.targeted_clips import TargetedClips
from unreel.report.motion_view import view_motion

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a catalog and the motion of its videos, the current one."""
    catalog = Catalog.load(corpus)
    catalog.save(tmp_path / "c.parquet")
    paths = catalog.table["path"].to_pylist()
    motion = {path: [float(number)] for number, path in enumerate(paths)} | {"05.mp4": None}
    make_table(catalog, motion).save(tmp_path / "c.motion.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(words: str) -> int:
    return run(f"report motion --catalog c.parquet {words}".split())


def test_picture_and_numbers_are_written_and_told(folder: Path, capsys: Capture) -> None:
    assert report("--out m.png --data m.json --video 03.mp4 --num-frames 3 --frame-stride 2") == 0
    assert (folder / "m.png").read_bytes().startswith(b"\x89PNG")
    values = json.loads((folder / "m.json").read_text())
    assert (values["figure"], values["video"], values["motion"]) == ("motion", "03.mp4", [3.0])
    assert values["probabilities"] == [1.0]
    clips = [clip["frames"] for clip in values["clips"]]
    assert len(clips) == 3
    assert all(clip == [clip[0], clip[0] + 2, clip[0] + 4] for clip in clips)  # of the only window
    assert values["settings"]["measured"] == config_to_dict(CONFIG)
    assert values["settings"]["clips"] == config_to_dict(TargetedClips(3, 2))
    assert values["settings"]["catalog_hash"] == Catalog.load(folder / "c.parquet").hash
    text = capsys.readouterr().out
    for words in (
        "Figure m.png",
        "03.mp4 (",
        "frame_difference at 32 pixels",
        "1, as uncertain as 1.0",
        "m.json",
    ):
        assert words in text


def test_the_command_does_what_the_library_does(folder: Path, capsys: Capture) -> None:
    assert report("--video 02.mp4 --beta inf --seed 3 --num-clips 4 --num-pictures 1 --json") == 0
    values = json.loads(capsys.readouterr().out)
    catalog = Catalog.load(folder / "c.parquet")
    video = attach_motion(catalog, TargetedClips()).video(2)
    expected = view_motion(
        video,
        "02.mp4",
        TargetedClips(beta=float("inf")),
        num_clips=4,
        num_pictures=1,
        seed=3,
        settings=values["settings"],
    )
    assert values == expected.to_json()
    assert (folder / "motion.png").exists()


def test_another_table_can_be_named(folder: Path, capsys: Capture) -> None:
    (folder / "c.motion.parquet").rename(folder / "other.parquet")
    assert report("--motion other.parquet --video 02.mp4") == 0
    assert report("--video 02.mp4") == 1
    assert "c.motion.parquet: there is no table of motion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--video nothing.mp4", 1, "the catalog has no video 'nothing.mp4'"),
        ("--video 05.mp4", 1, "could be measured"),
        ("--beta 0", 2, "beta must be positive, got 0.0"),
        ("--num-pictures 0", 2, "num_pictures must be at least 1"),
        ("--out m.pdf", 2, "must end in .png or .svg"),
        ("--out m.png --data m.png", 2, "--out and --data name the same file"),
        ("--out /proc/m.png", 2, "--out /proc/m.png cannot be written"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    words: str, code: int, message: str, folder: Path, capsys: Capture
) -> None:
    assert report(words) == code
    assert message in capsys.readouterr().err
    assert not list(folder.glob("*.png"))
