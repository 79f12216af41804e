"""What a localiser proposes, beside what is true, over the time of a few videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.errors import CatalogError
from unreel.evaluate.proposal_files import match_videos
from unreel.evaluate.soft_nms import ScoredSegments, measure_iou
from unreel.features.grid_batches import read_segments
from unreel.report.figures import make_drawable, plain_style, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# S segments, K proposals that are shown

# Inches; sizes of letters in points.
_WIDTH, _HEAD, _ROW, _FOOT = 7.2, 0.4, 1.1, 0.3
_LARGE, _SMALL = 8, 7
_TRUTH, _FOUND, _MISSED = "#20639b", "#e07b39", "#9aa5b1"
_FOUND_AT = 0.5
"""tIoU from which a proposal is drawn as one that found something."""
_NARROWEST = 0.035
"""Share of the video that a bar must cover to have a word in it."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video of the figure.

    Attributes:
        path: as in the catalog.
        seconds: length of the video.
        truth_S2: segments, in seconds.
        labels: their classes.
        proposals_K2: the best proposals, in seconds, best first.
        scores_K: their scores.
        iou_K: tIoU of each with the segment that it covers best.
    """

    path: str
    seconds: float
    truth_S2: NDArray[np.float64]
    labels: tuple[str, ...]
    proposals_K2: NDArray[np.float64]
    scores_K: NDArray[np.float64]
    iou_K: NDArray[np.float64]


def build_timelines(
    path: Path,
    proposals: Mapping[str, ScoredSegments],
    catalog: Catalog,
    *,
    videos: Sequence[str] = (),
    num_videos: int = 4,
    top: int = 0,
) -> list[Timeline]:
    """Choose videos and their best proposals.

    Args:
        path: of the proposals, for messages.
        proposals: by the names in their file, in seconds.
        catalog: with segments.
        videos: paths or ids of videos to show; by default the first that have proposals and segments.
        num_videos: how many these are at most.
        top: proposals per video; 0 takes as many as there are segments.

    Raises:
        CatalogError: a video is unknown or has no proposals, or none has both proposals and segments.
        ValueError: a number is out of range.
    """
    if num_videos < 1 or top < 0:
        raise ValueError(f"num_videos must be at least 1 and top at least 0, got {num_videos} and {top}")
    names, _ = match_videos(path, list(proposals), catalog)
    segments, _ = read_segments(catalog)
    if videos:
        rows = [_find_row(catalog, video) for video in videos]
    else:
        rows = [row for row in sorted(names) if len(segments[row])][:num_videos]
    without = [catalog.table["path"][row].as_py() for row in rows if row not in names]
    if without or not rows:
        raise CatalogError(
            f"{path} has no proposals for {', '.join(without) or 'any video with segments'}; take others "
            "with --videos, or propose for them"
        )
    return [_build(catalog, row, segments[row], proposals[names[row]], top) for row in rows]


def _find_row(catalog: Catalog, video: str) -> int:
    for column in (catalog.table["path"].to_pylist(), catalog.ids):
        if video in column:
            return column.index(video)
    raise CatalogError(f"the catalog has no video {video!r}; give a path as in the catalog, or an id")


def _build(
    catalog: Catalog, row: int, shares_S2: NDArray[np.float64], found: ScoredSegments, top: int
) -> Timeline:
    video = catalog.video(row)
    truth_S2 = shares_S2 * video.seconds
    kept = top or max(len(truth_S2), 1)
    proposals_K2 = found.segments_K2[:kept]
    iou_K = measure_iou(proposals_K2, truth_S2).max(axis=1, initial=0.0)
    return Timeline(
        path=str(catalog.table["path"][row].as_py()),
        seconds=video.seconds,
        truth_S2=truth_S2,
        labels=tuple(segment.label for segment in video.segments)
        if len(video.segments) == len(truth_S2)
        else ("",) * len(truth_S2),
        proposals_K2=proposals_K2,
        scores_K=found.scores_K[:kept],
        iou_K=iou_K,
    )


def draw_timelines(timelines: Sequence[Timeline]) -> "Figure":
    """Draw a strip per video: the segments above, the proposals below, each with its score.

    A proposal is orange when it covers a segment with a tIoU of at least 0.5, and grey otherwise.
    """
    from matplotlib.figure import Figure

    height = _HEAD + len(timelines) * _ROW + _FOOT
    with plain_style():
        figure = Figure(figsize=(_WIDTH, height))
        figure.text(
            0.02,
            1 - 0.08 / height,
            "blue: segments; below, the best proposals with their scores:\n"
            f"orange with tIoU of {_FOUND_AT:g} or more with a segment, grey with less",
            fontsize=_LARGE,
            va="top",
        )
        for place, timeline in enumerate(timelines):
            bottom = _FOOT + (len(timelines) - 1 - place) * _ROW
            axes = figure.add_axes((0.04, (bottom + 0.2) / height, 0.92, (_ROW - 0.42) / height))
            _draw(axes, timeline)
        axes.set_xlabel("seconds", fontsize=_LARGE)
    return figure


def save_timelines(timelines: Sequence[Timeline], path: Path) -> None:
    """Draw timelines into a PNG or SVG file; the same timelines give the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    save_figure(draw_timelines(timelines), path)


