"""The papers' tables, laid out."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.report.paper_protocols import Measure
from unreel.report.paper_results import PAPERS, PaperResult, find_table, list_tables
from unreel.report.paper_tables import FIELDS, LEGEND, MARKS, PaperTable, build_table

TABLES = [(paper, table) for paper in PAPERS for table in list_tables(paper)]


def collect_numbers(table: PaperTable) -> Counter[tuple[float, str]]:
    cells = [cell for row in table.rows for cell in row.cells if cell is not None]
    return Counter((cell.value, cell.status) for cell in cells)


@pytest.mark.parametrize(("paper", "number"), TABLES)
def test_every_record_is_in_its_table_once(paper: str, number: str) -> None:
    table = build_table(paper, number)
    assert collect_numbers(table) == Counter((own.value, own.status) for own in find_table(paper, number))
    assert all(any(cell is not None for cell in row.cells) for row in table.rows)


@pytest.mark.parametrize(("paper", "number"), TABLES)
def test_rows_and_columns_are_told_apart(paper: str, number: str) -> None:
    table = build_table(paper, number)
    assert len({row.key for row in table.rows}) == len(table.rows)
    assert len(set(table.header)) == len(table.header)
    assert all(table.header)
    assert len(table.columns) <= 6
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert {len(row.key) for row in table.rows} == {len(table.row_fields)}


@pytest.mark.parametrize(("paper", "number"), TABLES)
def test_nothing_that_a_record_says_is_lost(paper: str, number: str) -> None:
    """Every text of a record stands in its row, above its column, or with the table."""
    table = build_table(paper, number)
    shared = " ".join(table.shared.values())
    for own in find_table(paper, number):
        row = next(row for row in table.rows if has_record(table, row.cells, own, row.fields))
        said = " ".join([shared, *row.key, *table.header, *table.notes])
        for name in FIELDS:
            words = getattr(own, name).strip("-").replace(",", " ").split()
            assert [word for word in words if word not in said.replace(",", " ")] == []


def has_record(table: PaperTable, cells: object, own: PaperResult, fields: object) -> bool:
    assert isinstance(cells, tuple)
    assert isinstance(fields, dict)
    texts = {cell.text for cell in cells if cell is not None}
    return own.raw in texts and all(getattr(own, name) == text for name, text in fields.items())


@given(st.sampled_from(TABLES))
def test_a_table_survives_json(place: tuple[str, str]) -> None:
    values = build_table(*place).to_dict()
    again = json.loads(json.dumps(values))
    assert again == values
    numbers = [cell["value"] for row in again["rows"] for cell in row["numbers"].values()]
    assert Counter(numbers) == Counter(own.value for own in find_table(*place))


def test_a_table_says_once_what_holds_for_all_rows() -> None:
    table = build_table("cacl", "1")
    assert table.row_fields == ("method",)
    assert table.shared["dataset"] == table.facts["data set"] == "UCF101 split1"
    assert table.header == ("method", "top1", "top5", "top10", "top20", "top50")
    assert table.rows[0].key == ("VCOP",)
    assert [cell.text for cell in table.rows[0].cells if cell] == ["12.5", "29.0", "39.0", "50.6", "66.9"]
    assert table.name == "CACL, Table 1"
    assert build_table("ccl", "4-5").name == "CCL, Tables 4-5"


def test_protocols_stand_side_by_side_without_what_they_have_in_common() -> None:
    table = build_table("scvrl", "7")
    assert table.header[-6:] == tuple(f"{share}% of train" for share in (1, 5, 10, 25, 50, 100))
    assert table.shared["task"] == "low-shot full fine-tune"
    assert build_table("vclr", "3").header[-2:] == ("TSN", "TSM")
    assert build_table("scvrl", "4").header[-2:] == ("full fine-tune", "linear")


def test_columns_know_what_they_count() -> None:
    columns = {column.name: column.measures for column in build_table("scvrl", "2").columns}
    assert columns["test frames shuffled, top1"] == {Measure("shuffle", "shuffled")}
    top5 = next(column for column in build_table("ccl", "3").columns if column.name == "top5")
    assert top5.measures == {Measure("frame_to_frame", "top5"), Measure("video_to_video", "top5")}
    assert build_table("ccl", "4-5").columns[0].measures == frozenset()


def test_marks_are_explained_where_they_occur() -> None:
    assert build_table("cacl", "1").legend == ()
    assert build_table("cacl", "3").legend == (f"~: {LEGEND['reconstructed']}",)
    table = build_table("cacl", "5")
    assert [line.partition(":")[0] for line in table.legend] == ["no mark", "~", "?"]
    marked = {cell.marked for row in table.rows for cell in row.cells if cell}
    assert {"77.5?", "65.0~", "82.5"} <= marked
    assert MARKS["legible"] == ""


def test_notes_say_of_which_rows_they_are() -> None:
    table = build_table("cacl", "4")
    assert any(
        note.startswith("[CACL, C3D, UCF101 train split1, HMDB51 split1] one of") for note in table.notes
    )
    assert any("; and 8 more] column-wise" in note for note in table.notes)
    (everywhere,) = build_table("cacl", "3").notes
    assert everywhere.startswith("columns and rows re-assembled")


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="VCLR has no table '12'"):
        build_table("vclr", "12")
