"""How a long job tells its caller how far it is, and what should be known of it."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, note)``; ``note`` is a short text such as ``"loss 2.31"``."""

Warn = Callable[[str], None]
"""Called with a sentence that a person should read before the job goes on."""


def ignore_progress(done: int, total: int, note: str) -> None:
    """Tell nobody."""


def ignore_warning(text: str) -> None:
    """Tell nobody."""
