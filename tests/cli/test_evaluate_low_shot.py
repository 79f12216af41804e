import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_low_shot_finetuned import Trainer
from tests.evaluate.test_svm import build_table
from unreel.cli.main import run
from unreel.evaluate import recognition
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.low_shot import LowShotConfig
from unreel.evaluate.low_shot_features import FeatureLearning, evaluate_low_shot
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.ranking import RankingConfig
from unreel.features.classifier import Classifier
from unreel.features.input_spec import InputSpec
from unreel.train import finetune as finetune_module

Capture = pytest.CaptureFixture[str]
SHARES = ["--fractions", "20", "100", "--seeds", "0", "1"]
LOW_SHOT = LowShotConfig((0.2, 1.0), (0, 1))


@pytest.fixture
def features(tmp_path: Path) -> list[str]:
    first = build_table()
    first.save(tmp_path / "good.parquet")
    second = build_table()
    second.vectors[:] += 3 * np.random.default_rng(0).normal(size=second.vectors.shape)
    second.save(tmp_path / "poor.parquet")
    return [str(tmp_path / "good.parquet"), str(tmp_path / "poor.parquet")]


def evaluate(*words: str) -> int:
    return run(["evaluate", "low-shot", *words, *SHARES])


def test_the_curves_are_shown_kept_and_drawn(features: list[str], tmp_path: Path, capsys: Capture) -> None:
    out, plot = tmp_path / "few.json", tmp_path / "few.png"
    assert evaluate("--features", *features, "--out", str(out), "--plot", str(plot)) == 0
    captured = capsys.readouterr()
    values = json.loads(out.read_text())
    expected = evaluate_low_shot(
        {"good": build_table()}, FeatureLearning(SVMConfig()), low_shot=LOW_SHOT
    ).to_json()
    assert values["curves"][0] == json.loads(json.dumps(expected["curves"][0]))
    assert [curve["name"] for curve in values["curves"]] == ["good", "poor"]
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in captured.out.splitlines() if "│" in line
    ]
    points = [curve["points"] for curve in values["curves"]]
    for place, (share, videos) in enumerate((("20", "16"), ("100", "48"))):  # two of six, and all
        own, other = (point[place] for point in points)
        gain = (own["mean"] - other["mean"]) / own["mean"]
        assert rows[place] == [
            share,
            videos,
            *(f"{100 * one['mean']:.1f} +- {100 * one['deviation']:.1f}" for one in (own, other)),
            f"{100 * gain:.1f}",
        ]
    assert "Accuracy %, mean and deviation of 2 seeds" in captured.out
    assert f"good        {features[0]}" in captured.out
    settings = values["settings"]
    tested = "tested on   {queries} videos of {classes} classes".format(**settings)
    assert tested in captured.out
    assert settings["chance"] == 1 / settings["classes"]
    assert f"chance      {100 / settings['classes']:.1f} % accuracy" in captured.out
    assert "8/8 fits" in captured.err
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_every_flag_reaches_the_library(features: list[str], capsys: Capture) -> None:
    words = (
        "--json --metric mean_class --by group --query-split train --gallery-split test --learner linear "
        "--level clip --average probabilities --epochs 2 --lr 0.5 --weight-decay 0.01 "
        "--l2-normalize --batch-norm"
    )
    assert evaluate("--features", features[0], "--names", "one", *words.split()) == 0
    values = json.loads(capsys.readouterr().out)
    probe = LinearProbeConfig(
        epochs=2, lrs=(0.5,), weight_decay=0.01, is_l2_normalized=True, has_batch_norm=True
    )
    expected = evaluate_low_shot(
        {"one": build_table()},
        FeatureLearning(probe, "clip", "probabilities"),
        low_shot=LowShotConfig((0.2, 1.0), (0, 1), "mean_class"),
        config=RankingConfig("group", "train", "test"),
    ).to_json()
    for either in (values, expected):
        either.pop("seconds")
    assert values == json.loads(json.dumps(expected))
    assert evaluate("--features", features[0], "--json", "--cost", "0.01") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["costs"] == [0.01]


