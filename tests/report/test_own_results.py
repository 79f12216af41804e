"""Results of `unreel evaluate` in the units and words of the papers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.features.tiny import build_vectors
from tests.report.paper_examples import (
    FEATURES,
    RANKING,
    make_accuracy,
    make_retrieval,
    make_similarity,
    parse,
)
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.evaluate.svm import evaluate_svm
from unreel.report.evaluation_files import Evaluation, parse_evaluation
from unreel.report.own_origin import Origin
from unreel.report.own_results import explain_absence, list_own_rows
from unreel.report.paper_protocols import TASKS, Measure


def numbers_of(
    evaluation: Evaluation, origin: Origin | None = None
) -> dict[tuple[str, str], dict[str, float]]:
    """Return the numbers by task and level."""
    return {
        (row.task, row.level): {measure.number: value for measure, value in row.numbers.items()}
        for row in list_own_rows(evaluation, origin or Origin())
    }


def test_shares_become_percent_and_levels_are_apart() -> None:
    found = numbers_of(make_retrieval())
    assert found["retrieval", "video"] == pytest.approx({"top1": 43.9, "top5": 60.0})
    assert found["video_to_video", "clip"] == pytest.approx({"top1": 20.0})


def test_the_class_is_what_the_papers_ask_for() -> None:
    by_group = make_retrieval(settings={**RANKING, "by": "group"})
    assert list_own_rows(by_group, Origin()) == []
    assert explain_absence(by_group) == "retrieval by group; the papers ask for the class"


@pytest.mark.parametrize(
    ("protocol", "origin", "tasks"),
    [
        ("svm", Origin(), {"svm", "f-measure"}),
        ("linear", Origin(), {"linear", "f-measure", "shuffle"}),
        ("recognition", Origin(), {"finetune", "f-measure"}),
        ("recognition", Origin(is_frozen=True), {"linear", "f-measure", "shuffle"}),
        ("recognition", Origin(is_shifted=True), {"finetune tsm", "f-measure"}),
    ],
)
def test_an_accuracy_belongs_to_how_it_was_learned(protocol: str, origin: Origin, tasks: set[str]) -> None:
    found = numbers_of(make_accuracy(protocol), origin)
    assert {task for task, _ in found} == tasks
    assert {level for _, level in found} == {"video"}
    assert found["f-measure", "video"] == {"F-measure": 50.0}
    assert all(numbers == {"top1": 62.5} for (task, _), numbers in found.items() if "fine" in task)


def test_a_linear_layer_gives_the_first_column_of_the_shuffles() -> None:
    assert numbers_of(make_accuracy("linear"))["shuffle", "video"] == {"normal": 62.5}


def test_cosines_stay_cosines() -> None:
    assert numbers_of(make_similarity()) == {("similarity", ""): {"gq_gk": 0.9, "gq_tk": 0.25}}


def test_the_drop_under_shuffling_is_in_points() -> None:
    svm = {"normal": 0.65, "mean_shuffled": 0.25, "difference": 0.4, "chance": 0.125, "queries": 10}
    values = {"protocol": "shuffle-sensitivity", "svm": svm, "settings": RANKING, "features": FEATURES}
    found = numbers_of(parse(Path("s.json"), values))
    assert found == {("shuffle", "video"): {"normal": 65.0, "shuffled": 25.0, "drop": 40.0}}


@pytest.mark.parametrize(("is_averaged", "level"), [(False, "clip"), (True, "video")])
def test_cycles_have_four_tasks(is_averaged: bool, level: str) -> None:
    task = {"queries": 4, "gallery": 8, "recall": {"1": 0.5, "50": 1.0}}
    tasks = dict.fromkeys(("frame_to_video", "video_to_frame", "frame_to_frame", "video_to_video"), task)
    settings = {**RANKING, "is_averaged": is_averaged}
    found = numbers_of(parse(Path("c.json"), {"protocol": "cycle", "settings": settings, "tasks": tasks}))
    assert found["frame_to_video", "clip"] == {"top1": 50.0, "top50": 100.0}
    assert set(found) == {
        ("frame_to_video", "clip"),
        ("video_to_frame", "clip"),
        ("frame_to_frame", level),
        ("video_to_video", level),
    }


def test_the_area_is_in_percent_already() -> None:
    proposals = {"auc": 65.5, "average_recall": {"1": 0.1, "100": 0.738}}
    values = {"protocol": "average recall of temporal proposals", "proposals": proposals, "settings": {}}
    found = numbers_of(parse(Path("ar.json"), values))
    assert found["proposals", ""] == pytest.approx({"AUC": 65.5, "AR@100": 73.8})


def low_shot(learner: str, metric: str = "top1") -> Evaluation:
    points = [
        {"fraction": share, "mean": mean, "deviation": 0.0} for share, mean in ((0.01, 0.25), (1, 0.75))
    ]
    settings = {"by": "label", "learner": learner, "metric": metric, "fractions": [0.01, 1]}
    curves = [{"name": "scvrl", "points": points}]
    (found,) = parse_evaluation(
        Path("few.json"), {"protocol": "low-shot", "settings": settings, "curves": curves}
    )
    return found


def test_shares_of_labels_are_those_of_networks_that_are_fine_tuned() -> None:
    assert numbers_of(low_shot("finetune")) == {("low-shot", ""): {"1%": 25.0, "100%": 75.0}}
    assert numbers_of(low_shot("svm")) == {}
    assert numbers_of(low_shot("finetune", "mean_class")) == {}
    assert "top1 with few labels by svm" in explain_absence(low_shot("svm"))


@pytest.mark.parametrize(
    ("protocol", "words"), [("knn", "no paper prints"), ("elo", "elo; it has no number")]
)
def test_what_no_paper_prints_is_said(protocol: str, words: str) -> None:
    evaluation = parse(
        Path("r.json"), {"protocol": protocol, "settings": {}, "levels": {"video": {"a": 1.0}}}
    )
    assert list_own_rows(evaluation, Origin()) == []
    assert words in explain_absence(evaluation)


def test_a_mean_over_splits_counts_as_its_parts_do() -> None:
    values = {
        "protocol": "average",
        "averaged_protocol": "recognition",
        "sources": ["1.json", "2.json", "3.json"],
        "numbers": {"top1": {"mean": 0.775}},
    }
    assert numbers_of(parse(Path("mean.json"), values)) == {("finetune", "video"): {"top1": 77.5}}


def test_the_writers_give_these_names() -> None:
    table = build_vectors(
        [[1, 0], [0, 1], [2, 0], [0, 2]],
        ["p", "q", "r", "s"],
        labels=["a", "b", "a", "b"],
        splits=["train", "train", "test", "test"],
    )
    retrieval = parse(Path("r.json"), through_json(evaluate_retrieval(table, ks=[1]).to_json()))
    assert numbers_of(retrieval) == {
        ("retrieval", "video"): {"top1": 100.0},
        ("video_to_video", "clip"): {"top1": 100.0},
    }
    svm = parse(Path("s.json"), through_json(evaluate_svm(table).to_json()))
    assert numbers_of(svm)["svm", "video"] == {"top1": 100.0}


def through_json(values: Any) -> Any:
    return json.loads(json.dumps(values))


def test_tasks_of_measures_are_known() -> None:
    rows = list_own_rows(make_retrieval(), Origin())
    assert {row.task for row in rows} <= set(TASKS)
    assert all(isinstance(measure, Measure) for row in rows for measure in row.numbers)
