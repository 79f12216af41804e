import json
from pathlib import Path
from typing import Any

from tests.report.run_folders import OTHER_HASH, recognition, retrieval
from unreel.report.evaluation_files import parse_evaluation
from unreel.report.result_tables import (
    MeasuredThing,
    ResultSection,
    build_sections,
    find_different,
    flatten,
    shorten,
)


def thing(values: dict[str, Any], name: str = "cacl", run: int | None = 0) -> MeasuredThing:
    (found,) = parse_evaluation(Path("x.json"), values)
    return MeasuredThing(found, name, run)


def only(*things: MeasuredThing) -> ResultSection:
    (section,) = build_sections(things)
    return section


def test_results_of_a_protocol_stand_beside_each_other() -> None:
    section = only(thing(retrieval(recall=0.25)), thing(retrieval(OTHER_HASH, recall=0.75), "pixels", None))
    assert section.title == "Retrieval by label"
    (table,) = section.tables
    assert table.title == "video level"
    assert table.columns == ("recall@1", "recall@5")
    assert [(row.name, row.run, row.queries) for row in table.rows] == [
        ("cacl", 0, "8"),
        ("pixels", None, "8"),
    ]
    assert [row.cells[0].text for row in table.rows] == ["25.0", "75.0"]
    assert table.rows[0].cells[0].beside == "chance 12.5"
    assert section.warnings == ()


def test_classes_and_scenes_are_not_mixed_and_classes_come_first() -> None:
    sections = build_sections([thing(retrieval(by="group")), thing(retrieval()), thing(recognition())])
    assert [section.title for section in sections] == [
        "Retrieval by label",
        "Retrieval by group",
        "Recognition",
    ]


def test_a_number_that_one_result_lacks_is_empty_there() -> None:
    wide = retrieval()
    wide["levels"]["video"]["recall"]["50"] = 1.0
    (table,) = only(thing(retrieval()), thing(wide)).tables
    assert table.columns == ("recall@1", "recall@5", "recall@50")
    assert [row.cells[2].text for row in table.rows] == ["", "100.0"]


def test_a_result_without_any_number_of_a_table_has_no_row_in_it() -> None:
    clips = retrieval()
    clips["levels"] = {"clip": clips["levels"]["video"]}
    section = only(thing(retrieval()), thing(clips, "moco", 1))
    assert [(table.title, len(table.rows)) for table in section.tables] == [
        ("video level", 1),
        ("clip level", 1),
    ]


def test_rows_that_were_measured_otherwise_say_so() -> None:
    section = only(thing(retrieval()), thing(retrieval(pooling="conv5_max", encoder="other", dimension=9)))
    assert [row.details for row in section.tables[0].rows] == [("pooling average",), ("pooling conv5_max",)]
    assert section.warnings == (
        "These rows were not all measured in the same way; below each name stands how.",
    )


def test_results_of_different_videos_warn() -> None:
    section = only(thing(retrieval()), thing(retrieval(catalog_hash="d" * 16)))
    assert "These rows are of different catalogs" in section.warnings[0]
    assert section.tables[0].rows[1].details == (f"catalog hash {'d' * 16}",)


def test_a_single_result_differs_from_nothing() -> None:
    section = only(thing(retrieval()))
    assert section.warnings == ()
    assert section.tables[0].rows[0].details == ()


def test_recognition_has_no_level_and_counts_its_queries() -> None:
    (table,) = only(thing(recognition())).tables
    assert (table.title, table.columns) == ("", ("top 1",))
    assert table.rows[0].queries == "4"


def test_names_from_files_are_made_legible() -> None:
    values = {"protocol": "new\x07", "settings": {"by": "a\x07b"}, "number\x07": 1.0}
    section = only(thing(values, "run\x07"))
    assert section.title == "new? by a?b"
    assert section.tables[0].columns == ("number?",)
    assert section.tables[0].rows[0].name == "run?"


def test_low_shot_shows_shares_with_their_spread() -> None:
    points = [
        {"fraction": 0.1, "mean": 0.45, "deviation": 0.07},
        {"fraction": 1, "mean": 0.61, "deviation": 0.0},
    ]
    (table,) = only(thing({"protocol": "low-shot", "curves": [{"name": "a", "points": points}]})).tables
    assert table.columns == ("10 % of the labels", "100 % of the labels")
    assert [(cell.text, cell.beside) for cell in table.rows[0].cells] == [
        ("45.0", "± 7.0"),
        ("61.0", "± 0.0"),
    ]
    assert table.rows[0].queries == ""


def test_settings_are_flat_and_what_is_no_text_is_json() -> None:
    values = {"a": {"b": 1.5, "c": {"d": [1, None]}}, "e": "x", "f": {}, "g": True}
    assert dict(flatten(values)) == {"a.b": "1.5", "a.c.d": "[1, null]", "e": "x", "f": "{}", "g": "true"}


def test_settings_that_are_nested_without_end_are_cut() -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"d": deep}
    assert len(list(flatten(deep))) == 1
    list_of_lists: Any = []
    for _ in range(100_000):
        list_of_lists = [list_of_lists]
    assert dict(flatten({"a": list_of_lists})) == {"a": "..."}


def test_only_what_differs_is_different() -> None:
    assert find_different([{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}]) == ["b", "c"]
    assert find_different([{"a": "1"}]) == []


def test_long_texts_are_cut() -> None:
    assert shorten("x" * 61) == "x" * 57 + "..."
    assert shorten("x" * 60) == "x" * 60
    assert shorten("a\x07") == "a?"


def test_anything_in_a_file_gives_tables_that_can_be_written() -> None:
    values = retrieval()
    values["settings"] = {"by": ["label"], "query_split": {"deep": [{}]}}
    values["levels"]["video"]["recall"] = {"1": 1e18, "k": 0.5}
    section = only(thing(values))
    assert json.dumps([cell.text for cell in section.tables[0].rows[0].cells])
