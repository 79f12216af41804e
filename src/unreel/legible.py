"""Text from outside, such as names of files and labels, made fit to be shown."""

import unicodedata
from collections.abc import Container

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of what is no letter, sign or space: controls, halves, line breaks and the like."""


def make_legible(text: str, *, letters: Container[int] | None = None, keep_lines: bool = False) -> str:
    """Write ``?`` for all that is no letter, sign or space.

    A name may hold commands for a terminal, turn the line around, or be no valid text at all.

    Args:
        text: of any origin.
        letters: code points that can be drawn, all of them by default.
        keep_lines: whether line breaks stay.
    """
    if letters is None and text.isprintable():
        return text
    return "".join(
        letter
        if (keep_lines and letter == "\n")
        or (unicodedata.category(letter) not in _UNSEEN and (letters is None or ord(letter) in letters))
        else "?"
        for letter in text
    )
