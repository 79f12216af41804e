import json
import math
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table, relabel
from unreel.errors import FeaturesError, TrainingError
from unreel.evaluate.linear_classifier import LinearClassifier, normalize_rows
from unreel.evaluate.linear_probe import Average, LevelLinear, LinearResult, evaluate_linear
from unreel.evaluate.probe_training import LinearProbeConfig, fit_probe
from unreel.evaluate.ranking import RankingConfig
from unreel.features.table import FeatureTable

PROBE = LinearProbeConfig(epochs=12, batch_size=16, lrs=(0.5,))


def measure(table: FeatureTable, **changes: Any) -> LinearResult:
    return evaluate_linear(table, **{"probe": PROBE, **changes})


def only(result: LinearResult) -> LevelLinear:
    (level,) = result.ranking.levels.values()
    return level


def test_videos_are_told_by_the_mean_of_their_vectors() -> None:
    table = build_table()
    result = measure(table)
    train, test = (table.average_per_video(split) for split in ("train", "test"))
    names, classes = np.unique(train.column("label"), return_inverse=True)
    fitted = fit_probe(train.vectors, classes, 0.5, PROBE)
    assert result.classifier.weights_CD.tobytes() == fitted.weights_CD.tobytes()
    assert result.classifier.bias_C is not None
    assert result.classifier.bias_C.tobytes() == fitted.bias_C.tobytes()
    told = names[fitted.predict(test.vectors)]
    level = only(result)
    assert level.top1 == (told == test.column("label")).mean()
    assert 0.3 < level.top1 < 1
    assert (level.queries, level.gallery, level.classes) == (32, 48, 8)
    assert level.training_top1 == (names[fitted.predict(train.vectors)] == train.column("label")).mean()
    assert level.loss_by_epoch == fitted.loss_by_epoch
    assert (level.final_loss, level.relative_gradient) == (fitted.final_loss, fitted.relative_gradient)
    assert (level.lr, level.trials) == (0.5, [])
    assert (level.chance, level.constant) == (1 / 8, 1 / 8)
    assert (result.classifier.encoder_hash, result.classifier.pooling) == ("abc", "average")


@pytest.mark.parametrize("average", ["none", "logits", "probabilities"])
def test_clips_are_learned_from_one_by_one_and_averaged_as_asked(average: Average) -> None:
    table = build_table(noise=3.0, clips=3)
    result = measure(table, level="clip", average=average)
    test, classifier = table.select("test"), result.classifier
    scores = classifier.scores(test.vectors).astype(np.float64)
    if average == "probabilities":
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = list(dict.fromkeys(test.video_ids)) if average != "none" else list(range(len(test)))
    of_row = test.video_ids if average != "none" else np.arange(len(test))
    right = 0
    for name in names:
        rows = np.flatnonzero(of_row == name)
        told = classifier.classes[int(scores[rows].mean(axis=0).argmax())]
        right += told == test.column("label")[rows[0]]
    level = only(result)
    assert level.queries == len(names) == (96 if average == "none" else 32)
    assert level.top1 == right / len(names)
    assert level.gallery == 8 * 6 * 3
    assert result.ranking.settings["average"] == average


def test_mean_logits_are_those_of_the_mean_vector() -> None:
    table = build_table(noise=3.0, clips=3)
    clips = measure(table, level="clip", average="logits")
    test = table.average_per_video("test")
    told = [clips.classifier.classes[n] for n in clips.classifier.scores(test.vectors).argmax(axis=1)]
    assert only(clips).top1 == np.mean([a == b for a, b in zip(told, test.column("label"), strict=True)])


def test_more_test_vectors_than_a_block_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = build_table(clips=3)
    whole = only(measure(table, level="clip", average="probabilities"))
    monkeypatch.setattr("unreel.evaluate.linear_probe._QUERIES_PER_BLOCK", 7)
    assert only(measure(table, level="clip", average="probabilities")) == whole


