"""What encoders reach with few labels and with many: a curve for each, over the share of the labels."""

from pathlib import Path
from typing import TYPE_CHECKING

from unreel.evaluate.low_shot import LowShotResult
from unreel.report.figures import make_drawable, plain_style, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches; sizes of letters in points.
_WIDTH, _HEIGHT = 5.6, 4.0
_LARGE, _SMALL = 8, 6.5
_COLORS = ("#e07b39", "#20639b", "#3caea3", "#8d5a97", "#9aa5b1")
_MARKERS = ("o", "s", "^", "D", "v")
_LONGEST_NAME = 40
_METRICS = {
    "top1": "accuracy %",
    "mean_class": "mean accuracy of the classes %",
    "macro_f_measure": "macro F-measure %",
}


def draw_low_shot(result: LowShotResult) -> "Figure":
    """Draw a curve per encoder: mean over the seeds, with a bar of one standard deviation each way.

    Shares are on a logarithmic axis, each with its number of labelled videos below it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    points = result.curves[0].points
    with plain_style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.1, 0.15, 0.87, 0.81))
        for number, curve in enumerate(result.curves):
            axes.errorbar(
                [100 * point.fraction for point in curve.points],
                [100 * point.mean for point in curve.points],
                yerr=[100 * point.deviation for point in curve.points],
                label=_shorten(curve.name),
                color=_COLORS[number % len(_COLORS)],
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4,
                linewidth=1.2,
                capsize=2,
            )
        axes.set_xscale("log")
        axes.set_xticks(
            [100 * point.fraction for point in points],
            [f"{100 * point.fraction:g}\n{max(point.videos)}" for point in points],
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("% of the labels, and number of labelled videos", fontsize=_LARGE)
        metric = str(result.settings.get("metric", "top1"))
        axes.set_ylabel(_METRICS.get(metric, metric), fontsize=_LARGE)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=_SMALL, length=2)
        axes.grid(axis="y", linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        for text in axes.legend(fontsize=_SMALL, frameon=False, loc="best").get_texts():
            text.set_parse_math(False)
    return figure


def save_low_shot(result: LowShotResult, path: Path) -> None:
    """Draw the curves into a PNG or SVG file; the same result gives the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_low_shot(result), path)


def _shorten(name: str) -> str:
    """Return a name that can be drawn; one that begins with ``_`` would be left out of the legend."""
    name = make_drawable(name)
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
    return f" {name}" if name.startswith("_") else name
