"""How a long job tells its caller how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, note)``; ``note`` is a short text such as ``"loss 2.31"``."""


def ignore_progress(done: int, total: int, note: str) -> None:
    """Tell nobody."""
