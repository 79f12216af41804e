import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.search.filters import NO_FILTER, Filter

ROWS = [
    # key, label, split, group, seconds, path
    (1, "dive", "train", "a", 3.0, "2024/x.mp4"),
    (2, "run", "test", "a", 5.0, "2024_x.mp4"),
    (3, "", "train", "b", 8.0, "100%/y.mp4"),
    (4, "di've\"", "", "ü", 8.5, "été/z.mp4"),
]


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE videos (key, label, split, group_name, seconds, path)")
        connection.executemany("INSERT INTO videos VALUES (?, ?, ?, ?, ?, ?)", ROWS)
        yield connection


def select(table: sqlite3.Connection, wanted: Filter) -> list[int]:
    condition, values = wanted.to_sql()
    return [row[0] for row in table.execute(f"SELECT key FROM videos WHERE {condition}", values)]


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(labels=("dive", "run")), [1, 2]),
        (Filter(labels=("",)), [3]),
        (Filter(labels=("di've\"",)), [4]),
        (Filter(labels=("Dive",)), []),
        (Filter(splits=("train",)), [1, 3]),
        (Filter(groups=("a", "ü")), [1, 2, 4]),
        (Filter(groups=("a",), splits=("train",)), [1]),
        (Filter(min_sec=5), [2, 3, 4]),
        (Filter(max_sec=5), [1, 2]),
        (Filter(min_sec=5, max_sec=8), [2, 3]),
        (Filter(max_sec=0), []),
    ],
)
def test_a_video_must_pass_all_conditions_and_one_value_of_each(
    table: sqlite3.Connection, wanted: Filter, keys: list[int]
) -> None:
    assert select(table, wanted) == keys


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [("2024/", [1]), ("2024_", [2]), ("100%/", [3]), ("%", []), ("été", [4]), ("e", []), ("2024/x.mp4", [1])],
)
def test_wildcards_are_ordinary_letters_of_a_path(
    table: sqlite3.Connection, prefix: str, keys: list[int]
) -> None:
    assert select(table, Filter(path_prefix=prefix)) == keys


def test_any_number_of_values_makes_one_question(table: sqlite3.Connection) -> None:
    limit = table.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 10)
    try:
        assert select(table, Filter(groups=(*map(str, range(40_000)), "b"))) == [3]
    finally:
        table.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, limit)


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_a_text_is_found_exactly_when_it_is_among_the_wanted(labels: list[str], label: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE videos (key, label)")
        connection.execute("INSERT INTO videos VALUES (7, ?)", (label,))
        expected = [7] if label in labels or not labels else []
        assert select(connection, Filter(labels=tuple(labels))) == expected


def test_half_a_character_is_found_nowhere(table: sqlite3.Connection) -> None:
    """Names of files that are not UTF-8 come from the command line with such halves in them."""
    assert select(table, Filter(labels=("\udc80",))) == []


@pytest.mark.parametrize(
    ("min_sec", "max_sec"), [(-1, 5), (5, 4), (math.nan, 5), (0, math.nan), (math.inf, 0)]
)
def test_limits_between_which_no_length_lies_are_refused(min_sec: float, max_sec: float) -> None:
    with pytest.raises(ValueError, match=f"min_sec must be 0 or more .* got {min_sec} and {max_sec}"):
        Filter(min_sec=min_sec, max_sec=max_sec)


def test_a_filter_is_empty_when_it_says_nothing() -> None:
    assert Filter().is_empty
    assert NO_FILTER.is_empty
    assert NO_FILTER.to_sql() == ("TRUE", [])
    assert not Filter(labels=("",)).is_empty
    assert not Filter(path_prefix="a").is_empty
    assert not Filter(max_sec=0).is_empty
