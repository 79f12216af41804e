"""In what an own result was come by otherwise than a paper's."""

import json
from pathlib import Path
from typing import Any

from tests.report.paper_examples import (
    FEATURES,
    RANKING,
    make_accuracy,
    make_retrieval,
    make_run,
    parse,
    retrieval_values,
)
from unreel.report.evaluation_files import Evaluation
from unreel.report.own_origin import Origin, find_origin
from unreel.report.own_results import list_own_rows
from unreel.report.paper_settings import Difference, compare_settings
from unreel.report.paper_tables import build_table


def compare(
    evaluation: Evaluation, place: str = "cacl 4", runs: Any = (), task: str = "retrieval"
) -> tuple[dict[str, Difference], list[str]]:
    """Return the differences by setting, and the settings that agree."""
    origin = find_origin(evaluation, runs)
    row = next(row for row in list_own_rows(evaluation, origin) if row.task == task)
    paper, number = place.split()
    differences, agreements = compare_settings(build_table(paper, number), evaluation, origin, row)
    by_name = {difference.setting: difference for difference in differences}
    assert len(by_name) == len(differences)
    return by_name, [agreement.partition(":")[0] for agreement in agreements]


def test_what_agrees_is_apart_from_what_differs() -> None:
    differences, agreements = compare(make_retrieval(), runs=[make_run()])
    assert {"pooling", "clips per video", "level", "frames", "input", "backbone"} <= set(agreements)
    assert not set(differences) & set(agreements)
    features = {**FEATURES, "pooling": "average", "clips_per_video": 2}
    differences, agreements = compare(make_retrieval(features=features), runs=[make_run()])
    assert differences["pooling"] == ("pooling", "average", "conv5_max")
    assert differences["clips per video"] == ("clips per video", "2", "10")
    assert "pooling" not in agreements


def test_data_sets_always_differ_since_a_result_does_not_know_their_names() -> None:
    differences, _ = compare(make_retrieval())
    assert differences["data set"].own == (
        "catalog fedcba9876543210; a result does not know a data set's name"
    )
    assert differences["data set"].paper == "UCF101 split1 or HMDB51 split1"


def test_counts_and_splits_stand_beside_those_of_the_data_sets(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(retrieval_values(classes=8)))
    differences, _ = compare(make_retrieval(path))
    assert differences["classes"][1:] == ("8", "UCF101 split1 101, HMDB51 split1 51")
    assert differences["tested on"][1:] == (
        "3783 of split test",
        "UCF101 split1 3783, HMDB51 split1 1530",
    )
    assert differences["learned from or searched"].own == "9537 of split train"
    assert differences["chance"] == ("chance", "1.0 %", "not stated")


def test_a_guess_is_as_often_right_as_there_is_one_of_the_classes() -> None:
    differences, _ = compare(make_accuracy("svm", classes=8), "vclr 1", task="svm")
    assert differences["chance"] == ("chance", "25.0 %", "0.2 %")  # 1 of 400
    assert differences["classes"] == ("classes", "8", "400")


def test_videos_without_splits_are_said_to_have_none() -> None:
    differences, _ = compare(make_retrieval(settings={"by": "label", "query_split": "", "gallery_split": ""}))
    assert differences["tested on"].own == "3783, no split"


def test_what_only_the_run_knows_is_asked_for() -> None:
    differences, _ = compare(make_retrieval())
    for setting in ("backbone", "pre-training", "frames", "input"):
        assert differences[setting].own == "not known: give the run that made it"
    run = make_run(backbone={"architecture": "r3d_50"})
    differences, _ = compare(make_retrieval(), runs=[run])
    assert differences["backbone"][1:] == ("R3D-50", "C3D or R3D or R(2+1)D")
    assert differences["pre-training"].own == f"catalog {'1' * 16}, 9537 videos"


def test_a_classifier_says_itself_how_it_was_tested() -> None:
    settings = {"views": {"clips": 3}, "input": {"num_frames": 8, "crop_px": 40}, "split": "val"}
    differences, agreements = compare(make_accuracy("recognition", **settings), "ccl 4", task="finetune")
    assert differences["clips per video"][1:] == ("3", "10")
    assert differences["input"][1:] == ("40 x 40", "112 x 112")
    assert differences["tested on"].own == "40 of split val"
    assert "frames" in agreements
    assert "level" in agreements


def test_the_protocol_is_named_on_both_sides() -> None:
    differences, _ = compare(make_accuracy("svm"), "vclr 6", task="svm")
    assert differences["protocol"][1:] == ("unreel evaluate svm", "linear SVM (loss ablation)")


def test_a_mean_over_three_splits_agrees_with_one() -> None:
    values: dict[str, Any] = {
        "protocol": "average",
        "averaged_protocol": "recognition",
        "sources": ["1.json", "2.json", "3.json"],
        "numbers": {"top1": {"mean": 0.775}},
        "differences": ["costs is 1 in 1.json, 2 in 2.json"],
    }
    mean = parse(Path("mean.json"), values)
    differences, agreements = compare(mean, "cacl 5", task="finetune")
    assert "splits averaged" in agreements
    assert differences["within the mean"].own == "costs is 1 in 1.json, 2 in 2.json"
    assert differences["data set"].own == "not known"
    single, _ = compare(make_accuracy("recognition"), "cacl 5", task="finetune")
    assert single["splits averaged"][1:] == ("1", "3")


def test_vectors_that_were_moved_are_named() -> None:
    differences, _ = compare(make_retrieval(settings={**RANKING, "is_centered": True}))
    assert differences["vectors"].own == "less the mean of the gallery"
    assert "vectors" not in compare(make_retrieval())[0]


def test_the_classifier_of_the_shuffles_is_named() -> None:
    svm = {"normal": 0.65, "mean_shuffled": 0.25, "difference": 0.4, "chance": 0.125, "queries": 10}
    values = {"protocol": "shuffle-sensitivity", "svm": svm, "settings": RANKING, "features": FEATURES}
    differences, _ = compare(parse(Path("s.json"), values), "scvrl 2", task="shuffle")
    assert differences["classifier"][1:] == ("linear SVM", "linear layer")
    assert differences["tested on"].own == "10 of split test"
    assert differences["chance"].own == "12.5 %"
    _, agreements = compare(make_accuracy("linear"), "scvrl 2", task="shuffle")
    assert "classifier" in agreements


def test_what_comes_from_files_cannot_pass_for_something_else() -> None:
    features = {**FEATURES, "pooling": "a\nb\x1b[31m"}
    differences, _ = compare(make_retrieval(features=features))
    assert "\n" not in differences["pooling"].own
    assert "\x1b" not in differences["pooling"].own


def test_nothing_is_left_empty() -> None:
    for place, task in (("cacl 4", "retrieval"), ("vclr 4", "retrieval")):
        differences, _ = compare(make_retrieval(), place, task=task)
        assert all(difference.own and difference.paper for difference in differences.values())
    origin = Origin()
    assert origin.run == ""
