"""Which clip, frame and stretch of time each vector of a video stands for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.data.catalog import Catalog, Video
from unreel.features.pooling import Pooling
from unreel.features.reading import EmbeddedVideo
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

# N clips, R rows per clip, T frames, D features


def build_table(
    embedded: Sequence[EmbeddedVideo], videos: Catalog, pooling: Pooling, info: FeatureInfo
) -> FeatureTable:
    """Return the table of some embedded videos, those that were rejected left out.

    Args:
        embedded: features in the form ``pooling``.
        videos: the catalog that their rows count in.
        pooling: form of the features.
        info: goes into the table.
    """
    accepted = [video for video in embedded if video.rejection is None]
    columns: dict[str, list[Any]] = {name: [] for name in FeatureTable.column_names()}
    for item in accepted:
        num_clips, rows_per_clip = item.features[pooling].shape[:2]
        video = videos.video(item.row)
        for name, values in _describe_rows(video, item.frames_NT, rows_per_clip, pooling).items():
            columns[name].extend(values)
        constant = {
            "video_id": video.id,
            "path": videos.table["path"][item.row].as_py(),
            "label": video.label,
            "split": video.split,
            "group": video.group,
        }
        for name, value in constant.items():
            columns[name].extend([value] * (num_clips * rows_per_clip))
    none = np.empty((0, info.dimension), dtype=np.float32)
    vectors = [item.features[pooling].reshape(-1, info.dimension) for item in accepted]
    return FeatureTable.from_columns(info, np.concatenate([none, *vectors]), **columns)


def _describe_rows(
    video: Video, frames_NT: NDArray[np.int64], rows_per_clip: int, pooling: Pooling
) -> dict[str, NDArray[Any]]:
    """Say which clip, frame and stretch of time each vector of a video stands for."""
    num_clips, num_frames = frames_NT.shape
    seconds = video.index.timestamps_sec()
    ends = np.append(seconds[1:], max(video.seconds, seconds[-1]))
    if pooling == "frame":
        # A network that halves time twice has T / 4 positions; each stands for the frame in its middle.
        middles = (2 * np.arange(rows_per_clip) + 1) * num_frames // (2 * rows_per_clip)
        first_N = last_N = frames_NT[:, middles].reshape(-1)
    else:
        first_N, last_N = frames_NT.min(axis=1), frames_NT.max(axis=1)
    return {
        "clip_index": np.repeat(np.arange(num_clips), rows_per_clip),
        "frame_index": first_N,
        "start_sec": seconds[first_N],
        "end_sec": ends[last_N],
    }
