import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_svm import build_table
from tests.report.run_folders import HASH, OTHER_HASH, recognition, retrieval, write_json
from unreel.errors import FeaturesError
from unreel.evaluate.average_results import average_results
from unreel.evaluate.knn import evaluate_knn
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.evaluate.svm import evaluate_svm
from unreel.report.evaluation_files import find_evaluations, parse_evaluation, read_evaluations


def parse(values: Any) -> Any:
    (found,) = parse_evaluation(Path("result.json"), json.loads(json.dumps(values)))
    return found


def test_retrieval_is_read_by_level_and_k() -> None:
    found = parse(retrieval())
    assert found.protocol == "retrieval"
    assert found.encoder_hash == HASH
    assert found.encoder == "run/encoder"
    assert found.numbers["video.recall.1"] == 0.5
    assert found.numbers["video.chance.5"] == 0.5
    assert found.settings["query_split"] == "test"
    assert found.measured["pooling"] == "average"
    assert found.confusion is None
    assert found.num_averaged == 1


def test_results_as_the_evaluators_write_them_are_read(tmp_path: Path) -> None:
    """What the commands write today; a change of their formats shows here."""
    table = build_table()
    recall = evaluate_retrieval(table, ks=[1])
    found = parse(recall.to_json())
    assert found.numbers["video.recall.1"] == recall.levels["video"].recall[1]
    knn = evaluate_knn(table, ks=[1])
    assert parse(knn.to_json()).numbers["clip.majority.1"] == knn.levels["clip"].majority[1]
    svm = evaluate_svm(table)
    found = parse(svm.to_json())
    level = svm.ranking.levels["video"]
    assert found.numbers["video.top1"] == level.top1
    assert found.numbers["video.chance"] == level.chance
    assert found.confusion == level.confusion
    assert set(found.classes) >= set(level.accuracy_by_class)
    assert found.encoder_hash == table.info.encoder_hash


def test_recognition_names_the_hashes_of_its_classifier() -> None:
    found = parse(recognition())
    assert found.hashes == (HASH, "n" * 16)
    assert found.numbers["top1"] == 0.75
    assert found.numbers["classes"] == 2
    assert "top5" not in found.numbers
    assert found.confusion == {"up": {"up": 2}, "down": {"up": 1, "down": 1}}
    assert found.classes == ("up", "down")
    assert found.measured["name"] == "run/classifier"


def test_low_shot_is_one_measurement_per_encoder() -> None:
    point = {"fraction": 0.1, "videos": [8], "values": [0.5], "mean": 0.5, "deviation": 0.25}
    values = {
        "protocol": "low-shot",
        "settings": {
            "by": "label",
            "features": [{"encoder_hash": "a", "encoder": "cacl"}, {"encoder_hash": "b", "encoder": "moco"}],
        },
        "curves": [
            {"name": "first", "points": [point]},
            {"name": "second", "points": [point, {**point, "fraction": 1}]},
        ],
    }
    first, second = parse_evaluation(Path("few.json"), values)
    assert (first.encoder, first.encoder_hash, first.hashes) == ("cacl", "a", ("a",))
    assert first.numbers == {"10 %.mean": 0.5, "10 %.deviation": 0.25}
    assert second.encoder_hash == "b"
    assert list(second.numbers) == ["10 %.mean", "10 %.deviation", "100 %.mean", "100 %.deviation"]
    assert second.settings["features"] == {"encoder_hash": "b", "encoder": "moco"}


def test_low_shot_of_fine_tuned_networks_is_known_by_the_names_of_its_curves() -> None:
    values = {"protocol": "low-shot", "settings": {}, "curves": [{"name": "runs", "points": ["?"]}, 3]}
    (found,) = parse_evaluation(Path("few.json"), values)
    assert (found.encoder, found.encoder_hash, found.numbers) == ("runs", "", {})


def test_an_average_over_splits_is_one_of_its_protocol(tmp_path: Path) -> None:
    paths = []
    for number, recall in enumerate((0.25, 0.75)):
        values = retrieval(recall=recall, catalog_hash=f"split {number}")
        paths.append(write_json(tmp_path / f"{number}.json", values))
    found = parse(average_results(paths).to_json())
    assert found.protocol == "retrieval"
    assert found.numbers["video.recall.1"] == 0.5
    assert found.num_averaged == 2
    assert found.encoder == "mean of 2 results"
    assert not any("by_class" in name for name in found.numbers)
    assert not found.is_of_its_folder


