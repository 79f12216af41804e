import json
from pathlib import Path

import pytest

from tests.evaluate.test_predict_segments import build_localizer
from tests.features.tiny import build_encoder
from tests.features.tiny_classifier import build_classifier
from unreel.cli.main import run
from unreel.cli.predict_segments import is_localizer

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an encoder and a run of a localiser that learned from it."""
    folder = tmp_path_factory.mktemp("models")
    encoder = build_encoder()
    encoder.save(folder / "pretrained" / "encoder")
    build_localizer(encoder).save(folder / "bmn" / "localizer")
    build_classifier().save(folder / "tuned" / "classifier")
    return folder


def predict(source: Path, models: Path, *words: str) -> int:
    needed = ["--model", str(models / "bmn"), "--encoder", str(models / "pretrained" / "encoder")]
    return run(["predict", str(source), *needed, "--num-workers", "0", "--device", "cpu", *words])


def test_stretches_are_shown_and_kept(models: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "segments.csv"
    assert predict(corpus, models, "--split", "test", "--top", "2", "--out", str(out)) == 0
    captured = capsys.readouterr()
    assert "Where bmn/localizer sees something" in captured.out
    assert "3 looked at, 0 rejected" in captured.out
    assert "vectors of pretrained/encoder" in captured.out
    assert "Segments " in captured.out
    assert out.read_text().startswith("video_id,path,start_sec,end_sec,score\n")
    assert 3 <= len(out.read_text().splitlines()) - 1 <= 6


def test_json_is_printed(models: Path, corpus: Path, capsys: Capture) -> None:
    assert predict(corpus.parent / "05.mp4", models, "--json", "--top", "1") == 0
    values = json.loads(capsys.readouterr().out)
    assert len(values["videos"][0]["segments"]) == 1


def test_many_videos_are_not_all_shown(
    models: Path, corpus: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.cli.predict_segments._VIDEOS_SHOWN", 2)
    assert predict(corpus, models, "--split", "test", "--top", "1") == 0
    out = capsys.readouterr().out
    assert "1 more videos; --out FILE.csv has all" in out
    assert "11.mp4" not in out


def test_a_file_that_is_no_video_is_a_failure(models: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert predict(tmp_path / "text.mp4", models) == 1
    error = capsys.readouterr().err
    assert "rejected text.mp4" in error
    assert "none of the videos can be used" in error


def test_what_cannot_be_done_is_refused(models: Path, corpus: Path, capsys: Capture) -> None:
    assert run(["predict", str(corpus), "--model", str(models / "bmn")]) == 2
    assert "give --encoder, the folder that `unreel localize features` was given" in capsys.readouterr().err
    assert predict(corpus, models, "--out", "segments.parquet") == 2
    assert "must end in .csv or .json" in capsys.readouterr().err
    assert predict(corpus, models, "--encoder", str(models / "tuned")) == 1
    assert "learned from vectors of" in capsys.readouterr().err


def test_localizers_are_known_by_their_file(models: Path) -> None:
    assert is_localizer(models / "bmn")
    assert is_localizer(models / "bmn" / "localizer")
    assert not is_localizer(models / "tuned")
    assert not is_localizer(models / "absent")
