import json
import shutil
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.evaluate.test_linear_clips import build_linear
from tests.features.tiny import build_encoder
from tests.features.tiny_classifier import build_classifier
from unreel.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a fine-tuned run, an encoder and a linear classifier on it."""
    folder = tmp_path_factory.mktemp("models")
    build_classifier(average="logits").save(folder / "run" / "classifier")
    encoder = build_encoder()
    encoder.save(folder / "encoder")
    build_linear(encoder).save(folder / "svm.safetensors")
    return folder


def predict(source: Path, *words: str) -> int:
    return run(["predict", str(source), "--num-workers", "0", "--device", "cpu", *words])


def test_a_single_file_is_told_with_its_likeliest_classes(
    models: Path, corpus: Path, capsys: Capture
) -> None:
    assert predict(corpus.parent / "02.mp4", "--model", str(models / "run"), "--top", "2") == 0
    captured = capsys.readouterr()
    assert "What run/classifier sees" in captured.out
    rows = [line for line in captured.out.splitlines() if "speed" in line and "│" in line]
    assert len(rows) == 2
    assert "02.mp4" in rows[0]
    assert "02.mp4" not in rows[1]
    shares = [float(row.split("│")[4]) for row in rows]
    assert 1 >= shares[0] >= shares[1] >= 0
    assert "1 classified, 0 rejected" in captured.out
    assert "2 clips x center crop, logits averaged" in captured.out
    assert "Next:" not in captured.out


def test_a_catalog_with_labels_can_be_measured_next(models: Path, corpus: Path, capsys: Capture) -> None:
    assert predict(corpus, "--model", str(models / "run" / "classifier"), "--split", "test") == 0
    out = capsys.readouterr().out
    assert "3 classified, 0 rejected" in out
    assert f"unreel evaluate recognition --model {models / 'run' / 'classifier'} --catalog {corpus}" in out


@pytest.mark.parametrize("name", ["found.csv", "found.parquet", "found.json"])
def test_files_have_all_classes(
    models: Path, corpus: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    out = tmp_path / name
    assert predict(corpus, "--model", str(models / "run"), "--top", "1", "--out", str(out)) == 0
    assert f"Predictions {out}" in capsys.readouterr().out
    if name.endswith("json"):
        videos = json.loads(out.read_text())["videos"]
        assert len(videos) == 12
        assert all(sum(video["scores"].values()) == pytest.approx(1) for video in videos)
        return
    table = pa_csv.read_csv(out) if name.endswith("csv") else pq.read_table(out)
    assert table.num_rows == 12
    assert table.column_names[5:] == ["probability:speed0", "probability:speed1", "probability:speed2"]


def test_json_on_the_standard_output_has_the_likeliest(models: Path, corpus: Path, capsys: Capture) -> None:
    assert predict(corpus.parent / "03.mp4", "--model", str(models / "run"), "--json", "--top", "1") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["kind"] == "probability"
    assert len(values["videos"][0]["scores"]) == 1
    assert values["videos"][0]["path"] == "03.mp4"


def test_many_videos_are_not_all_shown(
    models: Path, corpus: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.cli.predict._VIDEOS_SHOWN", 5)
    assert predict(corpus, "--model", str(models / "run")) == 0
    out = capsys.readouterr().out
    assert "04.mp4" in out
    assert "05.mp4" not in out
    assert "7 more videos; --out FILE.csv has all" in out


def test_a_broken_video_is_listed_and_only_a_failure_of_all_is_one(
    models: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert predict(tmp_path, "--model", str(models / "run"), "--out", str(tmp_path / "a.json")) == 1
    captured = capsys.readouterr()
    assert "rejected text.mp4: " in captured.err
    assert "error: none of the videos can be used" in captured.err
    assert json.loads((tmp_path / "a.json").read_text())["rejected"][0]["path"] == "text.mp4"
    shutil.copy(corpus.parent / "00.mp4", tmp_path / "good.mp4")
    assert predict(tmp_path, "--model", str(models / "run")) == 0
    captured = capsys.readouterr()
    assert "rejected text.mp4: " in captured.err
    assert "1 classified, 1 rejected" in captured.out


def test_a_linear_classifier_gives_scores_and_says_so(models: Path, corpus: Path, capsys: Capture) -> None:
    words = ("--encoder", str(models / "encoder"), "--classifier", str(models / "svm.safetensors"))
    assert predict(corpus, *words, "--clips", "2") == 0
    out = capsys.readouterr().out
    assert "larger for likelier classes, and no probability" in out
    assert "models0/encoder with a linear classifier" in out
    assert "2 clips" in out
    assert predict(corpus, *words, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["kind"], values["model"]["views"]["clips"]) == ("score", 10)
    assert predict(corpus, *words, "--crops", "three") == 2
    assert "--crops is for the classifier of a fine-tuned run" in capsys.readouterr().err


def test_a_localizer_is_asked_for_stretches_and_for_nothing_else(
    tmp_path: Path, corpus: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "localizer").mkdir()
    (tmp_path / "localizer" / "localizer.json").write_text("{}")
    asked = []
    monkeypatch.setattr("unreel.cli.predict.find_segments", lambda *given: asked.append(given[1:]) or 1)
    for folder in (tmp_path, tmp_path / "localizer"):
        assert predict(corpus, "--model", str(folder), "--encoder", "e") == 0
    assert asked == [(tmp_path, Path("e")), (tmp_path / "localizer", Path("e"))]
    for words, message in (
        (["--classifier", "c"], "finds stretches, not classes; leave --classifier out"),
        (["--clips", "3"], "--clips is for the classifier of a fine-tuned run"),
        (["--top", "0"], "--top must be at least 1"),
        (["--out", str(tmp_path / "localizer" / "localizer.json")], "is a file of --model"),
    ):
        assert predict(corpus, "--model", str(tmp_path), *words) == 2
        assert message in capsys.readouterr().err
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one classifier: --model RUN, or --encoder"),
        (["--encoder", "e"], "name one classifier"),
        (["--classifier", "c"], "name one classifier"),
        (["--model", "m", "--encoder", "e"], "name one classifier"),
        (["--model", "m", "--classifier", "c"], "name one classifier"),
        (["--model", "m", "--top", "0"], "--top must be at least 1, got 0"),
        (["--model", "m", "--out", "x.txt"], "--out x.txt must end in .json, .csv, .parquet"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    corpus: Path, capsys: Capture, words: list[str], message: str
) -> None:
    assert predict(corpus, *words) == 2
    assert message in capsys.readouterr().err


def test_what_is_not_there_is_refused(models: Path, corpus: Path, capsys: Capture) -> None:
    assert predict(corpus, "--model", "absent") == 1
    assert "absent holds no classifier" in capsys.readouterr().err
    assert predict(Path("absent.mp4"), "--model", str(models / "run")) == 1
    assert "absent.mp4: there is no such folder, list or video" in capsys.readouterr().err
    assert predict(corpus, "--model", str(models / "run"), "--out", str(corpus)) == 2
    assert "names the same file as the video" in capsys.readouterr().err


def test_help_has_examples(capsys: Capture) -> None:
    assert run(["predict", "--help"]) == 0
    assert "unreel predict video.mp4 --model runs/ucf" in capsys.readouterr().out
