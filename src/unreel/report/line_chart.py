"""Curves over steps as one piece of SVG: for pages that run no script and load nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unreel.legible import make_legible
from unreel.report.chart_axes import Axis, format_number, make_axis

WIDTH, HEIGHT = 480, 250
"""Size of the drawing; a page may show it at any other."""
NUM_BUCKETS = 240
"""Parts into which a longer curve is cut; of each its smallest and its largest value are drawn."""
COLORS = ("#3f83c4", "#d9772b", "#2f9d78", "#b2609f", "#8f8a2e", "#cf5057", "#7a78cf", "#4d9aa6")
"""Of the series in turn; each is legible on white and on black."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 18, 14, 38
_LARGEST = 1e30
"""A number beyond this is drawn as a gap, like NaN."""
_LONGEST_NAME = 44


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        name: what it is of, shown in the legend.
        x: numbers that rise, such as steps.
        y: as many numbers; NaN and infinity leave a gap.
        color: number of its colour, so that a thing keeps it from chart to chart; None takes its place.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: int | None = None

    @property
    def num_gaps(self) -> int:
        """Points that cannot be drawn."""
        return int(len(self.y) - find_drawable(self.y).sum())

    @property
    def is_thinned(self) -> bool:
        """Whether only the extremes of its parts are drawn."""
        return len(self.y) > 2 * NUM_BUCKETS


def find_drawable(values: Sequence[float]) -> NDArray[np.bool_]:
    """Say of every number whether it has a place on an axis: NaN and infinity have none."""
    is_drawable: NDArray[np.bool_] = np.abs(np.asarray(values, dtype=np.float64)) <= _LARGEST
    return is_drawable


def thin(x: Sequence[float], y: Sequence[float], num_buckets: int = NUM_BUCKETS) -> list[tuple[float, float]]:
    """Return the points of a curve, of a long one the smallest and the largest of every part.

    A single high or low point thus stays what it is, and so do the first and the last. A part with points
    that cannot be drawn keeps one of them, as a gap.

    Args:
        x: numbers that rise.
        y: as many numbers.
        num_buckets: parts; a curve of up to twice as many points stays whole.
    """
    num_points = len(y)
    if num_points <= 2 * num_buckets:
        return list(zip(x, y, strict=True))
    values, is_drawable = np.asarray(y, dtype=np.float64), find_drawable(y)
    edges = [number * num_points // num_buckets for number in range(num_buckets + 1)]
    kept = {0, num_points - 1}
    for start, end in pairwise(edges):
        drawable, gaps = np.nonzero(is_drawable[start:end])[0], np.nonzero(~is_drawable[start:end])[0]
        part = values[start:end][drawable]
        kept |= (
            {start + int(drawable[place]) for place in (part.argmin(), part.argmax())} if len(part) else set()
        )
        kept |= {start + int(place) for place in gaps[:1]}
    return [(x[place], y[place]) for place in sorted(kept)]


def draw_lines(
    series: Sequence[Series],
    title: str,
    *,
    x_label: str = "step",
    y_label: str = "",
    is_share: bool = False,
    has_legend: bool = True,
) -> str:
    """Draw curves into one ``<svg>`` element that can stand in any page.

    It has no script, no style and no outside reference, takes the colour of the text around it, and says in
    words where every curve starts and ends. Long curves are thinned, see `thin`. The same series give the
    same text.

    Args:
        series: the curves; one without points is named in the legend as such.
        title: what is drawn; read out, not shown.
        x_label: below the horizontal axis.
        y_label: beside the vertical one.
        is_share: whether the numbers are shares, to be shown in percent.
        has_legend: whether the names are shown, above the curves.
    """
    curves = [thin(own.x, own.y) for own in series]
    points = [point for curve in curves for point in curve if _is_drawable(point[1])]
    legend_rows = len(series) if has_legend else 0
    top = _TOP + 17 * legend_rows
    height = HEIGHT + 17 * legend_rows
    x_axis = make_axis([x for x, _ in points], _LEFT, WIDTH - _RIGHT, is_whole=True)
    y_axis = make_axis(
        [y for _, y in points], height - _BOTTOM, top, is_rounded=True, factor=100 if is_share else 1
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'class="chart" font-family="system-ui, sans-serif" font-size="11" fill="currentColor">',
        f"<title>{_escape(title)}</title>",
        f"<desc>{_escape(_describe(series))}</desc>",
        *_draw_axes(x_axis, y_axis, x_label, f"{y_label} %".strip() if is_share else y_label),
    ]
    if not points:
        parts.append(_text(WIDTH / 2, (top + height - _BOTTOM) / 2, "no numbers yet", anchor="middle"))
    for number, (own, curve) in enumerate(zip(series, curves, strict=True)):
        color = COLORS[(number if own.color is None else own.color) % len(COLORS)]
        parts += _draw_curve(curve, x_axis, y_axis, color)
        if has_legend:
            parts += _draw_legend(own, color, _TOP + 17 * number)
    return "".join([*parts, "</svg>"])


def _draw_axes(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> list[str]:
    bottom, top = y_axis.start, y_axis.end
    parts = []
    for value, label in y_axis.ticks:
        y = y_axis.place(value)
        parts.append(_line(_LEFT, y, WIDTH - _RIGHT, y, opacity=0.15))
        parts.append(_text(_LEFT - 6, y + 4, label, anchor="end"))
    for value, label in x_axis.ticks:
        x = x_axis.place(value)
        parts.append(_line(x, bottom, x, bottom + 4, opacity=0.6))
        parts.append(_text(x, bottom + 17, label, anchor="middle"))
    parts.append(_line(_LEFT, bottom, WIDTH - _RIGHT, bottom, opacity=0.6))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, bottom + _BOTTOM - 5, x_label, anchor="middle"))
    middle = (top + bottom) / 2
    if y_label.strip():
        turned = f' transform="rotate(-90 11 {middle:.1f})"'
        parts.append(_text(11, middle, y_label, anchor="middle", more=turned))
    return parts


