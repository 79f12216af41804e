import pytest

from unreel.data.batch import Rejection
from unreel.errors import FeaturesError
from unreel.evaluate.failures import check_fraction, refuse_too_many

FAILED = [Rejection("a.mp4", "noise"), Rejection("b.mp4", "empty")]


@pytest.mark.parametrize("fraction", [-1.0, -0.001, 1.001, 2.0, float("nan")])
def test_a_limit_that_is_no_share_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"max_rejected_fraction must be between 0 and 1, got"):
        check_fraction(fraction)


@pytest.mark.parametrize("fraction", [0.0, 0.05, 1.0])
def test_a_share_is_a_limit_and_all_may_fail_by_it(fraction: float) -> None:
    check_fraction(fraction)
    refuse_too_many([], num_videos=10, max_rejected_fraction=fraction)
    refuse_too_many(FAILED, num_videos=2, max_rejected_fraction=1.0)


def test_one_more_than_allowed_is_refused_and_the_first_is_named() -> None:
    refuse_too_many(FAILED, num_videos=10, max_rejected_fraction=0.2)
    with pytest.raises(
        FeaturesError, match=r"2 of 10 videos cannot be used, .* = 0.19 .* first: a.mp4: noise"
    ):
        refuse_too_many(FAILED, num_videos=10, max_rejected_fraction=0.19)
