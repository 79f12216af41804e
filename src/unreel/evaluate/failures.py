"""How many videos may fail before a measurement is one of something else."""

from collections.abc import Sequence

from unreel.data.batch import Rejection
from unreel.errors import FeaturesError


def check_fraction(max_rejected_fraction: float) -> None:
    """Refuse a limit that is no share; cheap, so that a long job can begin with it.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 <= max_rejected_fraction <= 1:
        raise ValueError(
            f"max_rejected_fraction must be between 0 and 1, got {max_rejected_fraction}; it is the share of "
            "the videos that may fail"
        )


def refuse_too_many(rejected: Sequence[Rejection], *, num_videos: int, max_rejected_fraction: float) -> None:
    """Stop where more videos failed than may.

    Args:
        rejected: videos that failed, each once.
        num_videos: all videos, those that failed included.
        max_rejected_fraction: share that may fail.

    Raises:
        FeaturesError: a larger share failed.
    """
    if len(rejected) > max_rejected_fraction * num_videos:
        first = rejected[0]
        raise FeaturesError(
            f"{len(rejected)} of {num_videos} videos cannot be used, more than max_rejected_fraction = "
            f"{max_rejected_fraction:g} allows; the first: {first.path}: {first.reason}. Repair them and "
            "scan again (or give --root, where their folder was moved), or raise the limit"
        )