def _draw_curve(curve: list[tuple[float, float]], x_axis: Axis, y_axis: Axis, color: str) -> list[str]:
    """Draw the pieces between gaps, and a dot for a piece of one point."""
    parts, pieces = [], _split(curve)
    for piece in pieces:
        places = [f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in piece]
        if len(places) == 1:
            x, _, y = places[0].partition(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="{color}"/>')
        else:
            parts.append(
                f'<polyline points="{" ".join(places)}" fill="none" stroke="{color}" stroke-width="1.6" '
                'stroke-linejoin="round"/>'
            )
    return parts


def _split(curve: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in curve:
        if _is_drawable(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _draw_legend(own: Series, color: str, y: float) -> list[str]:
    name = make_legible(own.name)
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
    gaps = f" ({own.num_gaps} of {len(own.y)} are no finite numbers)" if own.num_gaps else ""
    return [
        f'<line x1="{_LEFT}" y1="{y - 4}" x2="{_LEFT + 18}" y2="{y - 4}" stroke="{color}" stroke-width="3"/>',
        _text(_LEFT + 24, y, name + (gaps if own.y else " (no numbers)")),
    ]


def _describe(series: Sequence[Series]) -> str:
    """Say where the curves start and end, for those who cannot see them."""
    sentences = []
    for own in series:
        places = np.nonzero(find_drawable(own.y))[0]
        if not len(places):
            sentences.append(f"{own.name}: no numbers.")
            continue
        drawn = np.asarray(own.y, dtype=np.float64)[places]
        first, last, low, high = (
            format_number(float(value)) for value in (drawn[0], drawn[-1], drawn.min(), drawn.max())
        )
        start, end = (format_number(own.x[int(place)]) for place in (places[0], places[-1]))
        sentences.append(f"{own.name}: from {first} at {start} to {last} at {end}, between {low} and {high}.")
    return " ".join(sentences)


def _is_drawable(value: float) -> bool:
    return abs(value) <= _LARGEST


def _line(x1: float, y1: float, x2: float, y2: float, *, opacity: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
        f'stroke-opacity="{opacity}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{_escape(text)}</text>'


def _escape(text: str) -> str:
    return escape(make_legible(text))
