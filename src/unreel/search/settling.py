"""When is a file whole that something else is writing? Judged by what is seen of it, by no clock in it."""

import os
from collections.abc import Mapping

State = tuple[int, int] | str | None
"""What a look at a file shows: its size in bytes and time of writing in nanoseconds, why it cannot be looked
at, or None when it is gone."""

_TEMPORARY_MARKS = (".", "~")
_TEMPORARY_SUFFIXES = (".part", ".partial", ".crdownload", ".download", ".tmp", ".temp")


class Settling:
    """Remember since when files have looked as they do.

    Times of writing are compared, never believed: a clock that jumps, here or on a server, changes nothing.

    Args:
        settle_sec: how long a file has to look the same, from one look to another; 0 believes the first look.
    """

    def __init__(self, settle_sec: float) -> None:
        self._settle_sec = settle_sec
        self._since: dict[str, tuple[State, float]] = {}

    def look(self, states: Mapping[str, State], now_sec: float) -> set[str]:
        """Take in how all files look now; return those that have looked so for long enough.

        Args:
            states: of every file by name; names that are missing are forgotten.
            now_sec: by a clock that never goes back, such as `time.monotonic`.
        """
        before = self._since
        self._since = {}
        for name, state in states.items():
            known = before.get(name)
            self._since[name] = known if known is not None and known[0] == state else (state, now_sec)
        return {name for name, (_, since) in self._since.items() if now_sec - since >= self._settle_sec}


def is_temporary(path: str) -> bool:
    """Whether a name says that a program is not done with a file, or that people are not to see it.

    Such are hidden files and folders, names that begin or end with ``~``, and names such as ``a.mp4.part``
    and ``a.temp.mp4``.

    Args:
        path: from the folder that is watched, with forward slashes.
    """
    parts = path.split("/")
    if any(part.startswith(_TEMPORARY_MARKS) for part in parts) or path.endswith("~"):
        return True
    stem, suffix = os.path.splitext(parts[-1].lower())
    return suffix in _TEMPORARY_SUFFIXES or os.path.splitext(stem)[1] in _TEMPORARY_SUFFIXES
