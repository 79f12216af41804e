import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table, relabel
from unreel.cli.main import run
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.svm import evaluate_svm

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def features(tmp_path: Path) -> Path:
    build_table().save(tmp_path / "f.parquet")
    return tmp_path / "f.parquet"


def evaluate(features: Path, *words: str) -> int:
    return run(["evaluate", "svm", "--features", str(features), *words])


def test_the_result_is_shown_and_kept(features: Path, tmp_path: Path, capsys: Capture) -> None:
    assert evaluate(features, "--out", str(tmp_path / "svm.json")) == 0
    captured = capsys.readouterr()
    result = evaluate_svm(build_table())
    level = result.ranking.levels["video"]
    assert level.top5 is not None
    lines = [line.strip() for line in captured.out.splitlines()]
    for name, share in (
        ("top 1", level.top1),
        ("top 5", level.top5),
        ("mean over classes", level.mean_class),
    ):
        row = next(line for line in lines if line.startswith(f"│ {name}"))
        assert f"{100 * share:.1f}" in row
    assert "Linear SVM, video level" in lines
    assert "learned from  48 vectors of train" in lines
    assert "tested on     32 vectors of test" in lines
    assert any(line.startswith("solver        liblinear, cost 1, no bias, ") for line in lines)
    assert f"unreel evaluate retrieval --features {features}" in captured.out
    assert "Cross-validation" not in captured.out
    assert "8/8 classes" in captured.err
    assert "warning" not in captured.err
    kept = json.loads((tmp_path / "svm.json").read_text())
    expected = json.loads(json.dumps(result.to_json()))
    for values in (kept, expected):
        values.pop("seconds")
    assert kept == expected


def test_every_flag_reaches_the_library(features: Path, capsys: Capture) -> None:
    words = (
        "--json --by group --query-split train --gallery-split test --level clip --costs 0.1 2 --num-folds 3"
    )
    more = "--bias --tolerance 0.01 --max-iterations 50 --num-workers 2"
    assert evaluate(features, *words.split(), *more.split()) == 0
    values = json.loads(capsys.readouterr().out)
    expected = evaluate_svm(
        build_table(),
        level="clip",
        svm=SVMConfig((0.1, 2.0), True, 0.01, 50, 3, 2),
        config=RankingConfig("group", "train", "test"),
    ).to_json()
    for either in (values, expected):
        either.pop("seconds")
    assert values == json.loads(json.dumps(expected))


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_classifier_is_kept_and_grad_cam_is_named_next(
    features: Path, tmp_path: Path, capsys: Capture, form: list[str]
) -> None:
    path = tmp_path / "new" / "svm.safetensors"
    assert evaluate(features, "--classifier", str(path), *form) == 0
    out = capsys.readouterr().out
    if not form:
        assert f"unreel report gradcam --encoder ENCODER --catalog CATALOG --classifier {path}" in out
        assert f"classifier    {path}" in out
    loaded, expected = LinearClassifier.load(path), evaluate_svm(build_table()).classifier
    assert loaded.classes == expected.classes
    np.testing.assert_array_equal(loaded.weights_CD, expected.weights_CD)


def test_the_choice_of_a_cost_is_shown(features: Path, capsys: Capture) -> None:
    assert evaluate(features, "--costs", "0.001", "0.1", "10", "--num-folds", "3") == 0
    captured = capsys.readouterr()
    assert "Cross-validation over the training split" in captured.out
    level = evaluate_svm(build_table(), svm=SVMConfig((0.001, 0.1, 10.0), num_folds=3)).ranking.levels[
        "video"
    ]
    assert f"cost {level.cost:g}, no bias" in captured.out
    for trial in level.trials:
        row = next(line for line in captured.out.splitlines() if line.startswith(f"│ {trial.cost:>5g} │"))
        assert f"{100 * trial.accuracy:.1f}" in row
    # Three costs, three folds, eight classes, and then these again with the best cost: one job, one line.
    assert [line for line in captured.err.splitlines() if "80/80 classes" in line] == [
        captured.err.splitlines()[-1]
    ]


def test_solvers_that_were_stopped_are_announced(features: Path, capsys: Capture) -> None:
    # There are three groups, so three folds of eight classes.
    assert evaluate(features, "--max-iterations", "1", "--costs", "1", "2", "--json") == 0
    error = capsys.readouterr().err
    assert "the solvers of 8 of 8 classes were stopped" in error
    assert "(class 0, class 1, class 2, class 3, class 4 and 3 more); raise --max-iterations" in error
    assert "cost 2: 24 solvers of the cross-validation were stopped" in error


def test_what_could_not_be_learned_or_counted_is_announced(tmp_path: Path, capsys: Capture) -> None:
    table = build_table(num_classes=3)
    labels = [
        "new" if split == "test" and name == "class 1" else "" if video in ("0-0", "2-9") else str(name)
        for video, split, name in zip(
            table.video_ids, table.column("split"), table.column("label"), strict=True
        )
    ]
    relabel(table, labels).save(tmp_path / "f.parquet")
    assert evaluate(tmp_path / "f.parquet") == 0
    captured = capsys.readouterr()
    assert "training has no label new: 4 test vectors count as wrong" in captured.err
    assert "17 vectors of train; 1 have no label and are left out" in captured.out
    assert "11 vectors of test; 1 have no label and are left out" in captured.out
    assert "top 5" not in captured.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--costs", "-1"], 2, "costs must be one or more numbers between"),
        (["--num-folds", "1"], 2, "num_folds must be at least 2"),
        (["--gallery-split", "val"], 1, "no split 'val'"),
        (["--query-split", "train"], 1, "48 videos are both to be learned from"),
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
        assert evaluate(absent, flag, str(tmp_path)) == 2
        assert f"{flag} {tmp_path} is a folder" in capsys.readouterr().err
    both = ["--out", str(tmp_path / "x"), "--classifier", str(tmp_path / "x")]
    assert evaluate(absent, *both) == 2
    assert "--out and --classifier name the same file" in capsys.readouterr().err
