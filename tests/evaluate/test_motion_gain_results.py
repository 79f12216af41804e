import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table
from unreel.errors import FeaturesError
from unreel.evaluate.knn import evaluate_knn
from unreel.evaluate.linear_probe import evaluate_linear
from unreel.evaluate.motion_gain_results import ClassAccuracies
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.evaluate.svm import evaluate_svm
from unreel.features.table import FeatureTable
from unreel.runs import write_json

TABLE = build_table(num_classes=3)


def read(values: object, **changes: object) -> ClassAccuracies:
    """Read values as they are after they were written and read."""
    return ClassAccuracies.from_json(json.loads(json.dumps(values)), "x.json", **changes)  # type: ignore[arg-type]


def test_accuracies_of_an_svm_are_taken_as_they_are(tmp_path: Path) -> None:
    result = evaluate_svm(TABLE)
    write_json(tmp_path / "a.json", result.to_json())
    found = ClassAccuracies.load(tmp_path / "a.json")
    level = result.ranking.levels["video"]
    assert found.accuracy_by_class == level.accuracy_by_class
    assert found.queries_by_class == level.queries_by_class
    assert found.source == str(tmp_path / "a.json")
    assert found.fitting == {
        "protocol": "svm",
        "level": "video",
        "k": None,
        "by": "label",
        "query_split": "test",
        "gallery_split": "train",
    }
    assert found.settings["costs"] == [1.0]
    assert found.settings["pooling"] == "average"
    assert found.settings.keys().isdisjoint({"encoder", "encoder_hash", "root", "by"})


def test_accuracies_of_a_linear_probe_are_taken_too() -> None:
    result = evaluate_linear(TABLE, level="clip", average="probabilities", probe=LinearProbeConfig(epochs=2))
    found = read(result.to_json(), level="clip")
    level = result.ranking.levels["clip"]
    assert found.accuracy_by_class == level.accuracy_by_class
    assert (found.fitting["protocol"], found.fitting["level"]) == ("linear", "clip")
    assert found.settings["average"] == "probabilities"


def test_recall_is_taken_at_the_wanted_k_and_level() -> None:
    result = evaluate_retrieval(TABLE, ks=[1, 5])
    for level in ("video", "clip"):
        for k in (1, 5):
            found = read(result.to_json(), level=level, k=k)
            expected = result.levels[level].recall_by_class
            assert found.accuracy_by_class == {name: own[k] for name, own in expected.items()}
            assert (found.fitting["level"], found.fitting["k"]) == (level, k)
    assert result.levels["video"].recall_by_class != result.levels["clip"].recall_by_class


def test_features_are_classified_first(tmp_path: Path) -> None:
    TABLE.save(tmp_path / "f.parquet")
    for level in ("video", "clip"):
        found = ClassAccuracies.load(tmp_path / "f.parquet", level=level)  # type: ignore[arg-type]
        expected = evaluate_svm(TABLE, level=level).ranking.levels[level]  # type: ignore[index, arg-type]
        assert found.accuracy_by_class == expected.accuracy_by_class


def test_results_of_one_protocol_on_the_same_videos_fit() -> None:
    first = read(evaluate_svm(TABLE).to_json())
    second = read(evaluate_svm(build_table(1, num_classes=3)).to_json())
    first.check_fits(second)
    assert first.find_differences(second) == []


def test_other_settings_are_named() -> None:
    first, second = evaluate_svm(TABLE).to_json(), evaluate_svm(TABLE).to_json()
    second["settings"]["has_bias"] = True
    second["features"]["clips_per_video"] = 3
    assert read(first).find_differences(read(second)) == [
        "clips_per_video: 1, not 3",
        "has_bias: False, not True",
    ]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("by", "group", "by is 'label' in x.json and 'group' in x.json; measure both in the same way"),
        ("query_split", "val", "query_split is 'test'"),
        ("gallery_split", "", "gallery_split is 'train'"),
    ],
)
def test_results_of_other_splits_or_targets_are_refused(name: str, value: str, message: str) -> None:
    values = evaluate_svm(TABLE).to_json()
    values["settings"] = {**values["settings"], name: value}
    with pytest.raises(FeaturesError, match=message):
        read(evaluate_svm(TABLE).to_json()).check_fits(read(values))


