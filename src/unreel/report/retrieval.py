"""Strips of frames: some queries, and beside each the nearest videos by one or more encoders."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unreel.report.figures import make_drawable, plain_style, save_figure
from unreel.report.retrieval_view import RetrievalView, SeenVideo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# F frames that are shown, H W pixels, C colors

# Inches; sizes of letters in points.
_STRIP_WIDTH, _STRIP_HEIGHT = 2.4, 0.6
_GAP, _MARGIN = 0.14, 0.12
_TITLE, _NAME, _BETWEEN, _SPACE = 0.17, 0.19, 0.07, 0.14
_LARGE, _SMALL = 8, 6.5
_RIGHT, _WRONG, _UNKNOWN, _QUERY = "#2e9e4f", "#c8402f", "#9aa5b1", "black"
_PIXELS_BETWEEN = 2
_LONGEST_TITLE, _LONGEST_PATH, _LONGEST_NAME = 44, 36, 90


def draw_retrieval(view: RetrievalView) -> "Figure":
    """Draw a block per query: its strip on the left, and a row of what was found per encoder.

    A strip is the first, middle and last frame. It has a green frame and a check mark where the class is the
    query's, a red frame and a cross where it is another, and a gray one where that is not known.
    """
    from matplotlib.figure import Figure

    num_columns = 1 + len(view.found[0][0])
    row_height = _NAME + _TITLE + _STRIP_HEIGHT + _BETWEEN
    block = len(view.encoders) * row_height + _SPACE
    width = 2 * _MARGIN + num_columns * (_STRIP_WIDTH + _GAP) - _GAP
    height = len(view.queries) * block + _MARGIN
    with plain_style():
        figure = Figure(figsize=(width, height))
        for number, (query, by_table) in enumerate(zip(view.queries, view.found, strict=True)):
            top = height - _MARGIN / 2 - number * block
            _write(figure, f"query {_cut(query.path, _LONGEST_PATH - len('query '))}", _MARGIN, top)
            _draw_strip(figure, query, _describe(query), _MARGIN, top - _NAME)
            for place, (encoder, videos) in enumerate(zip(view.encoders, by_table, strict=True)):
                row_top = top - place * row_height
                _write(figure, _cut(encoder, _LONGEST_NAME), _MARGIN + _STRIP_WIDTH + _GAP, row_top)
                for rank, video in enumerate(videos, start=1):
                    left = _MARGIN + rank * (_STRIP_WIDTH + _GAP)
                    _draw_strip(figure, video, f"{rank}: {_describe(video)}", left, row_top - _NAME)
    return figure


def save_retrieval(view: RetrievalView, path: Path) -> None:
    """Draw the strips into a PNG or SVG file; the same view gives the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_retrieval(view), path)


def join_pictures(pictures_FHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put pictures side by side, with a little white in between."""
    num_frames, height, _, colors = pictures_FHWC.shape
    white = np.full((height, _PIXELS_BETWEEN, colors), 255, dtype=np.uint8)
    parts = [part for picture in pictures_FHWC for part in (picture, white)]
    return np.concatenate(parts[: 2 * num_frames - 1], axis=1)


def _describe(video: SeenVideo) -> str:
    """Return class, similarity, and whether it is right."""
    score = "" if video.score is None else f", {video.score:.2f}"
    mark = {True: " \N{CHECK MARK}", False: " \N{BALLOT X}", None: ""}[video.is_right]
    target = _cut(video.target or video.path, _LONGEST_TITLE - len(score) - len(mark) - 3)
    return f"{target}{score}{mark}"


def _cut(text: str, most: int) -> str:
    """Leave out the beginning of what is too long."""
    legible = make_drawable(text)
    return legible if len(legible) <= most else f"...{legible[-most + 3 :]}"


def _draw_strip(figure: "Figure", video: SeenVideo, title: str, left: float, top: float) -> None:
    """Place a strip with its title, its upper left corner at a place in inches; the aspect is kept."""
    width, height = figure.get_size_inches()
    if video.pictures_FHWC is None:
        strip_HWC = np.full((1, 4, 3), 230, dtype=np.uint8)
    else:
        strip_HWC = join_pictures(video.pictures_FHWC)
    rows, columns = strip_HWC.shape[:2]
    across = min(_STRIP_WIDTH, _STRIP_HEIGHT * columns / rows)
    down = across * rows / columns
    box = (left / width, (top - _TITLE - down) / height, across / width, down / height)
    axes = figure.add_axes(box)
    axes.imshow(strip_HWC, aspect="auto")
    axes.set(xticks=[], yticks=[])
    color = _QUERY if video.score is None else {True: _RIGHT, False: _WRONG, None: _UNKNOWN}[video.is_right]
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.0 if video.score is None else 2.0)
    figure.text(
        left / width, (top - 0.02) / height, title, fontsize=_SMALL, va="top", color=color, parse_math=False
    )
    if video.pictures_FHWC is None:
        axes.text(
            0.5, 0.5, "cannot be read", transform=axes.transAxes, fontsize=_SMALL, ha="center", va="center"
        )


def _write(figure: "Figure", text: str, left: float, top: float) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, top / height, text, fontsize=_LARGE, va="top", parse_math=False)