def _draw(axes: "Axes", timeline: Timeline) -> None:
    """Draw one video: segments in the upper half, in the lower as many lanes as there are overlaps."""
    lanes_S, lanes_K = find_lanes(timeline.truth_S2), find_lanes(timeline.proposals_K2)
    for place, label in enumerate(timeline.labels):
        _draw_bar(axes, timeline, timeline.truth_S2[place], (2.0, lanes_S, place), color=_TRUTH, text=label)
    for place, score in enumerate(timeline.scores_K):
        color = _FOUND if timeline.iou_K[place] >= _FOUND_AT else _MISSED
        segment = timeline.proposals_K2[place]
        _draw_bar(axes, timeline, segment, (1.0, lanes_K, place), color=color, text=f"{score:.2g}")
    axes.set_xlim(0, timeline.seconds)
    axes.set_ylim(0, 2)
    axes.set_yticks([])
    axes.tick_params(labelsize=_SMALL, length=2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    name = make_drawable(timeline.path)
    axes.set_title(
        name if len(name) <= 90 else f"...{name[-87:]}", fontsize=_SMALL, loc="left", pad=2, parse_math=False
    )


def find_lanes(segments_K2: NDArray[np.float64]) -> list[int]:
    """Return a lane for every stretch: the first in which it overlaps none of those before it."""
    lanes: list[list[int]] = []
    lane_of = []
    for place, (start, end) in enumerate(segments_K2):
        is_free = [
            all(end <= segments_K2[other, 0] or start >= segments_K2[other, 1] for other in members)
            for members in [*lanes, []]
        ]
        number = is_free.index(True)
        if number == len(lanes):
            lanes.append([])
        lanes[number].append(place)
        lane_of.append(number)
    return lane_of


def _draw_bar(
    axes: "Axes",
    timeline: Timeline,
    segment: NDArray[np.float64],
    slot: tuple[float, list[int], int],
    *,
    color: str,
    text: str,
) -> None:
    """Draw one stretch below the height ``slot[0]``, in its lane, with a word where there is room."""
    top, lanes, place = slot
    height = 1 / (1 + max(lanes))
    middle, (start, end) = top - (lanes[place] + 0.5) * height, segment
    axes.barh(
        middle,
        end - start,
        left=start,
        height=0.84 * height,
        color=color,
        edgecolor="white",
        linewidth=0.6,
    )
    if end - start < _NARROWEST * timeline.seconds:
        return
    axes.text(
        (start + end) / 2,
        middle,
        make_drawable(text)[:12],
        fontsize=_SMALL - 1,
        color="white",
        ha="center",
        va="center",
        clip_on=True,
        parse_math=False,
    )


def timelines_to_json(timelines: Sequence[Timeline]) -> dict[str, object]:
    """Return the numbers behind a figure as plain data, times in seconds."""
    return {
        "videos": [
            {
                "path": timeline.path,
                "seconds": timeline.seconds,
                "segments": [
                    {"segment": segment, "label": label}
                    for segment, label in zip(timeline.truth_S2.tolist(), timeline.labels, strict=True)
                ],
                "proposals": [
                    {"segment": segment, "score": score, "tiou": iou}
                    for segment, score, iou in zip(
                        timeline.proposals_K2.tolist(),
                        timeline.scores_K.tolist(),
                        timeline.iou_K.tolist(),
                        strict=True,
                    )
                ],
            }
            for timeline in timelines
        ]
    }
