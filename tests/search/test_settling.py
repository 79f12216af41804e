import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.search.settling import Settling, is_temporary


def test_a_file_has_settled_when_it_looked_the_same_for_long_enough() -> None:
    settling = Settling(5)
    assert settling.look({"a": (1, 1)}, 100.0) == set()
    assert settling.look({"a": (1, 1)}, 104.9) == set()
    assert settling.look({"a": (1, 1)}, 105.0) == {"a"}
    assert settling.look({"a": (1, 1)}, 300.0) == {"a"}


@pytest.mark.parametrize("other", [(2, 1), (1, 2), "the file is empty", None], ids=str)
def test_whatever_changes_starts_the_wait_anew(other: object) -> None:
    settling = Settling(5)
    settling.look({"a": (1, 1)}, 0)
    assert settling.look({"a": other}, 5) == set()  # type: ignore[dict-item]
    assert settling.look({"a": (1, 1)}, 6) == set()
    assert settling.look({"a": (1, 1)}, 10.9) == set()
    assert settling.look({"a": (1, 1)}, 11) == {"a"}


def test_a_time_of_writing_that_lies_in_the_future_or_goes_back_is_only_compared() -> None:
    settling = Settling(1)
    for number, mtime_ns in enumerate((2**62, -5, 0)):
        assert settling.look({"a": (1, mtime_ns)}, 10 * number) == set()
        assert settling.look({"a": (1, mtime_ns)}, 10 * number + 1) == {"a"}


def test_without_a_wait_the_first_look_is_believed() -> None:
    assert Settling(0).look({"a": (1, 1), "b": None}, 0) == {"a", "b"}


def test_a_name_that_is_missing_once_is_forgotten() -> None:
    settling = Settling(5)
    settling.look({"a": (1, 1), "b": (2, 2)}, 0)
    settling.look({"b": (2, 2)}, 3)
    assert settling.look({"a": (1, 1), "b": (2, 2)}, 6) == {"b"}


@given(st.lists(st.tuples(st.floats(0, 4), st.lists(st.integers(0, 2), min_size=3, max_size=3)), max_size=20))
def test_settled_is_what_did_not_change_for_the_time(steps: list[tuple[float, list[int]]]) -> None:
    """By hand: of every name, walk back through the looks until its state differs."""
    settling, history, now = Settling(5), [], 0.0
    for pause, values in steps:
        now += pause
        states = {str(name): (value, 0) for name, value in enumerate(values) if value}
        history.append((now, states))
        expected = set()
        for name, state in states.items():
            since = now
            for then, looked in reversed(history):
                if looked.get(name) != state:
                    break
                since = then
            if now - since >= 5:
                expected.add(name)
        assert settling.look(states, now) == expected


def test_nothing_is_kept_of_names_that_are_gone() -> None:
    settling, rng = Settling(5), random.Random(0)
    for now in range(1000):
        names = {f"{now}-{number}": (1, 1) for number in range(rng.randrange(5))}
        settling.look(names, now)
    assert len(settling._since) == len(names)


@pytest.mark.parametrize(
    "path",
    [
        ".a.mp4",
        "day/.a.mp4",
        ".trash/a.mp4",
        "a.mp4~",
        "~a.mp4",
        "~old/a.mp4",
        "a.mp4.part",
        "a.MP4.CRDOWNLOAD",
        "a.temp.mp4",
        "b/a.tmp.mkv",
        "._a.mp4",
        "a.mp4.tmp",
    ],
)
def test_names_of_files_that_are_being_made_are_temporary(path: str) -> None:
    assert is_temporary(path)


@pytest.mark.parametrize("path", ["a.mp4", "part.mp4", "day.1/a.b.mp4", "a~b.mp4", "tmp/a.mp4", "temp.mp4"])
def test_other_names_are_not(path: str) -> None:
    assert not is_temporary(path)
