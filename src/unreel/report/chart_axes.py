"""Axes of a drawing: which round numbers are marked, and where every number lies."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SMALLEST = 1e-20
"""Numbers that differ by less are the same."""


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers laid out along a stretch of the drawing.

    Attributes:
        low: the smallest number.
        high: the largest, above ``low``.
        start: place of ``low`` in the drawing.
        end: place of ``high``.
        ticks: numbers to be marked, with what is written beside each.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Return where a number lies."""
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def make_axis(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    is_whole: bool = False,
    is_rounded: bool = False,
    factor: float = 1.0,
    num_ticks: int = 5,
) -> Axis:
    """Return an axis that holds all values, with about ``num_ticks`` round numbers on it.

    Args:
        values: finite numbers; without any the axis goes from 0 to 1.
        start: place of the smallest in the drawing.
        end: place of the largest.
        is_whole: whether only whole numbers are marked.
        is_rounded: whether the axis starts and ends at a marked number.
        factor: by which numbers are multiplied where they are written, such as 100 for percent.
        num_ticks: about how many are marked.
    """
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), _SMALLEST):
        margin = abs(low) * 0.1 if abs(low) > _SMALLEST else 0.5
        low, high = low - margin, high + margin
    step = _round_step((high - low) / num_ticks)
    if is_whole:
        step = max(step, 1.0)
    down, up = (math.floor, math.ceil) if is_rounded else (math.ceil, math.floor)
    slack = 1e-9 if is_rounded else -1e-9  # a number that is round but for its last bit is round
    first, last = down(low / step + slack), up(high / step - slack)
    if is_rounded:
        low, high = first * step, last * step
    ticks = [number * step for number in range(first, last + 1)]
    digits = max(0, -math.floor(math.log10(step * factor) + 1e-9))
    return Axis(low, high, start, end, tuple((tick, _write_tick(tick * factor, digits)) for tick in ticks))


def _round_step(step: float) -> float:
    """Return the next number that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next((power * size for size in (1, 2, 5) if power * size >= step * (1 - 1e-9)), power * 10)


def _write_tick(value: float, digits: int) -> str:
    if not value:
        return "0"
    return f"{value:.3g}" if abs(value) >= 1e6 or digits > 4 else f"{value:.{digits}f}"


def format_number(value: float) -> str:
    """Write a number with four digits that count, and a whole one with all of them."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"
