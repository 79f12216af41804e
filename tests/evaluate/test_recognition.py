import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from tests.features.test_reading import break_video
from tests.features.tiny_classifier import CONFIG, build_classifier
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError, FeaturesError
from unreel.evaluate.accuracy import measure_scores
from unreel.evaluate.recognition import (
    RecognitionResult,
    evaluate_recognition,
    find_test_split,
    take_labelled,
)
from unreel.features.classifier import Classifier
from unreel.features.classify import classify_videos
from unreel.features.reading import ReadConfig

READ = ReadConfig(batch_size=8, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def classifier(catalog: Catalog) -> Classifier:
    """Return one that does not give the same answer to all."""
    logits = classify_videos(build_classifier(average="logits"), catalog, range(12), READ)
    classifier = build_classifier()
    with torch.no_grad():
        classifier.head.linear.bias -= torch.tensor(np.mean([video.scores_C for video in logits], axis=0))
    classifier.provenance["training_counts"] = {"speed0": 1, "speed1": 5, "speed2": 3}
    return classifier


def evaluate(classifier: Classifier, catalog: Catalog, **settings: Any) -> RecognitionResult:
    return evaluate_recognition(classifier, catalog, read=READ, **settings)


def relabel(catalog: Catalog, **labels: str) -> Catalog:
    """Return the catalog with other labels, by the name of the file without its extension."""
    table = catalog.table
    names = [path.removesuffix(".mp4") for path in table["path"].to_pylist()]
    changed = [labels.get(f"v{name}", label) for name, label in zip(names, catalog.labels, strict=True)]
    column = table.schema.get_field_index("label")
    return Catalog(table.set_column(column, table.schema.field("label"), [changed]), catalog.root)


def test_the_test_split_is_measured_video_by_video(classifier: Classifier, catalog: Catalog) -> None:
    result = evaluate(classifier, catalog)
    videos = catalog.select("test")
    scores = np.stack([video.scores_C for video in classify_videos(classifier, videos, range(3), READ)])
    assert result.accuracy == measure_scores(
        scores, classifier.classes, videos.labels, classifier.training_counts
    )
    assert (result.videos, result.without_label, result.rejected) == (3, 0, [])
    assert (result.accuracy.queries, result.accuracy.classes) == (3, 3)
    assert result.top1_of_all == result.accuracy.top1
    np.testing.assert_array_equal(result.scores.scores_VC, scores)


def test_accuracies_are_those_of_scikit_learn(classifier: Classifier, catalog: Catalog) -> None:
    result = evaluate(classifier, catalog, split="")
    told = [result.scores.rank(row, 1)[0][0] for row in range(12)]
    assert len(set(told)) > 1
    assert result.accuracy.top1 == pytest.approx(accuracy_score(catalog.labels, told))
    assert result.accuracy.mean_class == pytest.approx(balanced_accuracy_score(catalog.labels, told))
    # The class most often learned from is speed1, the label of four of the twelve videos.
    assert result.accuracy.constant == pytest.approx(4 / 12)


def test_the_result_says_what_was_measured(classifier: Classifier, catalog: Catalog) -> None:
    values = json.loads(json.dumps(evaluate(classifier, catalog, split="train").to_json()))
    assert values["protocol"] == "recognition"
    assert values["settings"]["split"] == "train"
    assert values["settings"]["views"]["clips"] == 2
    assert values["settings"]["views"]["average"] == "probabilities"
    assert values["settings"]["input"]["num_frames"] == 4
    assert values["settings"]["catalog_hash"] == catalog.hash
    assert (values["model"]["hash"], values["model"]["precision"]) == (classifier.hash, "float32")
    assert values["top5"] is None
    assert sum(values["queries_by_class"].values()) == values["queries"] == 9
    assert "scores" not in values


def test_a_catalog_without_a_test_split_is_measured_as_a_whole(
    classifier: Classifier, catalog: Catalog
) -> None:
    result = evaluate(classifier, catalog.select("train"))
    assert (result.settings["split"], result.videos) == ("", 9)


def test_where_test_videos_have_no_labels_those_of_validation_are_measured(
    classifier: Classifier, catalog: Catalog
) -> None:
    """As in Something-Something; the training videos are never taken along."""

    def name_splits(test: str, train: str, *, is_bare: bool) -> Catalog:
        table = catalog.table
        bare = [
            "" if is_bare and split == "test" else label
            for split, label in zip(catalog.splits, catalog.labels, strict=True)
        ]
        splits = [{"test": test, "train": train}[split] for split in catalog.splits]
        for column, values in (("label", bare), ("split", splits)):
            place = table.schema.get_field_index(column)
            table = table.set_column(place, table.schema.field(column), [values])
        return Catalog(table, catalog.root)

    assert find_test_split(catalog) == "test"
    for name in ("val", "validation"):
        result = evaluate(classifier, name_splits(name, "train", is_bare=False))
        assert (result.settings["split"], result.videos) == (name, 3)
        assert find_test_split(name_splits("test", name, is_bare=True)) == name
    assert find_test_split(name_splits("test", "train", is_bare=True)) == "test"
    with pytest.raises(CatalogError, match="none of the 3 videos of split 'test' has a label"):
        evaluate(classifier, name_splits("test", "train", is_bare=True))


def test_a_rejected_video_is_named_and_counts_as_wrong_in_a_number_of_its_own(
    classifier: Classifier, corpus: Path, tmp_path: Path
) -> None:
    broken = break_video(corpus, tmp_path / "broken", "07.mp4")
    with pytest.raises(
        FeaturesError, match=r"1 of 12 videos cannot be used, more than max_rejected_fraction"
    ):
        evaluate(classifier, broken, split="")
    result = evaluate(classifier, broken, split="", max_rejected_fraction=0.1)
    assert [Path(rejection.path).name for rejection in result.rejected] == ["07.mp4"]
    assert (result.videos, result.accuracy.queries) == (12, 11)
    assert result.top1_of_all == pytest.approx(result.accuracy.top1 * 11 / 12)
    assert result.to_json()["rejected"][0]["path"].endswith("07.mp4")
    assert result.scores.reasons.keys() == {7}


def test_when_nothing_can_be_read_there_is_nothing_to_measure(
    classifier: Classifier, corpus: Path, tmp_path: Path
) -> None:
    broken = break_video(corpus, tmp_path / "broken", "07.mp4").take([7])
    with pytest.raises(CatalogError, match="none of the 1 videos can be read"):
        evaluate(classifier, broken, split="", max_rejected_fraction=1.0)


def test_a_label_that_the_classifier_does_not_know_counts_as_wrong(
    classifier: Classifier, catalog: Catalog
) -> None:
    changed = relabel(catalog, v03="unheard", v07="of")
    result = evaluate(classifier, changed)
    assert result.accuracy.unknown_classes == ["of", "unheard"]
    assert (result.accuracy.unknown, result.accuracy.queries) == (2, 3)
    assert result.accuracy.accuracy_by_class["unheard"] == 0
    assert result.accuracy.top1 <= 1 / 3


def test_videos_without_label_are_left_out_and_counted(classifier: Classifier, catalog: Catalog) -> None:
    result = evaluate(classifier, relabel(catalog, v03="", v07=""), split="test")
    assert (result.videos, result.without_label) == (1, 2)
    assert result.scores.videos.labels == ["speed2"]


def test_what_cannot_be_measured_is_refused(classifier: Classifier, catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="the catalog has no split 'val'; it has 'test', 'train'"):
        evaluate(classifier, catalog, split="val")
    bare = relabel(catalog, **{f"v{number:02d}": "" for number in range(12)})
    with pytest.raises(CatalogError, match=r"none of the 3 videos of split 'test' has a label.*from-folders"):
        evaluate(classifier, bare)
    with pytest.raises(CatalogError, match="the catalog holds no video"):
        take_labelled(catalog.take([]), "")
    with pytest.raises(ValueError, match="max_rejected_fraction must be between 0 and 1, got 2"):
        evaluate(classifier, catalog, max_rejected_fraction=2)


def test_progress_is_told_every_video_once(classifier: Classifier, catalog: Catalog) -> None:
    told: list[tuple[int, int]] = []
    evaluate(classifier, catalog, progress=lambda done, total, note: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_classifier_whose_training_is_unknown_has_no_constant_answer(catalog: Catalog) -> None:
    assert evaluate(build_classifier(), catalog).accuracy.constant is None


def test_more_classes_have_a_top_five(catalog: Catalog) -> None:
    config = replace(CONFIG, classes=(*CONFIG.classes, "a", "b", "c"))
    assert evaluate(build_classifier(config=config), catalog).accuracy.top5 is not None
