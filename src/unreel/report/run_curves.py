"""The course of runs over their steps: a drawing per number, a curve per run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unreel.legible import make_legible
from unreel.report.line_chart import NUM_BUCKETS, Series, draw_lines, find_drawable
from unreel.report.run_record import RunRecord

MOST_CURVES = 48
"""Drawings of one page."""

_NOT_DRAWN = ("step", "epoch")
_LAST = {
    "lr": "learning rate",
    "videos_per_sec": "videos per second",
    "data_wait_fraction": "time spent waiting for data",
}
_SHARES = ("accuracy", "fraction")


@dataclass(frozen=True)
class Curve:
    """A drawing and what stands below it.

    Attributes:
        title: what is drawn.
        drawing: an ``<svg>`` element.
        notes: what cannot be seen in it: gaps, runs without this number, points that were left out.
    """

    title: str
    drawing: str
    notes: tuple[str, ...]


def draw_curves(runs: Sequence[RunRecord], names: Sequence[str], *, has_legend: bool = False) -> list[Curve]:
    """Draw every number of the runs: loss and its terms, then learning rate, speed and waiting time.

    Args:
        runs: the runs; each keeps its colour throughout.
        names: of the runs, as shown.
        has_legend: whether every drawing names the runs.
    """
    columns = dict.fromkeys(column for run in runs for column in run.metrics if column not in _NOT_DRAWN)
    terms = sorted((column for column in columns if column not in _LAST), key=lambda column: column != "loss")
    chosen = [*terms, *(column for column in _LAST if column in columns)]
    return [_draw(column, runs, names, has_legend) for column in chosen[:MOST_CURVES]]


def _draw(column: str, runs: Sequence[RunRecord], names: Sequence[str], has_legend: bool) -> Curve:
    series = [
        Series(name, run.metrics["step"], run.metrics[column], color=number)
        for number, (run, name) in enumerate(zip(runs, names, strict=True))
        if column in run.metrics
    ]
    is_share = column.endswith(_SHARES) and all(map(_is_within_0_and_1, series))
    title = _LAST.get(column, make_legible(column.replace("_", " ")))
    drawing = draw_lines(series, f"{title} over steps", is_share=is_share, has_legend=has_legend)
    return Curve(title, drawing, _list_notes(series, names))


def _is_within_0_and_1(series: Series) -> bool:
    drawn = np.asarray(series.y, dtype=np.float64)[find_drawable(series.y)]
    return not len(drawn) or bool(drawn.min() >= 0 and drawn.max() <= 1)


def _list_notes(series: Sequence[Series], names: Sequence[str]) -> tuple[str, ...]:
    notes = [
        f"{own.name}: {own.num_gaps} of {len(own.y)} values are no finite numbers and leave gaps"
        for own in series
        if own.num_gaps
    ]
    if any(own.is_thinned for own in series):
        notes.append(f"long: cut into {NUM_BUCKETS} parts, of each the smallest and the largest value")
    drawn = {own.name for own in series}
    if len(drawn) < len(names):
        notes.append(f"{', '.join(name for name in names if name not in drawn)}: no such number")
    return tuple(make_legible(note) for note in notes)
