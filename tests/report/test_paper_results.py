"""The papers' numbers as data."""

import json
from collections import Counter
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.config import config_to_dict
from unreel.report.paper_results import (
    PAPERS,
    STATUSES,
    PaperResult,
    find_paper,
    find_table,
    list_tables,
    load_paper_results,
    parse_paper_results,
)

RECORD = {
    "paper": "CCL",
    "table": "Table 2",
    "dataset": "UCF101 test split1",
    "protocol": "retrieval task A frame=>video",
    "method": "CCL",
    "backbone": "R3D-18+1",
    "pretrain": "UCF101 train split1",
    "metric": "top1",
    "value": 26.1,
    "raw": "26.1",
    "status": "legible",
    "note": "",
}


def parse(*records: Any) -> tuple[PaperResult, ...]:
    return parse_paper_results(json.dumps(list(records)))


def test_all_records_are_there() -> None:
    results = load_paper_results()
    assert len(results) == 721
    assert Counter(own.paper for own in results) == {"VCLR": 233, "CACL": 227, "SCVRL": 141, "CCL": 120}
    assert Counter(own.status for own in results) == {"legible": 508, "reconstructed": 206, "ambiguous": 7}
    assert {own.status for own in results} == set(STATUSES)


@pytest.mark.parametrize(
    ("paper", "table", "method", "dataset", "metric", "value"),
    [
        # Read off the papers by eye.
        ("CACL", "1", "SDP", "UCF101 split1", "top1", 22.1),
        ("CACL", "2", "(Gq,Gk),(Gq,Tq)", "UCF101 split1", "top5", 54.9),
        ("VCLR", "1", "VCLR", "Kinetics-400", "top1", 64.1),
        ("VCLR", "5", "VCLR", "ActivityNet v1.3", "AUC", 65.5),
        ("VCLR", "10", "PacePred", "HMDB51", "top1", 46.6),
        ("SCVRL", "8e", "CVRL k_t=3", "UCF101", "top1", 72.6),
        ("CCL", "7", "L_v + L_f", "UCF101 split1", "top1", 67.6),
    ],
)
def test_numbers_are_those_of_the_papers(
    paper: str, table: str, method: str, dataset: str, metric: str, value: float
) -> None:
    found = [own for own in find_table(paper, table) if (own.method, own.dataset) == (method, dataset)]
    assert [own.value for own in found if own.metric == metric] == [value]


def test_each_record_is_in_one_table() -> None:
    found = [own for paper in PAPERS for table in list_tables(paper) for own in find_table(paper, table)]
    assert Counter(found) == Counter(load_paper_results())


def test_whatever_could_not_simply_be_read_has_a_note() -> None:
    assert [own for own in load_paper_results() if own.status != "legible" and not own.note] == []


def test_what_the_text_adds_to_a_table_belongs_to_it() -> None:
    assert list_tables("cacl") == ("1", "2", "3", "4", "5")
    added = [own for own in find_table("CACL", "5") if "text" in own.table]
    assert [own.value for own in added] == [77.2]
    assert list_tables("ccl") == ("2", "3", "4", "4-5", "5", "6", "7")
    assert "8a" in list_tables("scvrl")


@pytest.mark.parametrize("table", ["4", "Table 4", "table 4", " 4 "])
def test_a_table_is_found_by_its_number(table: str) -> None:
    assert len(find_table("cacl", table)) == 110


def test_wrong_names_give_the_list() -> None:
    with pytest.raises(ValueError, match="no paper is called 'byol'; the papers are: cacl, vclr, scvrl, ccl"):
        find_paper("byol")
    with pytest.raises(ValueError, match="CCL has no table '9' with results; its tables are: 2, 3, 4, 4-5"):
        find_table("ccl", "9")


def test_a_modality_is_no_part_of_the_task() -> None:
    result = PaperResult(protocol="video retrieval, modality VF")
    assert (result.task, result.modality) == ("video retrieval", "VF")
    result = PaperResult(protocol="fine-tune TSN, classification")
    assert (result.task, result.modality) == ("fine-tune TSN, classification", "")


@given(st.sampled_from(load_paper_results()))
def test_a_record_survives_json(result: PaperResult) -> None:
    assert parse(config_to_dict(result)) == (result,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 26.2}, "record 0 has value 26.2, and '26.1' was printed"),
        ({"status": "guessed"}, "status must be one of 'legible', 'reconstructed', 'ambiguous'"),
        ({"paper": "BYOL"}, "record 0 lacks a known paper"),
        ({"metric": ""}, "record 0 lacks metric"),
        ({"colour": "red"}, "unknown setting 'colour'"),
        ({"value": "26.1"}, "value must be float, got '26.1'"),
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse({**RECORD, **change})


def test_two_records_in_one_place_are_refused() -> None:
    other = {**RECORD, "value": 1.0, "raw": "1.0"}
    with pytest.raises(ValueError, match="records 0 and 1 have the same place in a table"):
        parse(RECORD, other)
    assert len(parse(RECORD, {**RECORD, "metric": "top5"})) == 2


@pytest.mark.parametrize(
    ("text", "message"), [("[", "is no JSON"), ("{}", "list of records"), ("[1]", "list")]
)
def test_a_damaged_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_paper_results(text)


def test_the_data_lies_in_the_package() -> None:
    text = resources.files("unreel.report").joinpath("paper_results.json").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 721 + 2  # a record per line, and the brackets
    assert text.isascii()
