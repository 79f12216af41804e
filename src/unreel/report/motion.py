"""One video's motion over time, the windows that training prefers for it, and what is to be seen there."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unreel.report.figures import make_drawable, plain_style, save_figure
from unreel.report.motion_view import MotionView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches; sizes of letters in points.
_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 7.2, 0.7, 0.15, 0.62, 0.5
_PICTURES, _PANEL, _GAP = 0.95, 1.35, 0.16
_LARGE, _SMALL = 8, 7
_PLAIN, _DRAWN, _CLIP = "#9aa5b1", "#e07b39", "#20639b"


def draw_motion(view: MotionView) -> "Figure":
    """Draw frames, the motion of every window, and the probabilities of windows, over one axis of time.

    Windows that were drawn are orange; below the probabilities a blue line shows how far each clip reaches.
    """
    from matplotlib.figure import Figure

    height = _TOP + _PICTURES + 2 * _PANEL + 2 * _GAP + _BOTTOM
    with plain_style():
        figure = Figure(figsize=(_WIDTH, height))
        figure.text(
            _LEFT / _WIDTH, 1 - 0.1 / height, _write_title(view), fontsize=_LARGE, va="top", parse_math=False
        )
        probabilities = _add_panel(figure, _BOTTOM)
        motion = _add_panel(figure, _BOTTOM + _PANEL + _GAP)
        _draw_bars(motion, view, view.motion_C, "motion")
        _draw_bars(probabilities, view, view.prob_C, "probability")
        probabilities.axhline(1 / len(view.prob_C), color="black", linewidth=0.7, linestyle=":")
        _draw_clips(probabilities, view)
        motion.set_xticklabels([])
        probabilities.set_xlabel("seconds", fontsize=_LARGE)
        _draw_pictures(figure, view, _BOTTOM + 2 * (_PANEL + _GAP))
    return figure


def save_motion(view: MotionView, path: Path) -> None:
    """Draw the motion into a PNG or SVG file; the same view gives the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_motion(view), path)


def _write_title(view: MotionView) -> str:
    name = make_drawable(view.path)
    clips = "1 clip" if len(view.clips) == 1 else f"{len(view.clips)} clips"
    return (
        f"{name if len(name) <= 90 else f'...{name[-87:]}'}\n"
        f"{len(view.motion_C)} windows, as uncertain as {view.effective_windows:.1f} at beta {view.beta:g}; "
        f"orange: windows of {clips} that were drawn, blue: the clips\n"
    )


def _add_panel(figure: "Figure", bottom: float) -> "Axes":
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (_LEFT / width, bottom / height, (width - _LEFT - _RIGHT) / width, _PANEL / height)
    )


def _draw_bars(axes: "Axes", view: MotionView, values: "np.typing.NDArray[np.floating]", name: str) -> None:
    drawn = {clip.window for clip in view.clips}
    colors = [_DRAWN if window in drawn else _PLAIN for window in range(len(values))]
    widths = np.diff(view.edges_sec)
    axes.bar(
        view.edges_sec[:-1], values, widths, align="edge", color=colors, edgecolor="white", linewidth=0.5
    )
    axes.set_xlim(view.edges_sec[0], view.edges_sec[-1])
    axes.set_ylabel(name, fontsize=_LARGE)
    axes.tick_params(labelsize=_SMALL, length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_clips(axes: "Axes", view: MotionView) -> None:
    """Draw every clip as a line, one above the other, over the bars."""
    top = float(axes.get_ylim()[1])
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= min(top, 1.0)])
    axes.set_ylim(0, top * (1 + 0.12 * len(view.clips)))
    for place, clip in enumerate(view.clips):
        level = top * (1 + 0.12 * place)
        axes.plot([clip.start_sec, clip.end_sec], [level, level], color=_CLIP, marker="|", linewidth=1.5)


def _draw_pictures(figure: "Figure", view: MotionView, bottom: float) -> None:
    """Place every picture over its moment, moved sideways where it would leave the figure or hide another."""
    width, height = figure.get_size_inches()
    across = width - _LEFT - _RIGHT
    slot = across / len(view.picture_sec_P)
    rows, columns = view.pictures_PHWC.shape[1:3]
    size = min(0.96 * slot, _PICTURES * columns / rows)
    for place, (seconds, picture) in enumerate(zip(view.picture_sec_P, view.pictures_PHWC, strict=True)):
        left = _LEFT + (place + 0.5) * slot - size / 2
        picture_height = size * rows / columns
        axes = figure.add_axes((left / width, bottom / height, size / width, picture_height / height))
        axes.imshow(picture)
        axes.set(xticks=[], yticks=[], frame_on=False)
        axes.set_title(f"{seconds:.1f} s", fontsize=_SMALL, pad=2)
