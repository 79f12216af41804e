"""What the papers' tables are about."""

import dataclasses

import pytest

from unreel.report.paper_results import PAPERS, PaperResult, list_tables
from unreel.report.paper_topics import TITLES, find_topic

TABLES = [(paper, table) for paper in PAPERS for table in list_tables(paper)]


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_every_table_has_a_topic_in_a_few_words(paper: str, table: str) -> None:
    topic = find_topic(paper, table)
    assert 10 < len(topic.text) < 90
    assert not topic.text.endswith(".")


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_columns_are_made_of_fields_of_records(paper: str, table: str) -> None:
    known = {field.name for field in dataclasses.fields(PaperResult)} | {"task", "modality"}
    assert set(find_topic(paper, table).across) <= known


def test_topics_are_told_apart() -> None:
    assert len({find_topic(*place).text for place in TABLES}) > len(TABLES) - 4
    assert set(TITLES) == set(PAPERS)


def test_a_topic_is_found_as_its_table_is() -> None:
    assert find_topic("scvrl", "Table 2") == find_topic("SCVRL", "2")
    with pytest.raises(ValueError, match="its tables are: 2, 3, 4"):
        find_topic("scvrl", "1")


def test_remarks_say_what_does_not_agree_within_a_paper() -> None:
    # 12.0 in Table 2 and 12.1 in Table 4; 38.7 in Table 6 and 40.0 in Table 7.
    assert any("12.1 in Table 4" in remark for remark in find_topic("scvrl", "2").remarks)
    assert any("40.0 in Table 7" in remark for remark in find_topic("scvrl", "6").remarks)
    assert any("decision S12" in remark for remark in find_topic("scvrl", "8b").remarks)