def test_vectors_of_length_1_are_what_a_normalising_probe_learns_and_tests() -> None:
    table = build_table()
    table.vectors[:] *= np.linspace(0.1, 100, len(table))[:, None].astype(np.float32)
    probe = LinearProbeConfig(epochs=12, lrs=(0.1,), is_l2_normalized=True, has_batch_norm=True)
    result = measure(table, probe=probe, level="clip")
    assert result.classifier.is_l2_normalized
    train = table.select("train")
    fitted = fit_probe(
        normalize_rows(train.vectors), np.unique(train.column("label"), return_inverse=True)[1], 0.1, probe
    )
    assert result.classifier.weights_CD.tobytes() == fitted.weights_CD.tobytes()
    test = table.select("test")
    told = np.array(result.classifier.classes)[fitted.predict(normalize_rows(test.vectors))]
    assert only(result).top1 == (told == test.column("label")).mean()
    assert only(result).top1 > 0.4


def test_a_rate_is_chosen_without_a_look_at_the_test_split() -> None:
    table = build_table()
    probe = LinearProbeConfig(epochs=4, lrs=(0.001, 0.5), num_folds=3)
    level = only(measure(table, probe=probe))
    assert [trial.lr for trial in level.trials] == [0.001, 0.5]
    in_test = table.column("split") == "test"
    table.vectors[in_test] = np.roll(table.vectors[in_test], 5, axis=0)
    other = only(measure(table, probe=probe))
    assert (other.trials, other.lr, other.final_loss) == (level.trials, level.lr, level.final_loss)
    assert other.top1 < level.top1


def test_classes_that_training_lacks_count_as_wrong_and_are_named() -> None:
    table = build_table(noise=0.01, num_classes=3)
    labels = [
        "new" if split == "test" and name == "class 2" else str(name)
        for split, name in zip(table.column("split"), table.column("label"), strict=True)
    ]
    labels[0] = labels[-1] = ""
    found = only(measure(relabel(table, labels), level="clip"))
    assert (found.unknown_classes, found.unknown, found.queries) == (["new"], 7, 23)
    assert (found.without_target, found.gallery_without_target) == (1, 1)
    assert found.top1 == pytest.approx(16 / 23)


def test_the_classifier_that_was_measured_can_be_kept(tmp_path: Any) -> None:
    result = measure(build_table(), config=RankingConfig(by="group"))
    result.classifier.save(tmp_path / "linear.safetensors")
    loaded = LinearClassifier.load(tmp_path / "linear.safetensors")
    assert loaded.classes == ("group 0", "group 1", "group 2")


def test_the_result_is_plain_json() -> None:
    probe = LinearProbeConfig(epochs=2, lrs=(0.1, 1.0), num_folds=3, schedule="milestones")
    values = json.loads(json.dumps(measure(build_table(), probe=probe).to_json()))
    assert values["protocol"] == "linear"
    settings = values["settings"]
    assert (settings["query_split"], settings["gallery_split"], settings["average"]) == (
        "test",
        "train",
        "none",
    )
    assert (settings["schedule"], settings["milestones"], settings["lrs"]) == (
        "milestones",
        [60, 80],
        [0.1, 1.0],
    )
    level = values["levels"]["video"]
    assert level["trials"][0].keys() == {"lr", "accuracy", "diverged"}
    assert len(level["loss_by_epoch"]) == 2
    assert math.isfinite(values["seconds"])


def test_refusals() -> None:
    table = build_table(num_classes=2)
    with pytest.raises(ValueError, match=r"average is 'logits', and at level 'video' .* choose level 'clip'"):
        measure(table, average="logits")
    with pytest.raises(ValueError, match="a linear probe takes the vectors as they are"):
        measure(table, config=RankingConfig(is_centered=True))
    with pytest.raises(FeaturesError, match="a linear probe needs two classes"):
        measure(relabel(table, ["a"] * len(table)))
    table.vectors[:] *= 1e30
    with pytest.raises(TrainingError, match=r"at learning rate 0\.5; give a lower one in lrs, or bring the"):
        measure(table)
