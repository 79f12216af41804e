"""What a second encoder gains on a first in every class, over how much moves in the class."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unreel.errors import FeaturesError
from unreel.evaluate.motion_gain import ClassGain, MotionGain
from unreel.report.figures import make_drawable, plain_style, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches; sizes of letters in points.
_WIDTH, _HEIGHT = 6.4, 4.4
_LARGE, _SMALL = 8, 6.5
_MORE, _LESS, _SAME = "#e07b39", "#20639b", "#9aa5b1"
_LONGEST_NAME = 32
_POINT = 3
"""Half the width of a point, in dots of the screen."""
_PLACES = (
    ("left", "center", 5, 0),
    ("right", "center", -5, 0),
    ("center", "bottom", 0, 5),
    ("center", "top", 0, -5),
)
"""Where a name may stand beside its point: alignment, and distance in points."""


def draw_motion_gain(gain: MotionGain, *, num_names: int = 5) -> "Figure":
    """Draw a point per class: orange where the second encoder is better, blue where it is worse.

    Classes whose motion is not known have no point. Names that find no free place are left out.

    Args:
        gain: what to draw.
        num_names: classes of the largest, and of the smallest gains that are named.

    Raises:
        FeaturesError: the motion of no class is known.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = gain.with_motion
    if not known:
        raise FeaturesError("nothing is known of the motion of any class; measure it with `unreel motion`")
    with plain_style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.11, 0.11, 0.86, 0.76))
        figure.text(0.11, 0.98, _write_title(gain), fontsize=_LARGE, va="top", parse_math=False)
        axes.axhline(0, color="black", linewidth=0.7, linestyle=":")
        axes.scatter(
            [own.normalized_motion or 0.0 for own in known],
            [100 * own.gain for own in known],
            s=16,
            color=[_MORE if own.gain > 0 else _LESS if own.gain < 0 else _SAME for own in known],
        )
        axes.set_xlim(-0.06, 1.06)
        axes.margins(y=0.12)
        axes.set_xlabel("motion of the class (0 least, 1 most)", fontsize=_LARGE)
        axes.set_ylabel("gain, points", fontsize=_LARGE)
        axes.tick_params(labelsize=_SMALL, length=2)
        axes.spines[["top", "right"]].set_visible(False)
        _name_points(axes, known, _take_ends(known, num_names))
    return figure


def save_motion_gain(gain: MotionGain, path: Path, *, num_names: int = 5) -> None:
    """Draw the gains into a PNG or SVG file; the same result gives the same bytes.

    Raises:
        FeaturesError: the motion of no class is known.
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_motion_gain(gain, num_names=num_names), path)


def _write_title(gain: MotionGain) -> str:
    correlation = gain.correlation
    rank = "no rank correlation" if correlation is None else f"rank correlation {correlation:.2f}"
    names = make_drawable(f"{gain.second} against {gain.first}")
    return (
        f"{names[:90]}\n{len(gain.with_motion)} classes, mean gain {100 * gain.mean_gain:.1f} points, {rank}"
    )


def _take_ends(known: tuple[ClassGain, ...], count: int) -> list[ClassGain]:
    """Return the classes of the largest and smallest gains, from outside to inside, each once."""
    ends: dict[str, ClassGain] = {}
    for place in range(min(count, len(known))):
        for own in (known[place], known[-1 - place]):
            ends.setdefault(own.name, own)
    return list(ends.values())


def _name_points(axes: "Axes", known: Sequence[ClassGain], named: Sequence[ClassGain]) -> None:
    """Write names beside their points, where they hide no point, no other name and not the line at 0."""
    from matplotlib.transforms import Bbox

    zero = float(axes.transData.transform((0.0, 0.0))[1])
    taken = [Bbox.from_extents(axes.bbox.x0, zero - 1, axes.bbox.x1, zero + 1)]
    for own in known:
        x, y = axes.transData.transform((own.normalized_motion or 0.0, 100 * own.gain)).tolist()
        taken.append(Bbox.from_extents(x - _POINT, y - _POINT, x + _POINT, y + _POINT))
    inside = axes.get_window_extent().expanded(1.02, 1.02)
    for own in named:
        name = make_drawable(own.name)
        name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
        for across, upright, right, up in _PLACES:
            text = axes.annotate(
                name,
                (own.normalized_motion or 0.0, 100 * own.gain),
                xytext=(right, up),
                textcoords="offset points",
                ha=across,
                va=upright,
                fontsize=_SMALL,
                parse_math=False,
            )
            box = text.get_window_extent()
            is_inside = (
                inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 <= box.y1 <= inside.y1
            )
            if is_inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
