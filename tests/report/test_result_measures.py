import json
from typing import Any

import pytest

from tests.evaluate.test_svm import build_table
from unreel.evaluate.knn import evaluate_knn
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.evaluate.svm import evaluate_svm
from unreel.report.result_measures import PROTOCOLS, Measure, describe_protocol, name_protocol
from unreel.report.result_values import list_numbers


def test_a_measure_for_every_k_is_sorted_by_number() -> None:
    measure = Measure("recall@{}", "video.recall.*", beside="video.chance.*")
    names = ["video.recall.10", "video.recall.5", "clip.recall.1", "video.recall.x", "video.top1"]
    found = measure.expand(names)
    assert [own.title for own in found] == ["recall@5", "recall@10", "recall@x"]
    assert [own.beside for own in found] == ["video.chance.5", "video.chance.10", "video.chance.x"]
    assert [own.name for own in found] == ["video.recall.5", "video.recall.10", "video.recall.x"]


def test_a_measure_that_no_result_has_is_none() -> None:
    assert Measure("top 1", "top1").expand(["top5"]) == []
    assert Measure("top 1", "top1").expand(["top1"]) == [Measure("top 1", "top1")]


def test_names_are_no_patterns() -> None:
    assert Measure("{}", "a.(*)").expand(["a.(5)", "ax(5)"])[0].name == "a.(5)"


@pytest.mark.parametrize(
    ("value", "is_share", "text"),
    [
        (0.4391, True, "43.9"),
        (-0.027, True, "-2.7"),
        (0.60316, False, "0.603"),
        (1.0, False, "1.000"),
        (20.34375, False, "20.344"),
        (100.0, False, "100"),
    ],
)
def test_shares_are_written_in_percent_and_others_as_they_are(
    value: float, is_share: bool, text: str
) -> None:
    assert Measure("", "x", is_share).write({"x": value}) == text


def test_a_number_that_is_not_there_is_empty() -> None:
    assert Measure("", "x").write({}) == ""
    assert Measure("", "x", beside="y").write({"y": 0.125}, "y") == "12.5"


@pytest.mark.parametrize(
    ("evaluate", "changes", "expected"),
    [
        (evaluate_retrieval, {"ks": [1]}, {"video level": ["recall@1"], "clip level": ["recall@1"]}),
        (evaluate_knn, {"ks": [1]}, {"video level, one vote each": ["k = 1"]}),
        (evaluate_svm, {}, {"video level": ["top 1", "top 5", "mean over classes"]}),
    ],
)
def test_what_the_evaluators_write_has_its_columns(
    evaluate: Any, changes: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    values = json.loads(json.dumps(evaluate(build_table(), **changes).to_json()))
    numbers = list_numbers(values)
    groups = dict(PROTOCOLS[values["protocol"]].groups)
    for title, columns in expected.items():
        found = [column for measure in groups[title] for column in measure.expand(numbers)]
        assert [column.title for column in found][: len(columns)] == columns
        assert all(column.write(numbers) for column in found)
        assert all(column.beside in numbers for column in found if column.beside)


def test_a_protocol_that_is_not_known_shows_its_first_numbers() -> None:
    shown = describe_protocol("new", [f"number_{number}" for number in range(50)])
    ((title, measures),) = shown.groups
    assert (shown.title, title) == ("new", "")
    assert [measure.title for measure in measures] == [f"number {number}" for number in range(12)]


def test_every_protocol_is_explained_in_a_sentence() -> None:
    for protocol in PROTOCOLS.values():
        assert protocol.text.endswith(".")
        assert protocol.groups
    assert name_protocol("svm") == "Linear SVM"
    assert name_protocol("new") == "new"
