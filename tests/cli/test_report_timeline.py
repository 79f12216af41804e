import json
from pathlib import Path

import pytest

from tests.cli.localization_files import LocalizationFiles, write_localization_files
from unreel.cli.main import run


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalizationFiles:
    return write_localization_files(corpus, tmp_path_factory.mktemp("files"))


def draw(files: LocalizationFiles, *words: str) -> int:
    inputs = ["--proposals", str(files.proposals), "--catalog", str(files.catalog)]
    return run(["report", "timeline", *inputs, *words])


def test_the_first_videos_of_the_test_split_are_drawn(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "t.png"), "--data", str(tmp_path / "t.json"), "--num-videos", "2"]
    assert draw(files, *words) == 0
    assert (tmp_path / "t.png").stat().st_size > 5000
    videos = json.loads((tmp_path / "t.json").read_text())["videos"]
    assert [video["path"] for video in videos] == ["03.mp4", "07.mp4"]
    assert all(len(video["proposals"]) == len(video["segments"]) == 2 for video in videos)
    text = capsys.readouterr().out
    assert "03.mp4, 07.mp4" in text
    assert "of which" in text


def test_videos_and_proposals_may_be_chosen(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--videos", "00.mp4", "05.mp4", "--top", "5", "--json", "--out", str(tmp_path / "t.svg")]
    assert draw(files, *words) == 0
    videos = json.loads(capsys.readouterr().out)["videos"]
    assert [(video["path"], len(video["proposals"])) for video in videos] == [("00.mp4", 5), ("05.mp4", 5)]
    assert (tmp_path / "t.svg").read_text().startswith("<?xml")


def test_what_cannot_be_drawn_is_refused(
    files: LocalizationFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw(files, "--out", str(tmp_path / "t.pdf")) == 2
    assert "must end in .png or .svg" in capsys.readouterr().err
    assert draw(files, "--out", str(tmp_path / "t.png"), "--videos", "gone.mp4") == 1
    assert "no video 'gone.mp4'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