def test_one_seed_has_no_deviation_and_one_encoder_no_gain(features: list[str], capsys: Capture) -> None:
    words = ["--features", features[0], "--fractions", "100", "--seeds", "3", "--metric", "macro_f_measure"]
    assert run(["evaluate", "low-shot", *words]) == 0
    out = capsys.readouterr().out
    assert "Macro F-measure %\n" in out
    assert "+-" not in out
    assert "gain" not in out
    assert f"unreel evaluate svm --features {features[0]}" in out


def test_a_test_split_that_training_does_not_know_is_refused(features: list[str], capsys: Capture) -> None:
    assert evaluate("--features", features[0], "--query-split", "val") == 1
    assert "no split 'val'" in capsys.readouterr().err
    assert evaluate("--features", features[0], "--query-split", "train") == 1
    assert "good has no two splits to learn from and to test on" in capsys.readouterr().err


def test_encoders_of_other_videos_are_refused(tmp_path: Path, features: list[str], capsys: Capture) -> None:
    build_table(num_train=5).save(tmp_path / "fewer.parquet")
    assert evaluate("--features", features[0], str(tmp_path / "fewer.parquet")) == 1
    error = capsys.readouterr().err
    assert "good and fewer differ in 16 videos, their splits or their labels" in error
    assert "extract both from the same catalog" in error


def test_encoders_are_fine_tuned_by_a_recipe(
    corpus: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer()
    shown: list[str] = []

    class Result:
        def __init__(self, run: Path) -> None:
            self.run = run

        def to_json(self) -> dict[str, Any]:
            return trainer.recognize(self.run)

    class Loaded:
        def __init__(self, run: Path) -> None:
            self.run = run

            self.spec = InputSpec()

        def to(self, device: object) -> "Loaded":
            return self

    def recognize(classifier: Loaded, catalog: object, *, split: str, read: object) -> Result:
        shown.append(split)
        return Result(classifier.run)

    monkeypatch.setattr(finetune_module, "finetune", trainer.finetune)
    monkeypatch.setattr(recognition, "evaluate_recognition", recognize)
    monkeypatch.setattr(Classifier, "load", Loaded)
    runs = tmp_path / "runs"
    words = [
        "--encoders",
        "random",
        "--recipe",
        "finetune.small",
        "--catalog",
        str(corpus),
        "--runs",
        str(runs),
    ]
    assert evaluate(*words, "--finetune-epochs", "3", "--names", "scratch") == 0
    captured = capsys.readouterr()
    assert [asked.train.epochs for _, asked, _ in trainer.asked] == [3] * 4
    assert {asked.data.catalog for _, asked, _ in trainer.asked} == {corpus}
    assert [run.parent for run, *_ in trainer.asked] == [runs / "scratch"] * 4
    assert set(shown) == {"test"}
    assert "4/4 runs" in captured.err
    assert "learned by  finetune" in captured.out
    assert f"runs        {runs}" in captured.out
    assert f"unreel predict VIDEO --model {runs}/NAME/SHARE-percent-seed-SEED" in captured.out


def test_encoders_are_named_by_their_runs(corpus: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ["--recipe", "finetune.small", "--catalog", str(corpus), "--runs", str(tmp_path)]
    folder = str(tmp_path / "scvrl" / "encoder")
    assert evaluate("--encoders", folder, folder, *words) == 2
    assert (
        "two encoders have the same name in scvrl, scvrl; tell them apart by --names"
        in capsys.readouterr().err
    )
    assert evaluate("--encoders", folder, *words) == 1
    assert "scvrl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --features (frozen encoders) or --encoders (fine-tuned)"),
        (["--features", "a", "--encoders", "b"], "give either --features"),
        (["--features", "a", "b", "--names", "x"], "--names gives 1 names for 2 encoders"),
        (["--features", "x/a.parquet", "y/a.parquet"], "two encoders have the same name in a, a"),
        (["--encoders", "b", "--recipe", "finetune.small"], "--recipe, --catalog and --runs are needed too"),
        (["--features", "a", "--plot", "a.pdf"], "must end in .png or .svg"),
        (["--features", "a", "--out", "a"], "--out names the same file as --features"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    capsys: Capture, words: list[str], message: str
) -> None:
    assert evaluate(*words) == 2
    assert message in capsys.readouterr().err


def test_shares_are_in_percent(capsys: Capture) -> None:
    assert run(["evaluate", "low-shot", "--features", "a", "--fractions", "200"]) == 2
    assert "shares above 0 and at most 1, got [2.0]" in capsys.readouterr().err
