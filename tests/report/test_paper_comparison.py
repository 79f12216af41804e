"""Own results beside the papers' tables."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.paper_examples import (
    FEATURES,
    RANKING,
    make_accuracy,
    make_retrieval,
    make_run,
    make_similarity,
    parse,
    retrieval_values,
)
from unreel.errors import FeaturesError
from unreel.report.evaluation_files import Evaluation, parse_evaluation
from unreel.report.paper_comparison import PaperComparison, compare_with_paper, name_row
from unreel.report.paper_results import PAPERS, list_tables

TABLES = [(paper, table) for paper in PAPERS for table in list_tables(paper)]


@pytest.fixture
def retrieval(tmp_path: Path) -> Evaluation:
    """A retrieval among as many classes as UCF101 has."""
    path = tmp_path / "retrieval.json"
    path.write_text(json.dumps(retrieval_values()))
    return make_retrieval(path)


def names_of(compared: list[PaperComparison]) -> list[str]:
    return [own.table.name for own in compared]


def test_own_numbers_stand_in_the_columns_that_count_the_same(retrieval: Evaluation) -> None:
    (compared,) = compare_with_paper([retrieval], "cacl", "4", [make_run()])
    (own,) = compared.own
    assert [cell.text if cell else None for cell in own.row.cells] == ["43.9", "60.0", None, None, None]
    assert own.row.is_own
    assert own.row.key == ("yours: cacl/encoder", "C3D", "yours", "yours")
    assert len(compared.table.rows) == 22
    assert not any(row.is_own for row in compared.table.rows)
    assert own.name == "cacl/encoder, retrieval of videos, video level"
    assert own.file == str(retrieval.path)


def test_names_of_columns_may_differ_where_they_count_the_same(retrieval: Evaluation) -> None:
    (compared,) = compare_with_paper([retrieval], "vclr", "4")
    (own,) = compared.own
    numbers = {
        column.name: cell.text
        for column, cell in zip(compared.table.columns, own.row.cells, strict=True)
        if cell is not None
    }
    assert numbers == {"R@1": "43.9", "R@5": "60.0"}
    assert own.row.key[1] == "V"


def test_a_difference_is_taken_to_rows_of_the_method_and_network_alone(retrieval: Evaluation) -> None:
    (compared,) = compare_with_paper([retrieval], "cacl", "4", [make_run()])
    gaps = {name_row(gap.row, compared.table): gap for gap in compared.own[0].gaps}
    # 43.9 - 43.2 and 60.0 - 61.1; 43.9 - 44.2 and 60.0 - 63.1. HMDB51 has other classes.
    assert {name: gap.points for name, gap in gaps.items()} == {
        "CACL, C3D, UCF101 train split1, UCF101 split1": {"top1": 0.7, "top5": -1.1},
        "CACL* (Kinetics-400), C3D, Kinetics-400, UCF101 split1": {"top1": -0.3, "top5": -3.1},
    }
    assert next(iter(gaps.values())).text == "top1 +0.7, top5 -1.1"
    assert compared.own[0].reason == ""


def test_a_difference_never_stands_without_what_was_done_otherwise(retrieval: Evaluation) -> None:
    for paper, table in TABLES:
        for compared in compare_with_paper([retrieval, make_similarity()], paper, table, [make_run()]):
            for own in compared.own:
                assert bool(own.gaps) != bool(own.reason)
                assert "data set" in {difference.setting for difference in own.differences}


def test_another_network_is_compared_with_all_of_the_method(retrieval: Evaluation) -> None:
    run = make_run(backbone={"architecture": "r3d_50"})
    (compared,) = compare_with_paper([retrieval], "cacl", "4", [run])
    assert {gap.row.fields["backbone"] for gap in compared.own[0].gaps} == {"C3D", "R3D", "R(2+1)D"}
    assert {gap.row.fields["dataset"] for gap in compared.own[0].gaps} == {"UCF101 split1"}


def test_rows_of_another_task_are_not_subtracted_from(retrieval: Evaluation) -> None:
    run = make_run(method="ccl", backbone={"architecture": "r3d_plus1"})
    (compared,) = compare_with_paper([retrieval], "ccl", "3", [run])
    (own,) = compared.own
    assert own.name == "cacl/encoder, retrieval of clips, clip level"
    (gap,) = own.gaps
    # 20.0 - 22.0 from clips to clips; the same column has 32.7, from frames to frames.
    assert (gap.row.fields["task"], gap.points) == ("retrieval task C video=>video", {"top1": -2.0})
    assert gap.row.fields["method"] == "CCL"


def test_other_classes_make_a_difference_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(retrieval_values(classes=8)))
    (compared,) = compare_with_paper([make_retrieval(path)], "cacl", "4", [make_run()])
    assert compared.own[0].gaps == ()
    assert compared.own[0].reason == (
        "8 classes were told apart, HMDB51 split1 has 51, UCF101 split1 has 101: another task, and a "
        "difference says nothing"
    )


def test_without_a_run_or_a_row_of_its_method_no_difference_is_taken(retrieval: Evaluation) -> None:
    (compared,) = compare_with_paper([retrieval], "cacl", "4")
    assert compared.own[0].reason == "no run is given that it is a result of, so its method is not known"
    assert compared.own[0].row.key[1:3] == ("not known", "not known")
    (compared,) = compare_with_paper([retrieval], "cacl", "4", [make_run(method="vince")])
    assert compared.own[0].reason == "the table has no row of the method of cacl (vince)"


def test_a_row_without_these_numbers_gives_no_difference() -> None:
    run = make_run(method="cvrl")
    svm = {"normal": 0.65, "mean_shuffled": 0.25, "difference": 0.4, "chance": 0.01, "queries": 10}
    values = {"protocol": "shuffle-sensitivity", "svm": svm, "settings": RANKING, "features": FEATURES}
    (compared,) = compare_with_paper([parse(Path("s.json"), values)], "scvrl", "2", [run])
    points = {gap.row.fields["dataset"]: gap.points for gap in compared.own[0].gaps}
    # 65 - 67.4, 25 - 62.9 and 40 - 3.5; 65 - 12.0, 25 - 9.5 and 40 - 2.5.
    assert list(points["UCF101 split1"].values()) == [-2.4, -37.9, 36.5]
    assert list(points["Diving-48"].values()) == [53.0, 15.5, 37.5]
    clips = make_accuracy("linear", classes=200)
    (compared,) = compare_with_paper([clips], "vclr", "11", [make_run(method="seco")])
    assert compared.own[0].reason.startswith("200 classes were told apart, HMDB51 split1 has 51")


def test_cosines_are_written_as_the_paper_does() -> None:
    run = make_run(encoder_hash="d" * 16)
    (compared,) = compare_with_paper([make_similarity()], "cacl", "3", [run])
    assert [cell.text if cell else None for cell in compared.own[0].row.cells] == [
        "0.9000",
        None,
        "0.2500",
        None,
    ]
    (gap,) = compared.own[0].gaps
    # 0.9 - 0.8383 and 0.25 - 0.6487.
    assert list(gap.points.values()) == [0.0617, -0.3987]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (
            "cacl 5",
            "measures something else: retrieval of videos, retrieval of clips, and this table fine-tuning",
        ),
        ("ccl 4-5", "and this table nothing that unreel measures"),
        ("cacl 3", "and this table cosine of pairs"),
    ],
)
def test_what_belongs_in_no_column_is_listed_with_the_reason(
    retrieval: Evaluation, place: str, words: str
) -> None:
    (compared,) = compare_with_paper([retrieval], *place.split())
    assert compared.own == ()
    ((name, reason),) = compared.others
    assert name == "cacl/encoder, retrieval.json"
    assert words in reason


def test_a_result_with_other_numbers_of_the_task_says_so() -> None:
    few = {"video": {"recall": {"3": 0.5}, "queries": 4}, "clip": {"recall": {"1": 0.5}}}
    (compared,) = compare_with_paper([make_retrieval(levels=few)], "cacl", "4")
    assert compared.own == ()
    assert "measures something else: retrieval of clips" in compared.others[0][1]
    few = {"video": {"recall": {"50": 0.5}, "queries": 4}}
    (compared,) = compare_with_paper([make_retrieval(levels=few)], "vclr", "4")
    assert compared.others[0][1] == "has none of the numbers of this table (R@1, R@5, R@10, R@20)"


def test_what_no_paper_prints_is_in_no_table() -> None:
    knn = parse(Path("knn.json"), {"protocol": "knn", "settings": RANKING, "levels": {"video": {"a": 1.0}}})
    assert compare_with_paper([knn], "cacl") == []
    (compared,) = compare_with_paper([knn], "cacl", "4")
    assert compared.others == (
        ("knn, knn.json", "measures something else: k-NN accuracy; no paper prints it"),
    )


def test_tables_are_suggested_by_method_and_protocol(retrieval: Evaluation) -> None:
    assert names_of(compare_with_paper([retrieval], runs=[make_run()])) == [
        "CACL, Table 1",
        "CACL, Table 2",
        "CACL, Table 4",
    ]
    vclr = make_run(method="vclr")
    assert names_of(compare_with_paper([retrieval], runs=[vclr])) == ["VCLR, Table 4"]
    assert compare_with_paper([retrieval]) == []
    assert compare_with_paper([], runs=[vclr]) == []


def test_baselines_have_the_tables_in_which_a_paper_compares_itself_with_them() -> None:
    svm = make_accuracy("svm")
    assert names_of(compare_with_paper([svm], runs=[make_run(method="seco")])) == ["VCLR, Table 1"]
    linear = make_accuracy("linear")
    # VCLR's Table 11 has a row of CVRL and a linear column, but no number of CVRL in it.
    assert names_of(compare_with_paper([linear], runs=[make_run(method="cvrl")])) == [
        f"SCVRL, Table {number}" for number in (2, 4, 5, 6)
    ]


def test_yardsticks_stand_beside_what_suggests_the_table(retrieval: Evaluation) -> None:
    pixels = make_retrieval(features={**FEATURES, "encoder": "pixels", "encoder_hash": "9" * 16})
    compared = compare_with_paper([retrieval, pixels], runs=[make_run()])
    assert [own.name.partition(",")[0] for own in compared[0].own] == ["cacl/encoder", "pixels"]


def test_of_a_paper_all_tables_with_a_column_are_shown(retrieval: Evaluation) -> None:
    assert names_of(compare_with_paper([retrieval], "ccl")) == ["CCL, Table 3"]
    assert names_of(compare_with_paper([retrieval], "vclr")) == ["VCLR, Table 4", "VCLR, Table 8"]


def test_wrong_names_give_the_list() -> None:
    with pytest.raises(ValueError, match="the papers are: cacl, vclr, scvrl, ccl"):
        compare_with_paper([], "byol")
    with pytest.raises(ValueError, match="its tables are: 1, 2, 3, 4, 5"):
        compare_with_paper([], "cacl", "6")


def test_names_from_files_cannot_break_lines() -> None:
    nasty = make_retrieval(features={**FEATURES, "encoder": "a\nb\x1b[2J"})
    (compared,) = compare_with_paper([nasty], "cacl", "4")
    assert not {"\n", "\x1b"} & set(compared.own[0].name + "".join(compared.own[0].row.key))


@given(st.sampled_from(TABLES), st.booleans(), st.sampled_from(["cacl", "ccl", "vclr", "pace", "odd"]))
def test_everything_survives_json(place: tuple[str, str], has_run: bool, method: str) -> None:
    evaluations = [make_retrieval(), make_accuracy("svm"), make_accuracy("linear"), make_similarity()]
    runs = [make_run(method=method)] if has_run else []
    (compared,) = compare_with_paper(evaluations, *place, runs)
    values: dict[str, Any] = compared.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    # Every result is either in the table or listed with a reason.
    in_table = {own.file for own in compared.own}
    assert len(in_table) + len(compared.others) == len(evaluations)


def test_nothing_claims_that_a_paper_is_reproduced(retrieval: Evaluation) -> None:
    for compared in compare_with_paper([retrieval], runs=[make_run()]):
        assert "reproduc" not in json.dumps(compared.to_dict())


JUNK = [None, "x", [], {}, True, -1, 1e17, {"a": [1, {"b": None}]}, ["cacl"]]


def damage(values: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """Return a copy in which what lies at a path is something else."""
    if not path:
        return junk
    return {**values, path[0]: damage(values[path[0]], path[1:], junk)}


def paths_of(values: Any) -> list[tuple[Any, ...]]:
    """Return the paths of all groups and values, single classes left out."""
    if not isinstance(values, dict):
        return [()]
    inner = [
        (name, *path) for name in values if name != "queries_by_class" for path in paths_of(values[name])
    ]
    return [(), *inner]


@pytest.mark.parametrize("path", [path for path in paths_of(retrieval_values()) if path], ids=str)
def test_a_damaged_result_is_compared_as_far_as_it_can_be_read(path: tuple[Any, ...], tmp_path: Path) -> None:
    for number, junk in enumerate(JUNK):
        values = damage(retrieval_values(classes=3), path, junk)
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(values))
        try:
            evaluations = parse_evaluation(file, values)
        except FeaturesError:
            assert path == ("protocol",)
            continue
        for compared in compare_with_paper(evaluations, "cacl", "4", [make_run()]):
            json.dumps(compared.to_dict(), allow_nan=False)
            assert len(compared.own) + len(compared.others) == 1


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_a_damaged_run_is_compared_as_far_as_it_can_be_read(junk: Any, retrieval: Evaluation) -> None:
    for name in ("backbone", "instance", "is_frozen"):
        for method in ("cacl", "moco", "supervised"):
            run = make_run(method=method, settings={name: junk}, initial_weights=junk)
            (compared,) = compare_with_paper([retrieval], "cacl", "4", [run])
            assert len(compared.own) == 1


def test_two_results_of_two_runs_are_each_compared_with_their_own_method(retrieval: Evaluation) -> None:
    features = {**FEATURES, "encoder": "pace/encoder", "encoder_hash": "8" * 16}
    pace = make_retrieval(retrieval.path, features=features)
    runs = [make_run(), make_run(Path("runs/pace"), method="pace", encoder_hash="8" * 16)]
    (compared,) = compare_with_paper([retrieval, pace], "cacl", "4", runs)
    methods = [{gap.row.fields["method"] for gap in own.gaps} for own in compared.own]
    assert methods == [{"CACL", "CACL* (Kinetics-400)"}, {"Pace Pred"}]
    assert [own.row.fields["method"] for own in compared.own] == [
        "yours: cacl/encoder",
        "yours: pace/encoder",
    ]


def test_a_run_that_the_name_of_an_encoder_hides_is_named(retrieval: Evaluation) -> None:
    (compared,) = compare_with_paper([retrieval], "cacl", "4", [make_run(Path("runs/third"))])
    assert compared.own[0].name.startswith("cacl/encoder of third")


def test_flow_and_sound_are_shown_and_count_as_nobodys() -> None:
    tuned = make_accuracy("recognition", classes=101)
    (compared,) = compare_with_paper([tuned], "vclr", "11")
    (own,) = compared.own
    assert own.row.key[1] == "V"
    assert [cell.text if cell else None for cell in own.row.cells] == [None, "62.5"]


def test_fine_tuning_as_tsm_has_a_column_of_its_own() -> None:
    tsm = {"architecture": "resnet", "depth": 50, "temporal_shift": True}
    tuned = make_accuracy("recognition", classes=174)
    for backbone, column in ((tsm, 1), ({**tsm, "temporal_shift": False}, 0)):
        run = make_run(method="supervised", backbone=backbone, encoder_hash="c" * 16)
        (compared,) = compare_with_paper([tuned], "vclr", "3", [run])
        (own,) = compared.own
        assert [cell is not None for cell in own.row.cells] == [column == 0, column == 1]


def test_the_f_measure_stands_in_its_table() -> None:
    (compared,) = compare_with_paper([make_accuracy("recognition", classes=37)], "ccl", "6")
    assert [cell.text for cell in compared.own[0].row.cells if cell] == ["50.0"]
    assert compared.own[0].row.fields["task"] == "F-measure, video level"


def numbers_in(compared: PaperComparison) -> list[dict[str, str]]:
    """Return the own numbers as they are written, by column, a group per row."""
    return [
        {
            column.name: cell.text
            for column, cell in zip(compared.table.columns, own.row.cells, strict=True)
            if cell is not None
        }
        for own in compared.own
    ]


def cycle(**settings: Any) -> Evaluation:
    tasks = {
        "frame_to_video": {"queries": 40, "gallery": 40, "recall": {"1": 0.25, "5": 0.5}},
        "video_to_frame": {"queries": 40, "gallery": 80, "recall": {"1": 0.125}},
        "frame_to_frame": {"queries": 40, "gallery": 120, "recall": {"1": 0.375}},
        "video_to_video": {"queries": 40, "gallery": 120, "recall": {"1": 0.75, "50": 1.0}},
    }
    values = {"protocol": "cycle", "tasks": tasks, "settings": {**RANKING, **settings}}
    return parse(Path("cycle.json"), values)


def test_the_tasks_of_ccl_stand_in_both_of_its_tables() -> None:
    (compared,) = compare_with_paper([cycle()], "ccl", "2")
    assert numbers_in(compared) == [
        {"A frame=>video, top1": "25.0", "A frame=>video, top5": "50.0"},
        {"B video=>frame, top1": "12.5"},
    ]
    (compared,) = compare_with_paper([cycle()], "ccl", "3")
    assert numbers_in(compared) == [{"top1": "37.5"}, {"top1": "75.0", "top50": "100.0"}]
    assert [own.row.fields["task"] for own in compared.own] == [
        "retrieval of frames, clip level",
        "retrieval of clips, clip level",
    ]
    settings = [{difference.setting for difference in own.differences} for own in compared.own]
    assert all("level" not in own for own in settings)


def test_videos_that_were_averaged_are_no_clips() -> None:
    (compared,) = compare_with_paper([cycle(is_averaged=True)], "ccl", "3")
    levels = [own.row.fields["task"].rpartition(", ")[2] for own in compared.own]
    assert levels == ["video level", "video level"]
    for own in compared.own:
        difference = next(item for item in own.differences if item.setting == "level")
        assert difference == ("level", "video", "clip")


def test_each_share_of_the_labels_has_its_column() -> None:
    points = [
        {"fraction": share, "mean": mean, "deviation": 0.0} for share, mean in ((0.1, 0.5), (0.2, 0.75))
    ]
    settings = {
        "by": "label",
        "learner": "finetune",
        "metric": "top1",
        "fractions": [0.1, 0.2],
        "classes": 174,
    }
    values = {
        "protocol": "low-shot",
        "settings": settings,
        "curves": [{"name": "scvrl", "points": points}, {"name": "cvrl", "points": points}],
    }
    evaluations = parse_evaluation(Path("few.json"), values)
    (compared,) = compare_with_paper(evaluations, "scvrl", "7")
    # The paper has no column for a fifth of the labels.
    assert numbers_in(compared) == [{"10% of train": "50.0"}, {"10% of train": "50.0"}]
    assert [own.name.partition(",")[0] for own in compared.own] == ["scvrl", "cvrl"]


def test_proposals_stand_beside_those_of_the_paper() -> None:
    proposals = {"auc": 65.5, "average_recall": {"100": 0.738}, "videos": 20}
    values = {"protocol": "average recall of temporal proposals", "proposals": proposals, "settings": {}}
    (compared,) = compare_with_paper([parse(Path("ar.json"), values)], "vclr", "5")
    assert numbers_in(compared) == [{"BMN proposals, AUC": "65.5", "BMN proposals, AR@100": "73.8"}]
    difference = next(item for item in compared.own[0].differences if item.setting == "features")
    assert difference.paper == "class scores of a fine-tuned TSN, every 16 frames"
