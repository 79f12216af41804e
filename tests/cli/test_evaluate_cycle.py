import json
import shutil
from pathlib import Path

import pytest

from tests.cli.feature_files import FeatureFiles, write_feature_files
from tests.features.tiny import build_encoder
from unreel.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureFiles:
    return write_feature_files(corpus, tmp_path_factory.mktemp("files"))


def evaluate(files: FeatureFiles, *words: str) -> int:
    needed = ["--encoder", str(files.encoder), "--catalog", str(files.catalog)]
    small = ["--clips-per-video", "2", "--num-workers", "0", "--device", "cpu"]
    return run(["evaluate", "cycle", *needed, *small, *words])


def test_all_tasks_are_shown_and_kept(files: FeatureFiles, tmp_path: Path, capsys: Capture) -> None:
    assert evaluate(files, "--out", str(tmp_path / "c.json"), "--ks", "1", "--cycle-ks", "1", "2") == 0
    captured = capsys.readouterr()
    for words in ("Task A, frame to clip", "Task B, clip to frame", "Task C, frame to frame", "c.json"):
        assert words in captured.out
    assert "24 queries, 6 in the gallery" in captured.out
    assert "12/12 videos" in captured.err
    assert "one moment per clip" not in captured.err
    values = json.loads((tmp_path / "c.json").read_text())
    assert set(values["tasks"]["frame_to_video"]["recall"]) == {"1", "2"}
    assert values["tasks"]["video_to_video"]["queries"] == 6


def test_json_stands_alone_on_the_standard_output(files: FeatureFiles, capsys: Capture) -> None:
    assert evaluate(files, "--json", "--average") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["settings"]["is_averaged"] is True
    assert values["tasks"]["frame_to_frame"]["queries"] == 3


def test_rejected_videos_and_missing_labels_are_announced(
    files: FeatureFiles, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    (tmp_path / "copy" / "01.mp4").unlink()
    words = ["--root", str(tmp_path / "copy"), "--max-rejected-fraction", "0.1"]
    assert evaluate(files, *words) == 0
    captured = capsys.readouterr()
    assert "11 used, 1 rejected" in captured.out
    assert "01.mp4" in captured.err
    assert evaluate(files, *words, "--json") == 0
    captured = capsys.readouterr()
    assert captured.err.count("01.mp4") == 1
    assert json.loads(captured.out)["videos"] == 11
    assert evaluate(files, "--root", str(tmp_path / "copy")) == 1


def test_a_network_with_one_moment_per_clip_is_announced(
    files: FeatureFiles, tmp_path: Path, capsys: Capture
) -> None:
    build_encoder().save(tmp_path / "encoder")
    assert evaluate(files, "--encoder", str(tmp_path / "encoder")) == 0
    assert "one moment per clip" in capsys.readouterr().err


def test_without_labels_the_tasks_by_class_are_left_out_with_a_word(
    files: FeatureFiles, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(["scan", str(corpus.parent), "--out", str(tmp_path / "c.parquet"), "--num-workers", "1"]) == 0
    assert evaluate(files, "--catalog", str(tmp_path / "c.parquet")) == 0
    captured = capsys.readouterr()
    assert "Task C, clip to clip of its class: left out, since no video has a label" in captured.err
    assert "Task A, frame to clip" in captured.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--encoder", "absent"], 1, "absent holds no encoder"),
        (["--encoder", "absent", "--out", "."], 2, "--out . is a folder"),
        (["--max-rejected-fraction", "-1"], 2, "max_rejected_fraction must be between 0 and 1"),
        (["--query-split", "val"], 1, "no split 'val'"),
        (["--cycle-ks", "0"], 2, "ks must be one or more positive numbers"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    files: FeatureFiles, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(files, *words) == code
    assert message in capsys.readouterr().err
