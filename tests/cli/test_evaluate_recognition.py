import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.evaluate.test_recognition import READ, relabel
from tests.features.test_reading import break_video
from tests.features.tiny_classifier import build_classifier
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.evaluate.recognition import evaluate_recognition
from unreel.features.classifier import Classifier

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with a classifier."""
    folder = tmp_path_factory.mktemp("runs") / "ucf"
    build_classifier().save(folder / "classifier")
    return folder


def evaluate(model: Path, catalog: Path, *words: str) -> int:
    needed = ["--model", str(model), "--catalog", str(catalog), "--num-workers", "0", "--device", "cpu"]
    return run(["evaluate", "recognition", *needed, "--batch-size", "8", *words])


def test_the_result_is_shown_and_kept(model: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    out, scores = tmp_path / "result.json", tmp_path / "scores.parquet"
    assert evaluate(model, corpus, "--out", str(out), "--scores", str(scores)) == 0
    captured = capsys.readouterr()
    result = evaluate_recognition(Classifier.load(model), Catalog.load(corpus), read=READ)
    lines = [line.strip() for line in captured.out.splitlines()]
    assert lines[0] == "Recognition, 2 clips x center crop, probabilities averaged"
    for name, share in (
        ("top 1", result.accuracy.top1),
        ("mean over classes", result.accuracy.mean_class),
        ("macro F-measure", result.accuracy.macro_f_measure),
        ("chance", 1 / 3),
    ):
        row = next(line for line in lines if line.startswith(f"│ {name}"))
        assert f"{100 * share:.1f}" in row
    assert "tested on  3 videos of test" in lines
    assert f"unreel predict --model {model} VIDEO" in captured.out
    assert "rejected" not in captured.out
    assert "3/3 videos" in captured.err
    kept, expected = json.loads(out.read_text()), json.loads(json.dumps(result.to_json()))
    for values in (kept, expected):
        values.pop("seconds")
    assert kept == expected
    assert pq.read_table(scores).column_names[-1] == "probability:speed2"
    assert pq.read_table(scores).num_rows == 3


def test_flags_of_views_and_of_the_split_reach_the_library(
    model: Path, corpus: Path, capsys: Capture
) -> None:
    words = "--json --split train --clips 3 --num-frames 3 --crops ten --crop-px 12 --height 20 --width 24"
    assert evaluate(model, corpus, *words.split(), "--average", "logits", "--starts", "offset") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["settings"]["split"] == "train"
    assert values["settings"]["views"] == {
        "clips": 3,
        "num_frames": 3,
        "crops": "ten",
        "crop_px": 12,
        "height": 20,
        "width": 24,
        "average": "logits",
        "starts": "offset",
    }
    assert values["settings"]["input"]["sampling"] == "offset_clip"
    assert values["queries"] == 9


def test_the_run_and_its_classifier_are_the_same_model(model: Path, corpus: Path, capsys: Capture) -> None:
    results = []
    for folder in (model, model / "classifier"):
        assert evaluate(folder, corpus, "--json") == 0
        results.append({**json.loads(capsys.readouterr().out), "seconds": 0})
    assert results[0] == results[1]


def test_rejected_videos_and_unknown_labels_are_named(
    model: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    broken = break_video(corpus, tmp_path / "broken", "07.mp4")
    relabel(broken, v03="unheard", v11="").save(tmp_path / "catalog.parquet")
    words = ("--root", str(broken.root), "--max-rejected-fraction", "0.5")
    assert evaluate(model, tmp_path / "catalog.parquet", *words) == 0
    captured = capsys.readouterr()
    assert "does not know the label unheard: 1 of its videos count as wrong" in captured.err
    assert "rejected " in captured.err
    assert "07.mp4: " in captured.err
    assert "tested on  1 videos of test; 1 have no label and are left out" in captured.out
    assert "rejected   1 of 2 videos; counted as wrong, top 1 is 0.0 %" in captured.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "absent"], 1, "absent holds no classifier"),
        (["--split", "val"], 1, "the catalog has no split 'val'"),
        (["--crop-px", "99"], 2, "a crop of 99 pixels does not fit"),
        (["--clips", "0"], 2, "views.clips must be between 1 and 1000"),
        (["--device", "tpu9"], 2, "device 'tpu9' cannot be used"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    model: Path, corpus: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(model, corpus, *words) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--out", "--scores"])
def test_what_is_read_is_not_replaced(model: Path, corpus: Path, capsys: Capture, flag: str) -> None:
    before = corpus.read_bytes()
    assert evaluate(model, corpus, flag, str(corpus)) == 2
    assert f"{flag} names the same file as --catalog" in capsys.readouterr().err
    assert evaluate(model, corpus, flag, str(model / "classifier" / "classifier.json")) == 2
    assert evaluate(model / "classifier", corpus, flag, str(model / "classifier" / "classifier.json")) == 2
    assert corpus.read_bytes() == before
    Classifier.load(model)


def test_videos_that_it_learned_from_are_called_so(corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    classifier = build_classifier()
    classifier.provenance["catalog"] = Catalog.load(corpus).select("train").hash
    classifier.save(tmp_path / "run" / "classifier")
    assert evaluate(tmp_path / "run", corpus, "--split", "train") == 0
    assert "these are the videos that the classifier learned from" in capsys.readouterr().err
    assert evaluate(tmp_path / "run", corpus, "--split", "test") == 0
    assert "learned from" not in capsys.readouterr().err


def test_scores_go_to_a_table_alone(model: Path, corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    assert evaluate(model, corpus, "--scores", str(tmp_path / "x.txt")) == 2
    assert "--scores must end in .parquet or .csv" in capsys.readouterr().err
    assert not (tmp_path / "x.txt").exists()


def test_processes_under_torchrun_share_the_videos_and_one_speaks(
    model: Path, corpus: Path, tmp_path: Path, capsys: Capture
) -> None:
    alone, out = tmp_path / "alone.json", tmp_path / "result.json"
    assert evaluate(model, corpus, "--split", "", "--out", str(alone)) == 0
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        "-m",
        "--",
    ]
    words = ["unreel", "evaluate", "recognition", "--model", str(model), "--catalog", str(corpus)]
    options = ["--num-workers", "0", "--device", "cpu", "--batch-size", "8", "--split", "", "--out", str(out)]
    launched = subprocess.run(
        [*launcher, *words, *options], capture_output=True, text=True, timeout=90, check=False
    )
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout.count("Recognition, ") == 1
    shared, single = json.loads(out.read_text()), json.loads(alone.read_text())
    for values in (shared, single):
        values.pop("seconds")
    assert shared == single
