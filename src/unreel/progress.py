"""How a long job tells its caller how far it is, and what should be known of it."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, note)``; ``note`` is a short text such as ``"loss 2.31"``."""

Warn = Callable[[str], None]
"""Called with a sentence that a person should read before the job goes on."""


def shift_progress(progress: Progress, first: int, total: int) -> Progress:
    """Return what tells of one part of a job as of the whole job.

    Args:
        progress: is told of the whole.
        first: what had been done before the part.
        total: what there is to do in the whole.
    """
    return lambda done, _, note: progress(first + done, total, note)


def ignore_progress(done: int, total: int, note: str) -> None:
    """Tell nobody."""


def ignore_warning(text: str) -> None:
    """Tell nobody."""
