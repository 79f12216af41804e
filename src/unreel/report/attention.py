"""Where the frames of a clip and of its shuffled copy look: CACL's attention figure."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unreel.evaluate.attention import AttentionResult
from unreel.report.figures import plain_style, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# N tokens: the class token, T frames of the clip, T frames of the shuffled clip

F64 = NDArray[np.float64]

_GAP_SHARE = 0.018
_MOST_LABELS = 8
_BELOW_COLOR, _ABOVE_COLOR = "#a6a6a6", "#e7298a"
"""Grey and pink, which the scale itself does not have: a weight beyond those of the frames."""


def normalize_rows(attention_NN: F64) -> F64:
    """Stretch every row so that the frame with the smallest weight has 0 and the one with the largest has 1.

    The class token, most often far from all frames, would leave them one color if it set the scale; its
    weight is stretched alike and may lie outside [0, 1]. Where all frames have one weight they become 0.

    Raises:
        ValueError: the matrix is not one of a class token and two clips, or a number in it is not finite.
    """
    shape = attention_NN.shape
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 3 or shape[0] % 2 == 0:
        raise ValueError(f"attention must be a square matrix of 1 + 2 * frames tokens, got shape {shape}")
    if not np.isfinite(attention_NN).all():
        raise ValueError("attention must be finite; has the run diverged?")
    frames_NX = attention_NN[:, 1:]
    least_N1 = frames_NX.min(axis=1, keepdims=True)
    span_N1 = frames_NX.max(axis=1, keepdims=True) - least_N1
    stretched_NN: F64 = (attention_NN - least_N1) / np.where(span_N1 > 0, span_N1, 1.0)
    return stretched_NN


def place_tokens(num_frames: int) -> tuple[F64, F64]:
    """Return where each token of a clip of T frames begins on an axis and where its middle is, two (1 + 2T).

    Tokens are 1 wide. A gap parts the class token from the clip and the clip from its shuffled copy; it grows
    with the number of tokens, so that it looks the same.
    """
    num_tokens = 1 + 2 * num_frames
    group_N = np.repeat([0, 1, 2], [1, num_frames, num_frames])
    start_N = np.arange(num_tokens) + _GAP_SHARE * num_tokens * group_N
    return start_N, start_N + 0.5


def draw_attention(result: AttentionResult) -> "Figure":
    """Draw the matrix: a row per token that looks, a column per token that is looked at.

    Rows are stretched one by one (see `normalize_rows`), since the weights of an early block are nearly even;
    what they truly are stands in the title.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with plain_style():
        figure = Figure(figsize=(7.2, 6.4), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
        axes = figure.add_subplot()
        shown_NN = normalize_rows(result.attention_NN)
        colors = colormaps["viridis"].with_extremes(under=_BELOW_COLOR, over=_ABOVE_COLOR)
        start_N, _ = place_tokens(result.num_frames)
        for rows in _groups(result.num_frames):
            for columns in _groups(result.num_frames):
                mesh = axes.pcolormesh(
                    _edges(start_N[columns]),
                    _edges(start_N[rows]),
                    shown_NN[rows, columns],
                    cmap=colors,
                    vmin=0.0,
                    vmax=1.0,
                )
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set_frame_on(False)
        _label_axes(axes, result.num_frames)
        bar = figure.colorbar(mesh, ax=axes, shrink=0.8, extend="both", extendfrac=0.05)
        bar.set_label(
            "weight; in each row 0 is the frame with least, 1 the frame with most\n"
            "pink: class token above all frames; grey: class token below all frames"
        )
        axes.set_title(_write_title(result), fontsize=9)
    return figure


def save_attention(result: AttentionResult, path: Path) -> None:
    """Draw the matrix into a PNG or SVG file; the same result gives the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_attention(result), path)


def _write_title(result: AttentionResult) -> str:
    clips = "1 clip" if result.num_clips == 1 else f"{result.num_clips} clips"
    videos = "1 video" if result.num_videos == 1 else f"{result.num_videos} videos"
    frames_NX, class_N = result.attention_NN[:, 1:], result.attention_NN[:, 0]
    return (
        f"Attention in block {result.block}, mean of all heads and {clips} of {videos}\n"
        f"weight of a frame {frames_NX.min():.3g} to {frames_NX.max():.3g} ({1 / len(class_N):.3g} if even)\n"
        f"weight of the class token {class_N.min():.3g} to {class_N.max():.3g}"
    )


def _groups(num_frames: int) -> tuple[slice, slice, slice]:
    return slice(0, 1), slice(1, 1 + num_frames), slice(1 + num_frames, 1 + 2 * num_frames)


def _edges(start: F64) -> F64:
    return np.append(start, start[-1] + 1.0)


def _label_axes(axes: "Axes", num_frames: int) -> None:
    """Number the frames from 0, as their tokens are, and name the groups below and on the left."""
    _, middle_N = place_tokens(num_frames)
    step = -(-num_frames // _MOST_LABELS)
    numbers = range(0, num_frames, step)
    places = [middle_N[first + number] for first in (1, 1 + num_frames) for number in numbers]
    names = ["class", "clip", "shuffled clip"]
    group_places = [float(middle_N[group].mean()) for group in _groups(num_frames)]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(places, labels=[str(number) for number in numbers] * 2, fontsize=8)
    axes.tick_params(length=2)
    below = axes.secondary_xaxis(location=0)
    below.set_xticks(group_places, labels=names)
    below.tick_params(axis="x", length=0, pad=16)
    beside = axes.secondary_yaxis(location=0)
    beside.set_yticks(group_places, labels=names, rotation=90, va="center")
    beside.tick_params(axis="y", length=0, pad=20)
    for secondary in (below, beside):
        secondary.spines[:].set_visible(False)
    below.set_xlabel("token that is looked at (frames by their place, from 0)")
    beside.set_ylabel("token that looks")
