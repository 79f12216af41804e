"""Do proposals find the segments of a catalog, and better than stretches that know nothing?"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.errors import CatalogError, UnreelError
from unreel.evaluate.localization import (
    MOST_PROPOSALS,
    AverageRecall,
    measure_average_recall,
    recall_to_json,
)
from unreel.evaluate.proposal_files import match_videos
from unreel.evaluate.proposals import propose_uniformly
from unreel.evaluate.recognition import TEST_SPLITS
from unreel.evaluate.soft_nms import ScoredSegments
from unreel.features.grid_batches import read_segments

# S segments of a video

_NONE = np.empty((0, 2))


@dataclass(frozen=True, eq=False)
class LocalizationResult:
    """How well proposals find the segments of a split.

    Attributes:
        measured: of the proposals.
        uniform: of as many random stretches as count, which know nothing.
        split: that was measured, "" for all videos.
        without_segments: videos of the split that have none, so that they cannot be counted.
        without_proposals: names of videos, with segments that all count as missed, that the file lacks.
        unknown: names in the file that stand for no video of the catalog.
        outside: segments that lie outside their videos and are left out.
        seconds: duration of the measurement.
    """

    measured: AverageRecall
    uniform: AverageRecall
    split: str
    without_segments: int
    without_proposals: list[str]
    unknown: list[str]
    outside: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return all settings, counts and values as plain data; recall as shares, the area in percent."""
        return {
            "protocol": "average recall of temporal proposals",
            "settings": {"split": self.split, "most_proposals": MOST_PROPOSALS},
            "proposals": recall_to_json(self.measured),
            "uniform": recall_to_json(self.uniform),
            "videos_without_segments": self.without_segments,
            "videos_without_proposals": self.without_proposals,
            "unknown_videos": self.unknown,
            "segments_outside": self.outside,
            "seconds": self.seconds,
        }


def evaluate_proposals(
    path: Path, proposals: Mapping[str, ScoredSegments], catalog: Catalog, *, split: str = "auto"
) -> LocalizationResult:
    """Measure the average recall of proposals on the segments of a split.

    A video with segments but without proposals counts as missed; one without segments cannot be counted.

    Args:
        path: of the proposals, for messages.
        proposals: by the names in their file, in seconds.
        catalog: with segments.
        split: of the catalog; "auto" takes that of `choose_split`, "" takes all.

    Raises:
        CatalogError: there is no such split, or no segment in it.
        UnreelError: no proposal is of a video of the split, or a name is ambiguous.
    """
    started = time.monotonic()
    chosen = choose_split(catalog, split)
    videos = catalog.select(chosen)
    name_of, unknown = match_videos(path, list(proposals), catalog)
    row_of = {video_id: row for row, video_id in enumerate(catalog.ids)}
    names = [name_of.get(row_of[video_id], "") for video_id in videos.ids]
    segments, outside = read_segments(videos)
    kept = [place for place, own in enumerate(segments) if len(own)]
    if not kept:
        raise CatalogError(
            f"none of the {len(videos)} videos of split {chosen!r} has a segment; scan a list with the "
            "columns path, start_sec, end_sec and label, or take another --split"
        )
    if not any(names[place] for place in kept):
        raise UnreelError(
            f"{path} has no proposal for any of the {len(kept)} videos of split {chosen!r} with segments; "
            "make them from features of these videos, or take another --split"
        )
    paths = videos.table["path"].to_pylist()
    seconds = videos.seconds_array
    truth = [segments[place] * seconds[place] for place in kept]
    found = [proposals[names[place]].segments_K2 if names[place] else _NONE for place in kept]
    return LocalizationResult(
        measured=measure_average_recall(truth, found),
        uniform=measure_average_recall(truth, [_guess(videos, place) for place in kept]),
        split=chosen,
        without_segments=len(videos) - len(kept),
        without_proposals=[paths[place] for place in kept if not names[place]],
        unknown=unknown,
        outside=outside,
        seconds=time.monotonic() - started,
    )


def choose_split(catalog: Catalog, split: str) -> str:
    """Return the split that is measured: of "auto", the first of `TEST_SPLITS` with segments, else "".

    Test videos of ActivityNet and HACS have no segments: those of validation count.
    """
    if split != "auto":
        return split
    has_segments = {
        name for name, own in zip(catalog.splits, catalog.table["segments"].to_pylist(), strict=True) if own
    }
    return next((name for name in TEST_SPLITS if name in has_segments), "")


def _guess(videos: Catalog, place: int) -> NDArray[np.float64]:
    guessed: NDArray[np.float64] = propose_uniformly(videos.ids[place]).segments_K2
    guessed *= videos.seconds_array[place]
    return guessed
