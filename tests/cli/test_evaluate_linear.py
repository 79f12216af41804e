import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table, relabel
from unreel.cli.main import run
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.linear_probe import evaluate_linear
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.ranking import RankingConfig

Capture = pytest.CaptureFixture[str]
PROBE = LinearProbeConfig(epochs=8)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    build_table().save(tmp_path / "f.parquet")
    return tmp_path / "f.parquet"


def evaluate(features: Path, *words: str, epochs: int = 8) -> int:
    return run(["evaluate", "linear", "--features", str(features), "--epochs", str(epochs), *words])


def test_the_result_is_shown_and_kept(features: Path, tmp_path: Path, capsys: Capture) -> None:
    assert evaluate(features, "--out", str(tmp_path / "linear.json")) == 0
    captured = capsys.readouterr()
    result = evaluate_linear(build_table(), probe=PROBE)
    level = result.ranking.levels["video"]
    lines = [line.strip() for line in captured.out.splitlines()]
    for name, share in (("top 1", level.top1), ("macro F-measure", level.macro_f_measure)):
        row = next(line for line in lines if line.startswith(f"│ {name}"))
        assert f"{100 * share:.1f}" in row
    assert "Linear probe, video level" in lines
    assert "learned from  48 vectors of train" in lines
    assert "tested on     32 vectors of test" in lines
    assert "training      8 epochs of SGD, learning rate 0.1" in lines
    ended = next(line for line in lines if line.startswith("ended at"))
    assert f"loss {level.final_loss:.3f}, {100 * level.training_top1:.1f} % of training right" in ended
    assert f"unreel evaluate svm --features {features}" in captured.out
    assert "8/8 epochs" in captured.err
    kept = json.loads((tmp_path / "linear.json").read_text())
    expected = json.loads(json.dumps(result.to_json()))
    for values in (kept, expected):
        values.pop("seconds")
    assert kept == expected


def test_every_flag_reaches_the_library(features: Path, capsys: Capture) -> None:
    words = (
        "--json --by group --query-split train --gallery-split test --level clip --average logits "
        "--batch-size 20 --lrs 0.1 2 --num-folds 3 --momentum 0.5 --weight-decay 0.001 "
        "--schedule milestones --milestones 3 5 --l2-normalize --batch-norm --seed 4"
    )
    assert evaluate(features, *words.split()) == 0
    values = json.loads(capsys.readouterr().out)
    probe = LinearProbeConfig(8, 20, (0.1, 2.0), 0.5, 0.001, "milestones", (3, 5), True, True, 4, 3)
    expected = evaluate_linear(
        build_table(),
        level="clip",
        average="logits",
        probe=probe,
        config=RankingConfig("group", "train", "test"),
    ).to_json()
    for either in (values, expected):
        either.pop("seconds")
    assert values == json.loads(json.dumps(expected))


def test_the_choice_of_a_rate_is_shown_as_one_job(features: Path, capsys: Capture) -> None:
    words = ["--lrs", "0.01", "1", "--num-folds", "3", "--level", "clip", "--average", "probabilities"]
    assert evaluate(features, *words) == 0
    captured = capsys.readouterr()
    assert "Cross-validation over the training split" in captured.out
    assert "Linear probe, clip level, videos by mean probabilities" in captured.out
    assert "tested on     32 videos of test" in captured.out
    # Two rates and three folds, and then all again: seven times eight epochs.
    (last,) = [line for line in captured.err.splitlines() if "56/56 epochs" in line]
    assert last.startswith("Training: 56/56 epochs")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_classifier_is_kept_and_its_use_named(
    features: Path, tmp_path: Path, capsys: Capture, form: list[str]
) -> None:
    path = tmp_path / "new" / "linear.safetensors"
    assert evaluate(features, "--classifier", str(path), *form) == 0
    if not form:
        assert f"unreel predict VIDEO --encoder ENCODER --classifier {path}" in capsys.readouterr().out
    expected = evaluate_linear(build_table(), probe=PROBE).classifier
    np.testing.assert_array_equal(LinearClassifier.load(path).weights_CD, expected.weights_CD)


def test_training_that_went_too_far_or_nowhere_is_announced(
    features: Path, tmp_path: Path, capsys: Capture
) -> None:
    build_table(num_train=40, noise=9).save(tmp_path / "noisy.parquet")
    assert evaluate(tmp_path / "noisy.parquet", "--lrs", "1000", "--json") == 0
    error = capsys.readouterr().err
    assert "above the 2.08 of a guess: the learning rate is too high; lower --lrs" in error
    assert evaluate(features, "--lrs", "0.00001", "--json") == 0
    error = capsys.readouterr().err
    assert "the layer is far from the best fit to the training vectors: the gradient is still " in error
    assert "raise --epochs or --lrs" in error
    assert evaluate(features, "--lrs", "1", "--json", epochs=60) == 0
    assert "warning" not in capsys.readouterr().err


def test_rates_that_ran_over_and_unknown_classes_are_announced(tmp_path: Path, capsys: Capture) -> None:
    table = build_table(num_classes=7)
    table.vectors[:] *= 1e18
    labels = [
        f"new {name}" if split == "test" else str(name)
        for split, name in zip(table.column("split"), table.column("label"), strict=True)
    ]
    labels[0] = ""
    relabel(table, labels).save(tmp_path / "f.parquet")
    assert evaluate(tmp_path / "f.parquet", "--lrs", "1e6", "1e-37", "--num-folds", "3") == 0
    captured = capsys.readouterr()
    assert "learning rate 1e+06: the loss ran over in 3 folds" in captured.err
    named = "new class 0, new class 1, new class 2, new class 3, new class 4 and 2 more"
    assert f"training has no label {named}: 28 test vectors count as wrong" in captured.err
    assert "41 vectors of train; 1 have no label and are left out" in captured.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--lrs", "-1"], 2, "lrs must be one or more positive numbers"),
        (["--average", "logits"], 2, "choose level 'clip'"),
        (["--gallery-split", "val"], 1, "no split 'val'"),
        (["--lrs", "1e7"], 2, "lrs must be one or more positive numbers up to"),
        (["--batch-size", "0"], 2, "batch_size must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_right_code(
    features: Path, capsys: Capture, words: list[str], code: int, message: str
) -> None:
    assert evaluate(features, *words) == code
    assert message in capsys.readouterr().err


def test_files_that_cannot_be_written_are_refused_before_the_features_are_read(
    tmp_path: Path, capsys: Capture
) -> None:
    absent = tmp_path / "absent.parquet"
    for flag in ("--out", "--classifier"):
        assert evaluate(absent, flag, str(absent)) == 2
        assert f"{flag} names the same file as --features" in capsys.readouterr().err