def test_results_of_another_protocol_level_or_k_are_refused() -> None:
    svm, retrieval = evaluate_svm(TABLE).to_json(), evaluate_retrieval(TABLE, ks=[1, 5]).to_json()
    with pytest.raises(FeaturesError, match="protocol is 'svm'"):
        read(svm).check_fits(read(retrieval))
    with pytest.raises(FeaturesError, match="level is 'video'"):
        read(retrieval).check_fits(read(retrieval, level="clip"))
    with pytest.raises(FeaturesError, match="k is 1"):
        read(retrieval).check_fits(read(retrieval, k=5))


def test_results_of_other_videos_are_refused() -> None:
    fewer = TABLE.take(np.flatnonzero(TABLE.video_ids != "1-9"))
    with pytest.raises(FeaturesError, match=r"4 of 'class 1' were tested in x.json and 3 in x.json"):
        read(evaluate_svm(TABLE).to_json()).check_fits(read(evaluate_svm(fewer).to_json()))
    without = TABLE.take(np.flatnonzero(TABLE.column("label") != "class 0"))
    with pytest.raises(FeaturesError, match=r"4 of 'class 0' were tested in x.json and 0"):
        read(evaluate_svm(TABLE).to_json()).check_fits(read(evaluate_svm(without).to_json()))


@pytest.mark.parametrize(
    "damaged",
    [
        {"levels": {"video": {"queries_by_class": {}}}},
        {"levels": 7},
        {"levels": {"video": {"queries_by_class": 7, "accuracy_by_class": {}}}},
        {"features": {}},
        {"settings": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", ["svm", "retrieval"])
def test_a_damaged_result_is_refused_by_name(
    damaged: dict[str, object], protocol: str, tmp_path: Path
) -> None:
    parts = {
        "recall_by_class": {"a": {"1": 0.5}},
        "accuracy_by_class": {"a": 0.5},
        "queries_by_class": {"a": 2},
    }
    settings = {"by": "class", "query_split": "test", "gallery_split": "train"}
    whole = {
        "protocol": protocol,
        "levels": {"video": parts},
        "settings": settings,
        "features": {"encoder": "x"},
    }
    write_json(tmp_path / "r.json", whole)
    assert ClassAccuracies.load(tmp_path / "r.json").accuracy_by_class == {"a": 0.5}
    write_json(tmp_path / "r.json", whole | damaged)
    with pytest.raises(FeaturesError, match=rf"r.json is damaged .*; write it .* evaluate {protocol} --out"):
        ClassAccuracies.load(tmp_path / "r.json")


def test_what_has_no_accuracies_by_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match="is no result with accuracies by class"):
        read(evaluate_knn(TABLE, ks=[1]).to_json())
    with pytest.raises(FeaturesError, match="is no result with accuracies by class"):
        read([1, 2])
    with pytest.raises(FeaturesError, match="has no level 'clip', only video"):
        read(evaluate_svm(TABLE).to_json(), level="clip")
    with pytest.raises(FeaturesError, match=r"has no recall@3, only k = 1, 5; choose --k"):
        read(evaluate_retrieval(TABLE, ks=[1, 5]).to_json(), k=3)
    with pytest.raises(FeaturesError, match="cannot be read as a result"):
        ClassAccuracies.load(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(FeaturesError, match="cannot be read as a result"):
        ClassAccuracies.load(tmp_path / "bad.json")
    with pytest.raises(FeaturesError, match="cannot be read as a table of features"):
        ClassAccuracies.load(tmp_path / "absent.parquet")
    no_splits = FeatureTable.from_columns(
        TABLE.info,
        TABLE.vectors,
        **{
            name: [""] * len(TABLE) if name == "split" else TABLE.column(name)
            for name in FeatureTable.column_names()
        },
    )
    no_splits.save(tmp_path / "f.parquet")
    with pytest.raises(FeaturesError, match="name two splits"):
        ClassAccuracies.load(tmp_path / "f.parquet")
