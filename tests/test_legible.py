"""Names of files come from anyone; what reaches a terminal or a figure is letters, signs and spaces."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.legible import make_legible


@given(text=st.text())
def test_nothing_unseen_is_left_and_nothing_else_is_changed(text: str) -> None:
    shown = make_legible(text)
    assert len(shown) == len(text)
    for letter, own in zip(shown, text, strict=True):
        is_seen = unicodedata.category(own)[0] != "C" and own not in "\u2028\u2029"
        assert letter == (own if is_seen else "?")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m.mp4", "?[31mred?[0m.mp4"),
        ("\x9b2J\x07bell", "?2J?bell"),
        ("a\rb\tc\nd", "a?b?c?d"),
        ("turned\u202e4pm.mp4", "turned?4pm.mp4"),
        ("half \udcff of a pair", "half ? of a pair"),
        ("läuft 日本\u00a0[x]", "läuft 日本\u00a0[x]"),
    ],
)
def test_commands_of_terminals_become_question_marks(text: str, shown: str) -> None:
    assert make_legible(text) == shown


def test_lines_stay_where_they_are_wanted() -> None:
    assert make_legible("one\ntwo\x1b", keep_lines=True) == "one\ntwo?"


def test_letters_that_cannot_be_drawn_are_marked_too() -> None:
    assert make_legible("ab\x1b", letters={ord("a"), 0x1B}) == "a??"
