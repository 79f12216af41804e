"""Which classes are taken for which: a drawing where there are few, a list where there are many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from unreel.legible import make_legible
from unreel.report.evaluation_files import Evaluation

LARGEST_MATRIX = 30
"""Classes up to which all are drawn."""
MOST_PAIRS = 20
"""Pairs that are listed where there are more."""

_CELL, _MARGIN, _LETTER = 26, 8, 6.4
_COLOR = "#3f83c4"
_LONGEST_NAME = 22

# C classes


@dataclass(frozen=True)
class ConfusedPair:
    """How often a class was taken for another.

    Attributes:
        true: the class.
        told: what it was taken for.
        count: videos.
        queries: videos of the class.
    """

    true: str
    told: str
    count: int
    queries: int


@dataclass(frozen=True)
class ConfusionView:
    """What a confusion looks like.

    Attributes:
        title: of what it is.
        drawing: an ``<svg>`` element with all classes, "" where there are too many.
        pairs: otherwise those that are confused most, the most frequent first.
        num_classes: all of them.
        num_pairs: pairs of different classes that occur.
    """

    title: str
    drawing: str
    pairs: tuple[ConfusedPair, ...]
    num_classes: int
    num_pairs: int


def view_confusion(evaluation: Evaluation, title: str) -> ConfusionView | None:
    """Return the view of a result's confusion, None where it has none."""
    confusion, classes = evaluation.confusion, evaluation.classes
    if not confusion or not classes:
        return None
    pairs = [
        ConfusedPair(make_legible(true), make_legible(told), count, sum(row.values()))
        for true, row in confusion.items()
        for told, count in row.items()
        if true != told
    ]
    pairs.sort(key=lambda pair: (-pair.count, pair.true, pair.told))
    is_small = len(classes) <= LARGEST_MATRIX
    return ConfusionView(
        title=make_legible(title),
        drawing=draw_confusion(confusion, classes, title) if is_small else "",
        pairs=() if is_small else tuple(pairs[:MOST_PAIRS]),
        num_classes=len(classes),
        num_pairs=len(pairs),
    )


def draw_confusion(confusion: Mapping[str, Mapping[str, int]], classes: Sequence[str], title: str) -> str:
    """Draw a confusion into one ``<svg>`` element: a row per true class, a column per predicted one.

    Every cell has its count, and is the fuller the larger its share of the row. As in `draw_lines` there is
    no script, no style and no outside reference.

    Args:
        confusion: counts by true class, then by predicted class.
        classes: in the order of rows and columns.
        title: what is drawn; read out, not shown.
    """
    names = [_shorten(name) for name in classes]
    start = round(_LETTER * max(map(len, names))) + 2 * _MARGIN
    size = start + _CELL * len(classes) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" role="img" '
        'class="confusion" font-family="system-ui, sans-serif" font-size="11" fill="currentColor">',
        f"<title>{escape(make_legible(title))}</title>",
    ]
    for number, name in enumerate(names):
        middle = start + _CELL * number + _CELL // 2 + 4
        turned = f'transform="rotate(-90 {middle} {start - 6})"'
        parts.append(f'<text x="{start - 6}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text x="{middle}" y="{start - 6}" {turned}>{escape(name)}</text>')
    for row, true in enumerate(classes):
        counts = confusion.get(true, {})
        total = sum(counts.values())
        for column, told in enumerate(classes):
            place = (start + _CELL * column, start + _CELL * row)
            parts += _draw_cell(place, counts.get(told, 0), total, is_right=row == column)
    return "".join([*parts, "</svg>"])


def _draw_cell(place: tuple[int, int], count: int, total: int, *, is_right: bool) -> list[str]:
    x, y = place
    frame = ' stroke="currentColor" stroke-opacity="0.5"' if is_right else ""
    fill = f' fill="{_COLOR}" fill-opacity="{0.04 + 0.6 * count / total if count else 0.04:.2f}"'
    drawn = [f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" rx="2"{fill}{frame}/>']
    if count:
        drawn.append(f'<text x="{x + _CELL / 2}" y="{y + _CELL / 2 + 4}" text-anchor="middle">{count}</text>')
    return drawn


def _shorten(name: str) -> str:
    name = make_legible(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
