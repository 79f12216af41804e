from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table, relabel
from tests.features.tiny import build_vectors
from unreel.data.subset import choose_fraction
from unreel.errors import FeaturesError
from unreel.evaluate import low_shot_features
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.linear_probe import evaluate_linear
from unreel.evaluate.low_shot import LowShotConfig, LowShotResult
from unreel.evaluate.low_shot_features import FeatureLearning, evaluate_low_shot
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.svm import evaluate_svm
from unreel.features.table import FeatureTable

SVM = FeatureLearning(SVMConfig())
LOW_SHOT = LowShotConfig(fractions=(0.1, 0.5, 1.0), seeds=(0, 1))


def measure(table: FeatureTable, **changes: Any) -> LowShotResult:
    return evaluate_low_shot({"a": table}, **{"learning": SVM, "low_shot": LOW_SHOT, **changes})


def keep(table: FeatureTable, fraction: float, seed: int) -> FeatureTable:
    """Return the test split and the chosen part of the training split."""
    labels = [
        label if split == "train" else ""
        for label, split in zip(table.column("label"), table.column("split"), strict=True)
    ]
    chosen = choose_fraction(labels, table.video_ids.tolist(), fraction, seed=seed)
    return table.take(np.union1d(chosen, np.flatnonzero(table.column("split") == "test")))


@pytest.mark.parametrize("level", ["video", "clip"])
def test_every_share_is_that_of_an_svm_on_the_chosen_videos(level: Any) -> None:
    table = build_table(num_train=6)
    (curve,) = measure(table, learning=FeatureLearning(SVMConfig(), level)).curves
    assert curve.name == "a"
    # Eight classes of six: one of each, three, and all.
    assert [point.videos for point in curve.points] == [(8, 8), (24, 24), (48, 48)]
    for point in curve.points:
        for seed, value in enumerate(point.values):
            part = keep(table, point.fraction, seed)
            assert value == evaluate_svm(part, level=level).ranking.levels[level].top1
    assert curve.points[0].mean < curve.points[2].mean
    assert curve.points[0].values[0] != curve.points[0].values[1]


def test_a_linear_layer_draws_by_the_seed_and_clips_are_averaged() -> None:
    table = build_table(noise=4)
    probe = LinearProbeConfig(epochs=3, seed=9)
    learning = FeatureLearning(probe, "clip", "probabilities")
    (curve,) = measure(table, learning=learning, low_shot=replace(LOW_SHOT, metric="macro_f_measure")).curves
    for point in curve.points:
        for seed, value in enumerate(point.values):
            found = evaluate_linear(
                keep(table, point.fraction, seed),
                level="clip",
                average="probabilities",
                probe=replace(probe, seed=seed),
            )
            assert value == found.ranking.levels["clip"].macro_f_measure


def test_an_svm_of_all_videos_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []

    def count(table: FeatureTable, **settings: Any) -> Any:
        fitted.append(len(table))
        return evaluate_svm(table, **settings)

    monkeypatch.setattr(low_shot_features, "evaluate_svm", count)
    (curve,) = measure(build_table()).curves
    # 64 test vectors, and two vectors of 8, 24 and 48 videos.
    assert fitted == [64 + 16, 64 + 16, 64 + 48, 64 + 48, 64 + 96]
    assert curve.points[2].deviation == 0


def test_encoders_learn_from_the_same_videos_in_whatever_order() -> None:
    table = build_table()
    order = np.random.default_rng(0).permutation(len(table))
    result = evaluate_low_shot({"a": table, "b": table.take(order)}, SVM, low_shot=LOW_SHOT)
    first, second = result.curves
    for own, other in zip(first.points, second.points, strict=True):
        assert own.videos == other.videos
        assert own.values == pytest.approx(other.values, abs=0.07)  # liblinear adds up in another order
    assert result.settings["seeds"] == [0, 1]
    assert result.settings["learner"] == "svm"
    assert (result.settings["query_split"], result.settings["gallery_split"]) == ("test", "train")
    assert len(result.settings["features"]) == 2


def test_videos_without_a_class_are_never_chosen() -> None:
    table = build_table(num_classes=3, num_train=3, num_test=2, clips=1)
    labels = table.column("label").tolist()
    labels[0] = labels[3] = ""  # the first of training and of testing
    (curve,) = measure(relabel(table, labels)).curves
    assert [point.videos[0] for point in curve.points] == [3, 1 + 2 + 2, 8]


def test_the_group_can_be_what_is_told() -> None:
    (curve,) = measure(build_table(), config=RankingConfig(by="group")).curves
    assert [point.videos[0] for point in curve.points] == [3 * 2, 24, 48]  # a tenth of 16 is 2


def test_progress_counts_all_fits() -> None:
    told: list[tuple[int, int]] = []
    measure(build_table(num_classes=2), progress=lambda done, total, _: told.append((done, total)))
    assert told == [(done, 6) for done in range(7)]


def test_other_videos_splits_and_classes_are_refused() -> None:
    table = build_table(num_classes=3, clips=1)
    for other in (
        table.take(np.arange(1, len(table))),
        relabel(table, ["class 1", *table.column("label").tolist()[1:]]),
    ):
        with pytest.raises(FeaturesError, match=r"a and b differ in 1 videos, .*same catalog"):
            evaluate_low_shot({"a": table, "b": other}, SVM)
    extra = build_vectors(
        [*table.vectors, np.ones(12)],
        [*table.video_ids, "another"],
        labels=[*table.column("label"), "class 0"],
        splits=[*table.column("split"), "val"],
    )
    evaluate_low_shot({"a": table, "b": extra}, SVM, low_shot=LowShotConfig((1.0,), (0,)))


def test_splits_and_classes_that_cannot_be_learned_from_are_refused() -> None:
    table = build_table(num_classes=2)
    for config in (RankingConfig(query_split=""), RankingConfig(query_split="train")):
        with pytest.raises(FeaturesError, match=r"a has no two splits to learn from .*'test', 'train'"):
            measure(table, config=config)
    with pytest.raises(FeaturesError, match="an SVM needs two classes"):
        measure(relabel(table, ["x"] * len(table)))
    in_train = table.column("split") == "train"
    labels = [str(a) if b else "" for a, b in zip(table.column("label"), in_train, strict=True)]
    with pytest.raises(FeaturesError, match=r"none of the .* test vectors has a label"):
        measure(relabel(table, labels))
    for learning in ({"learner": SVMConfig(), "level": "clip"}, {"learner": LinearProbeConfig()}):
        with pytest.raises(ValueError, match=r"average is 'logits', .* leave it at 'none'"):
            FeatureLearning(**learning, average="logits")  # type: ignore[arg-type]
