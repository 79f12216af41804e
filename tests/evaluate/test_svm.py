import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.ranking import Level, RankingConfig
from unreel.evaluate.svm import LevelSVM, evaluate_svm
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo


def build_table(
    seed: int = 0,
    *,
    num_classes: int = 8,
    num_train: int = 6,
    num_test: int = 4,
    clips: int = 2,
    noise: float = 2.0,
    dimension: int = 12,
) -> FeatureTable:
    """Return a table with as many videos of every class, around a centre each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, dimension))
    vectors, videos, labels, splits, groups = [], [], [], [], []
    for number in range(num_classes):
        for video in range(num_train + num_test):
            for _ in range(clips):
                vectors.append(centres[number] + noise * rng.normal(size=dimension))
                videos.append(f"{number}-{video}")
                labels.append(f"class {number}")
                splits.append("train" if video < num_train else "test")
                groups.append(f"group {video % 3}")
    info = FeatureInfo(encoder_hash="abc", pooling="average", dimension=dimension)
    return build_vectors(np.array(vectors), videos, labels=labels, splits=splits, groups=groups, info=info)


def only(table: FeatureTable, **changes: object) -> LevelSVM:
    result = evaluate_svm(table, **changes)  # type: ignore[arg-type]
    (level,) = result.ranking.levels.values()
    return level


def relabel(table: FeatureTable, labels: list[str]) -> FeatureTable:
    return build_vectors(
        table.vectors,
        table.video_ids.tolist(),
        labels=labels,
        splits=table.column("split").tolist(),
        info=table.info,
    )


@pytest.mark.parametrize("level", ["video", "clip"])
def test_the_numbers_are_those_of_a_plain_loop(level: Level) -> None:
    table = build_table()
    train, test = (
        table.average_per_video(split) if level == "video" else table.select(split)
        for split in ("train", "test")
    )
    svm = LinearSVC(dual=False, C=1, fit_intercept=False, tol=1e-9).fit(train.vectors, train.column("label"))
    scores = svm.decision_function(test.vectors)
    names = [str(name) for name in svm.classes_]
    right: dict[str, list[bool]] = {name: [] for name in names}
    among_five = 0
    confusion: dict[str, dict[str, int]] = {name: {} for name in names}
    for row, truth in zip(scores, test.column("label"), strict=True):
        order = [names[number] for number in np.argsort(-row)]
        right[truth].append(order[0] == truth)
        among_five += truth in order[:5]
        confusion[truth][order[0]] = confusion[truth].get(order[0], 0) + 1
    found = only(table, level=level, svm=SVMConfig(tolerance=1e-9))
    num = len(test)
    assert (found.queries, found.gallery, found.classes) == (num, len(train), 8)
    assert found.top1 == sum(sum(answers) for answers in right.values()) / num
    assert 0.3 < found.top1 < 0.95
    assert found.top5 == among_five / num
    assert found.accuracy_by_class == {name: sum(own) / len(own) for name, own in right.items()}
    assert found.mean_class == pytest.approx(sum(found.accuracy_by_class.values()) / 8)
    assert found.confusion == confusion
    told = [names[number] for number in scores.argmax(axis=1)]
    assert found.macro_f_measure == pytest.approx(f1_score(test.column("label"), told, average="macro"))
    assert found.micro_f_measure == found.top1
    assert found.queries_by_class == {name: len(own) for name, own in right.items()}
    assert (found.chance, found.constant) == (1 / 8, 1 / 8)
    assert (found.cost, found.trials, found.unconverged) == (1.0, [], [])
    assert found.iterations_by_class.keys() == set(names)


def test_the_classifier_is_the_one_that_was_measured() -> None:
    table = build_table()
    result = evaluate_svm(table, svm=SVMConfig(has_bias=True))
    classifier = result.classifier
    assert (classifier.encoder_hash, classifier.pooling) == ("abc", "average")
    assert classifier.bias_C is not None
    test = table.average_per_video("test")
    told = [classifier.classes[number] for number in classifier.scores(test.vectors).argmax(axis=1)]
    accuracy = np.mean([a == b for a, b in zip(told, test.column("label"), strict=True)])
    assert result.ranking.levels["video"].top1 == accuracy
    assert evaluate_svm(table).classifier.bias_C is None


def test_two_classes_have_two_rows_and_no_five_best() -> None:
    result = evaluate_svm(build_table(num_classes=2))
    weights = result.classifier.weights_CD
    assert weights.tolist() == [(-weights[1]).tolist(), weights[1].tolist()]
    level = result.ranking.levels["video"]
    assert level.top5 is None
    assert level.top1 > 0.5 == level.chance
    assert level.iterations_by_class.keys() == {"class 0", "class 1"}
    assert only(build_table(num_classes=5)).top5 is None
    assert only(build_table(num_classes=6)).top5 is not None


def test_classes_that_training_lacks_count_as_wrong_and_are_named() -> None:
    table = build_table(noise=0.01, num_classes=6)
    in_test = table.column("split") == "test"
    labels = [
        "new" if row and name == "class 2" else str(name)
        for row, name in zip(in_test, table.column("label"), strict=True)
    ]
    found = only(relabel(table, labels))
    assert found.unknown_classes == ["new"]
    assert (found.unknown, found.queries, found.classes) == (4, 24, 6)
    assert found.top1 == found.top5 == 20 / 24
    assert found.mean_class == pytest.approx(5 / 6)
    assert found.accuracy_by_class["new"] == 0
    assert found.confusion["new"] == {"class 2": 4}
    assert found.chance == pytest.approx(20 / 24 / 6)
    assert found.iterations_by_class.keys() == {f"class {number}" for number in range(6)}


def test_vectors_without_a_class_are_left_out_and_counted() -> None:
    table = build_table(num_classes=3, num_train=3, num_test=2, clips=1)
    labels = table.column("label").tolist()
    for row in (0, 3, 4):  # the first of training, both of testing
        labels[row] = ""
    found = only(relabel(table, labels))
    assert (found.gallery, found.gallery_without_target) == (8, 1)
    assert (found.queries, found.without_target) == (4, 2)
    assert found.queries_by_class == {"class 1": 2, "class 2": 2}


def test_the_most_frequent_class_of_training_is_the_constant() -> None:
    table = build_table(num_classes=3, num_train=3, num_test=2, clips=1)
    labels = table.column("label").tolist()
    labels[0] = "class 2"  # three, four and two of training; two of testing each
    labels[1] = "class 2"
    found = only(relabel(table, labels))
    assert found.constant == pytest.approx(2 / 6)
    labels[3] = "class 2"
    assert only(relabel(table, labels)).constant == pytest.approx(3 / 6)


def test_the_group_can_be_what_is_told() -> None:
    table = build_table()
    result = evaluate_svm(table, config=RankingConfig(by="group"))
    assert result.classifier.classes == ("group 0", "group 1", "group 2")
    assert result.ranking.settings["by"] == "group"


def test_vectors_are_neither_normalised_nor_centred() -> None:
    # One direction, two lengths: of unit length they would all be alike.
    table = build_vectors(
        [[1, 0.1], [1, 0.2], [9, 0.1], [9, 0.2], [1, 0.1], [9, 0.15]],
        list("abcdef"),
        labels=["near", "near", "far", "far", "near", "far"],
        splits=["train"] * 4 + ["test"] * 2,
    )
    result = evaluate_svm(table, svm=SVMConfig(tolerance=1e-9))
    svm = LinearSVC(dual=False, fit_intercept=False, tol=1e-9).fit(table.vectors[:4], [1, 1, 0, 0])
    np.testing.assert_allclose(result.classifier.weights_CD[1], svm.coef_[0], rtol=1e-5)
    # The same with a thousand times as large vectors is another problem.
    larger = evaluate_svm(
        build_vectors(
            1000 * table.vectors,
            list("abcdef"),
            labels=table.column("label").tolist(),
            splits=table.column("split").tolist(),
        )
    )
    assert not np.allclose(1000 * larger.classifier.weights_CD, result.classifier.weights_CD, rtol=0.01)


def test_a_cost_is_chosen_without_a_look_at_the_test_split() -> None:
    table = build_table()
    config = SVMConfig(costs=(0.0001, 0.1, 10.0), num_folds=3)
    found = evaluate_svm(table, svm=config)
    level = found.ranking.levels["video"]
    assert [trial.cost for trial in level.trials] == [0.0001, 0.1, 10.0]
    assert level.cost == min(level.trials, key=lambda trial: (-trial.accuracy, trial.cost)).cost
    alone = evaluate_svm(table, svm=replace(config, costs=(level.cost,)))
    assert found.classifier.weights_CD.tobytes() == alone.classifier.weights_CD.tobytes()
    # Other answers in the test split change no choice.
    labels = [
        name if split == "train" else "class 0"
        for name, split in zip(table.column("label"), table.column("split"), strict=True)
    ]
    groups = {"groups": table.column("group").tolist()}
    other = build_vectors(
        table.vectors,
        table.video_ids.tolist(),
        labels=labels,
        splits=table.column("split").tolist(),
        **groups,
    )
    assert only(other, svm=config).trials == level.trials


@pytest.mark.parametrize("with_groups", [True, False])
def test_folds_keep_groups_together_or_else_the_clips_of_a_video(with_groups: bool) -> None:
    # Noise; the clips of a group are the same vector. Where copies stay together there is nothing to learn.
    rng = np.random.default_rng(1)
    num_videos = 40
    source = rng.normal(size=(num_videos, 60))
    shared = source[np.arange(num_videos) // 2 * 2] if with_groups else source
    vectors = np.concatenate([np.repeat(shared, 3, axis=0), rng.normal(size=(2, 60))])
    videos = [f"v{video}" for video in range(num_videos) for _ in range(3)] + ["x", "y"]
    label = [["a", "b"][video // 2 % 2] for video in range(num_videos) for _ in range(3)] + ["a", "b"]
    groups = [f"g{video // 2}" for video in range(num_videos) for _ in range(3)] + ["g", "h"]
    table = build_vectors(
        vectors,
        videos,
        labels=label,
        splits=["train"] * (3 * num_videos) + ["test"] * 2,
        groups=groups if with_groups else None,
    )
    trials = only(table, level="clip", svm=SVMConfig(costs=(1.0, 10.0))).trials
    assert all(trial.accuracy < 0.8 for trial in trials)


def test_solvers_that_were_stopped_are_named() -> None:
    found = only(build_table(), svm=SVMConfig(max_iterations=1))
    assert found.unconverged == [f"class {number}" for number in range(8)]
    assert set(found.iterations_by_class.values()) == {1}


def test_more_test_vectors_than_a_block_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = only(build_table())
    monkeypatch.setattr("unreel.evaluate.svm._QUERIES_PER_BLOCK", 5)
    assert only(build_table()) == whole


def test_the_result_is_plain_json() -> None:
    config = SVMConfig(costs=(0.1, 1.0), num_folds=3)
    values = json.loads(json.dumps(evaluate_svm(build_table(), svm=config).to_json()))
    assert values["protocol"] == "svm"
    assert values["features"]["encoder_hash"] == "abc"
    assert values["settings"]["query_split"] == "test"
    assert values["settings"]["gallery_split"] == "train"
    assert values["settings"]["costs"] == [0.1, 1.0]
    assert values["settings"]["has_bias"] is False
    level = values["levels"]["video"]
    assert level["trials"][0].keys() == {"cost", "accuracy", "unconverged"}
    assert math.isfinite(values["seconds"])


def test_splits_that_share_a_video_are_refused() -> None:
    table = build_table(num_classes=2, num_train=2, num_test=1, clips=1)
    with pytest.raises(FeaturesError, match=r"4 videos are both .*'train'.*'train'.*of 'test', 'train'"):
        evaluate_svm(table, config=RankingConfig(query_split="train"))
    without = build_vectors(table.vectors, table.video_ids.tolist(), labels=table.column("label").tolist())
    with pytest.raises(FeaturesError, match=r"6 videos are both .*none: scan with splits"):
        evaluate_svm(without)


def test_a_single_class_is_refused() -> None:
    table = build_table(num_classes=2)
    with pytest.raises(FeaturesError, match="all 12 training vectors have the label 'a'; an SVM needs two"):
        evaluate_svm(relabel(table, ["a"] * len(table)))


@pytest.mark.parametrize(("split", "kind"), [("train", "training"), ("test", "test")])
def test_a_split_without_classes_is_refused(split: str, kind: str) -> None:
    table = build_table(num_classes=2)
    labels = ["" if own == split else "a" for own in table.column("split")]
    with pytest.raises(FeaturesError, match=f"none of the .* {kind} vectors has a label"):
        evaluate_svm(relabel(table, labels))


@pytest.mark.parametrize("row", [0, -1])
def test_a_vector_that_is_not_finite_is_refused_by_its_video(row: int) -> None:
    table = build_table(num_classes=2)
    table.vectors[row, 3] = np.inf
    kind = "training" if row == 0 else "test"
    path = table.column("path")[row]
    with pytest.raises(
        FeaturesError, match=f"1 {kind} vectors hold NaN or infinity, the first of video {path}"
    ):
        evaluate_svm(table)


def test_centred_vectors_and_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="is_centered must be False"):
        evaluate_svm(build_table(), config=RankingConfig(is_centered=True))
    with pytest.raises(FeaturesError, match="no split 'val'"):
        evaluate_svm(build_table(), config=RankingConfig(query_split="val"))


def test_vectors_that_are_all_the_same_are_refused() -> None:
    table = build_table(num_classes=3)
    table.vectors[:] = 3.0
    # What float32 leaves of one and the same number.
    table.vectors[::2] = np.nextafter(np.float32(3), np.float32(4))
    with pytest.raises(FeaturesError, match=r"all 18 training vectors are the same: the encoder has collap"):
        evaluate_svm(table)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e30])
def test_weights_stay_as_short_as_the_objective_of_zero_allows(scale: float) -> None:
    table = build_table(num_classes=3)
    table.vectors[:] *= scale
    # |w|^2 / 2 is at most the objective of w = 0, which is the cost times the 18 training vectors.
    weights_CD = evaluate_svm(table, svm=SVMConfig(costs=(1e12,))).classifier.weights_CD
    assert np.linalg.norm(weights_CD, axis=1).max() <= math.sqrt(2 * 1e12 * 18)
