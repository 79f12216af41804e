"""Where a network looks: frames of some videos, and below each what Grad-CAM finds in it."""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.evaluate.grad_cam import stretch_space
from unreel.evaluate.grad_cam_videos import GradCamResult, VideoMaps
from unreel.report.figures import DOTS_PER_INCH, make_drawable, plain_style, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# F frames that are shown, H W pixels or positions, C colors

HEAT_SHARE = 0.3
"""Part of the heat map in an overlay; the rest is the picture."""
_COLORS = "turbo"

# Inches; sizes of letters in points.
_CELL, _GAP, _MARGIN = 1.2, 0.05, 0.12
_HEADER, _SPACE, _TITLE, _TIMES, _FOOTER = 0.36, 0.14, 0.3, 0.15, 0.5
_LEAST_WIDTH = 4.6
_LARGE, _SMALL = 8, 6.5


def blend(pictures_FHWC: NDArray[np.uint8], shares_FHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay heat maps over square pictures: 0.3 of the color of the share, 0.7 of the picture.

    Args:
        pictures_FHWC: uint8 RGB.
        shares_FHW: in [0, 1], of any size; resized to the pictures by bilinear interpolation.
    """
    from matplotlib import colormaps

    shares = stretch_space(torch.from_numpy(shares_FHW), pictures_FHWC.shape[1]).clamp(0, 1).numpy()
    heat_FHWC = 255 * colormaps[_COLORS](shares)[..., :3]
    blended: NDArray[np.uint8] = np.rint(HEAT_SHARE * heat_FHWC + (1 - HEAT_SHARE) * pictures_FHWC).astype(
        np.uint8
    )
    return blended


def draw_grad_cam(result: GradCamResult) -> "Figure":
    """Draw two rows per video: the frames as the network sees them, and the same under their heat maps."""
    from matplotlib.figure import Figure

    num_columns = max(len(video.frames_F) for video in result.videos)
    width = max(_LEAST_WIDTH, 2 * _MARGIN + num_columns * (_CELL + _GAP) - _GAP)
    per_video = _SPACE + _TITLE + _TIMES + 2 * _CELL + _GAP
    height = _HEADER + len(result.videos) * per_video + _FOOTER
    with plain_style():
        figure = Figure(figsize=(width, height))
        heading = [f"Grad-CAM on the last feature map of {result.encoder}", _explain_scale(result)]
        _write(figure, heading, _MARGIN, height - 0.1)
        for number, video in enumerate(result.videos):
            _draw_video(figure, video, height - _HEADER - _SPACE - number * per_video)
        _draw_scale(figure)
    return figure


def save_grad_cam(result: GradCamResult, path: Path) -> None:
    """Draw all videos into one PNG or SVG file; the same result gives the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_grad_cam(result), path)


def save_strips(result: GradCamResult, folder: Path) -> None:
    """Draw each video into a PNG file of its own in a folder, which is made where it is missing."""
    for video in result.videos:
        save_grad_cam(replace(result, videos=(video,)), folder / name_strip(video.video_id))


def name_strip(video_id: str) -> str:
    """Return the name of a video's own file: its id, made fit for any file system.

    Ids of a scan stay as they are. From others all but small letters, digits, - and _ is taken, and a digest
    is added, so that two videos never share a file and none leads out of the folder.
    """
    if re.fullmatch(r"[0-9a-f]{16}", video_id):
        return f"{video_id}.png"
    plain = re.sub(r"[^a-z0-9_-]+", "_", video_id.lower())[:40]
    return f"{plain}-{hashlib.blake2b(video_id.encode(), digest_size=8).hexdigest()}.png"


def describe_target(video: VideoMaps) -> str:
    """Say in words what is explained in a video, and its score."""
    if video.target:
        return f"class {video.target}, score {video.score:.3g}"
    return f"direction of the feature, of length {video.score:.3g}"


def _explain_scale(result: GradCamResult) -> str:
    unit = "frame" if result.clip_frames == 1 else f"clip of {result.clip_frames} frames"
    return f"1: place that speaks most for the score, in each {unit}"


def _draw_video(figure: "Figure", video: VideoMaps, top: float) -> None:
    label = f"label {video.label}; " if video.label else ""
    _write(figure, [video.path, f"{label}{describe_target(video)}"], _MARGIN, top)
    blended_FHWC = blend(video.pictures_FHWC, video.shares_FHW)
    upper = top - _TITLE - _TIMES - _CELL
    for place, seconds in enumerate(video.seconds_F):
        left = _MARGIN + place * (_CELL + _GAP)
        axes = _show(figure, video.pictures_FHWC[place], left, upper)
        axes.set_title(f"{seconds:.2f} s", fontsize=_SMALL, pad=2)
        axes = _show(figure, blended_FHWC[place], left, upper - _CELL - _GAP)
        if video.is_blank[place]:
            axes.text(0.5, 0.5, "zero", transform=axes.transAxes, color="white", ha="center", va="center")


def _show(figure: "Figure", picture_HWC: NDArray[np.uint8], left: float, bottom: float) -> "Axes":
    axes = _place_axes(figure, left, bottom, _CELL, _CELL)
    axes.imshow(picture_HWC)
    axes.set(xticks=[], yticks=[], frame_on=False)
    return axes


def _draw_scale(figure: "Figure") -> None:
    from matplotlib import colormaps

    axes = _place_axes(figure, _MARGIN + 0.05, 0.28, 2.0, 0.1)
    colors_1XC = colormaps[_COLORS](np.linspace(0, 1, 256))[None, :, :3]
    axes.imshow(colors_1XC, aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"], fontsize=_SMALL)
    axes.tick_params(length=2, pad=1)
    axes.set_yticks([])


def _place_axes(figure: "Figure", left: float, bottom: float, width: float, height: float) -> "Axes":
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def _write(figure: "Figure", lines: Sequence[str], left: float, top: float) -> None:
    """Write lines below a height in inches, each cut at its front where the figure ends."""
    width, height = figure.get_size_inches()
    text = "\n".join(_shorten(make_drawable(line), width - left - _MARGIN) for line in lines)
    figure.text(left / width, top / height, text, fontsize=_LARGE, va="top", parse_math=False)


def _shorten(line: str, most_inches: float) -> str:
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer: Any = RendererAgg(1, 1, DOTS_PER_INCH)  # type: ignore[no-untyped-call]
    font = FontProperties(size=_LARGE)

    def is_short(text: str) -> bool:
        width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return bool(width <= most_inches * DOTS_PER_INCH)

    if is_short(line):
        return line
    first = bisect_left(range(len(line)), True, key=lambda first: is_short(f"...{line[first:]}"))
    return f"...{line[first:]}"
