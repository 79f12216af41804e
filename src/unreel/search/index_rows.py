"""Videos as an index takes them in and gives them back."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unreel.features.table import FeatureTable

# N vectors of a video, D features, K keys


@dataclass(frozen=True)
class NewVideo:
    """A video with its vectors, on its way into an index.

    Attributes:
        id: as in the catalog.
        path: as in the catalog, from its root.
        seconds: how long it lasts.
        label: class, "" when unknown.
        split: such as "train", "" when unknown.
        group: such as the film, "" when unknown.
        num_bytes: size of the file, None when unknown.
        mtime_ns: when it was written, None when unknown.
        clip_index_N: which clip a vector is of.
        frame_index_N: first frame that it stands for.
        start_sec_N: where that is.
        end_sec_N: where what it stands for ends.
        vectors_ND: float32, one at least.
    """

    id: str
    path: str
    seconds: float
    label: str
    split: str
    group: str
    num_bytes: int | None
    mtime_ns: int | None
    clip_index_N: NDArray[np.int64]
    frame_index_N: NDArray[np.int64]
    start_sec_N: NDArray[np.float64]
    end_sec_N: NDArray[np.float64]
    vectors_ND: NDArray[np.float32]


@dataclass(frozen=True)
class IndexedVideo:
    """A video of an index, without its vectors.

    Attributes:
        key: of its mean vector; a video that was replaced has another.
        id: as in the catalog.
        path: as in the catalog, from its root.
        file: where the file is, absolute.
        seconds: how long it lasts.
        label: class, "" when unknown.
        split: such as "train", "" when unknown.
        group: such as the film, "" when unknown.
        num_bytes: size of the file, None when unknown.
        mtime_ns: when it was written, None when unknown.
        num_clips: number of its vectors.
    """

    key: int
    id: str
    path: str
    file: Path
    seconds: float
    label: str
    split: str
    group: str
    num_bytes: int | None
    mtime_ns: int | None
    num_clips: int


@dataclass(frozen=True)
class IndexedClip:
    """A vector's place in its video.

    Attributes:
        key: of the vector.
        clip_index: which clip it is of.
        frame_index: first frame that it stands for.
        start_sec: where that is.
        end_sec: where what it stands for ends.
    """

    key: int
    clip_index: int
    frame_index: int
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class RejectedVideo:
    """A video that could not be embedded.

    Attributes:
        id: as in the catalog.
        path: as in the catalog, from its root.
        reason: one line.
        num_bytes: size of the file when it was tried.
        mtime_ns: when it had been written.
    """

    id: str
    path: str
    reason: str
    num_bytes: int | None
    mtime_ns: int | None


def split_by_video(table: FeatureTable) -> Iterator[NewVideo]:
    """Yield the videos of a table of features in order of first appearance.

    A video's length is not in the table: it lasts until the last of its vectors ends.
    """
    _, first, number_G = np.unique(table.video_ids, return_index=True, return_inverse=True)
    order = np.argsort(number_G, kind="stable")
    ends = np.searchsorted(number_G[order], np.arange(len(first)), side="right")
    rows_of = np.split(order, ends[:-1]) if len(first) else []
    columns = {name: table.column(name) for name in FeatureTable.column_names()}
    for number in np.argsort(first):
        rows = rows_of[number]
        own = {name: values[rows] for name, values in columns.items()}
        yield NewVideo(
            id=own["video_id"][0],
            path=own["path"][0],
            seconds=float(own["end_sec"].max()),
            label=own["label"][0],
            split=own["split"][0],
            group=own["group"][0],
            num_bytes=None,
            mtime_ns=None,
            clip_index_N=own["clip_index"].astype(np.int64),
            frame_index_N=own["frame_index"].astype(np.int64),
            start_sec_N=own["start_sec"],
            end_sec_N=own["end_sec"],
            vectors_ND=table.vectors[rows],
        )