def test_a_comparison_of_two_encoders_is_a_result_of_neither() -> None:
    values = {
        "protocol": "motion-gain",
        "first": "a",
        "second": "b",
        "mean_gain": 0.25,
        "correlation": None,
        "classes": [{"name": "up", "gain": 0.5}],
        "settings": {"features": {"encoder_hash": HASH}},
    }
    found = parse(values)
    assert found.encoder == "a to b"
    assert found.hashes == ()
    assert found.numbers == {"mean_gain": 0.25}
    assert not found.is_of_its_folder


def test_a_result_of_a_whole_run_is_known_by_its_weights() -> None:
    values = {
        "protocol": "degree",
        "settings": {"run": "runs/cacl", "weights_hash": "w"},
        "accuracy": 0.5,
        "degrees": [0, 2],
        "confusion": [[3, 1], [0, 4]],
    }
    found = parse(values)
    assert (found.encoder, found.encoder_hash) == ("cacl", "w")
    assert found.confusion == {"0": {"0": 3, "2": 1}, "2": {"2": 4}}
    assert found.measured == {}


def test_a_result_without_any_hash_speaks_of_the_folder_that_it_lies_in() -> None:
    assert parse(
        {"protocol": "average recall of temporal proposals", "proposals": {"auc": 20.0}}
    ).is_of_its_folder
    assert not parse(retrieval()).is_of_its_folder


@pytest.mark.parametrize("values", [[], {}, {"protocol": 3}, "text", None])
def test_what_is_no_result_is_refused(values: object) -> None:
    with pytest.raises(FeaturesError, match=r"x\.json is no result; give a file that `unreel evaluate"):
        parse_evaluation(Path("x.json"), values)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": None},
        {"features": [1]},
        {"levels": {"video": None, "clip": 3}},
        {"levels": [1]},
        {"confusion": [[1]], "degrees": "x"},
        {"protocol": "low-shot", "curves": {"a": 1}},
        {"protocol": "average", "numbers": [1], "sources": None},
        {"protocol": "degree", "degrees": [0, 2], "confusion": 7},
        {"protocol": "of another version", "new": {"number": 1}},
    ],
)
def test_a_damaged_or_newer_result_is_read_as_far_as_it_goes(changes: dict[str, Any]) -> None:
    for found in parse_evaluation(Path("x.json"), {**retrieval(), **changes}):
        json.dumps(found.to_dict(), allow_nan=False)


def test_files_that_are_no_results_are_named_and_left_out(tmp_path: Path) -> None:
    good = write_json(tmp_path / "good.json", retrieval())
    other = write_json(tmp_path / "other.json", {"tokens": []})
    broken = tmp_path / "broken.json"
    broken.write_text('{"protocol": "retr')
    told: list[str] = []
    found = read_evaluations([good, other, broken, tmp_path / "missing.json"], warn=told.append)
    assert [own.path for own in found] == [good]
    assert len(told) == 3
    assert "other.json is no result" in told[0]
    assert "broken.json cannot be read as a result" in told[1]
    assert "missing.json cannot be read as a result" in told[2]
    assert "write one with `unreel evaluate PROTOCOL --out`" in told[2]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_json(tmp_path / "large.json", retrieval())
    monkeypatch.setattr("unreel.report.evaluation_files.LARGEST_FILE_MB", 1e-6)
    told: list[str] = []
    assert read_evaluations([path], warn=told.append) == []
    assert "it is larger than" in told[0]


def test_results_lie_in_the_run_folder_and_in_evaluations(tmp_path: Path) -> None:
    write_json(tmp_path / "recipe.json", {"protocol": "no result, but a file of the run"})
    write_json(tmp_path / "recognition.json", recognition())
    write_json(tmp_path / "proposals.json", {"results": {}})
    write_json(tmp_path / "evaluations" / "b.json", retrieval(OTHER_HASH))
    write_json(tmp_path / "evaluations" / "a.json", retrieval())
    write_json(tmp_path / "evaluations" / "deeper" / "c.json", retrieval())
    (tmp_path / "evaluations" / "d.json").write_text("{")
    (tmp_path / "folder.json").mkdir()
    told: list[str] = []
    found = find_evaluations(tmp_path, warn=told.append)
    assert [own.path.name for own in found] == ["recognition.json", "a.json", "b.json"]
    assert len(told) == 1
    assert "d.json" in told[0]


def test_plain_values_are_fit_for_json_whatever_names_a_file_holds() -> None:
    values = retrieval()
    values["levels"]["video"]["bell\x07"] = 0.5
    plain = parse(values).to_dict()
    assert plain["numbers"]["video.bell?"] == 0.5
    assert plain["protocol"] == "retrieval"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_numbers_that_numpy_would_write_are_plain() -> None:
    assert all(
        type(value) is float for value in parse(retrieval(recall=float(np.float32(0.5)))).numbers.values()
    )
