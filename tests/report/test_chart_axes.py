import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.report.chart_axes import format_number, make_axis


def labels(*values: float, **changes: object) -> list[str]:
    return [label for _, label in make_axis(values, 0, 100, **changes).ticks]  # type: ignore[arg-type]


def test_marks_are_round_numbers() -> None:
    assert labels(0, 1) == ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert labels(0, 2.3) == ["0", "0.5", "1.0", "1.5", "2.0"]
    assert labels(13, 997) == ["200", "400", "600", "800"]


def test_a_rounded_axis_starts_and_ends_at_a_mark() -> None:
    axis = make_axis([0.13, 2.3], 200, 0, is_rounded=True)
    assert (axis.low, axis.high) == (0.0, 2.5)
    assert axis.ticks[0] == (0.0, "0")
    assert axis.ticks[-1] == (2.5, "2.5")
    assert axis.place(0.0) == 200
    assert axis.place(2.5) == 0
    assert axis.place(1.25) == 100


def test_a_number_that_is_round_but_for_its_last_bit_gets_no_mark_beyond() -> None:
    assert make_axis([0.0, 0.1 + 0.2], 0, 1, is_rounded=True).high == pytest.approx(0.3)


def test_shares_are_marked_in_percent() -> None:
    assert labels(0.25, 0.75, is_rounded=True, factor=100.0) == ["20", "30", "40", "50", "60", "70", "80"]


def test_whole_numbers_are_marked_by_whole_numbers() -> None:
    assert labels(1, 3, is_whole=True) == ["1", "2", "3"]
    assert labels(7, 7, is_whole=True) == ["7"]


def test_very_small_and_very_large_numbers_are_marked_shortly() -> None:
    assert labels(0, 1e-7)[1] == "2e-08"
    assert labels(0, 3e8)[1] == "1e+08"


def test_without_numbers_the_axis_goes_from_0_to_1() -> None:
    assert labels()[-1] == "1.0"


@given(st.lists(st.floats(-1e30, 1e30, allow_nan=False), max_size=5), st.booleans(), st.booleans())
def test_every_number_lies_on_its_axis_and_the_marks_are_few(
    values: list[float], is_whole: bool, is_rounded: bool
) -> None:
    axis = make_axis(values, 0.0, 100.0, is_whole=is_whole, is_rounded=is_rounded)
    assert axis.low < axis.high
    assert len(axis.ticks) <= 12
    for value in values:
        assert -1e-6 <= axis.place(value) <= 100 + 1e-6
    assert all(-1e-4 <= axis.place(tick) <= 100 + 1e-4 for tick, _ in axis.ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1000.0, "1000"),
        (0.123456, "0.1235"),
        (0.0, "0"),
        (1e12, "1e+12"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_written_with_the_digits_that_count(value: float, text: str) -> None:
    assert format_number(value) == text
