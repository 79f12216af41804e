"""Small indexes made without any video, and a plain model of what a search in them must find."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import NewVideo
from unreel.search.index_store import IndexStore


def build_video(video_id: str, vectors: Sequence[Sequence[float]] | np.ndarray, **others: Any) -> NewVideo:
    """Return a video whose vectors stand for 0 to 1.5 s, 1 to 2.5 s and so on."""
    matrix = np.asarray(vectors, dtype=np.float32)
    numbers = np.arange(len(matrix))
    values: dict[str, Any] = {
        "id": video_id,
        "path": f"{video_id}.mp4",
        "seconds": len(matrix) + 0.5,
        "label": "",
        "split": "",
        "group": "",
        "num_bytes": 100,
        "mtime_ns": 1,
        "clip_index_N": numbers,
        "frame_index_N": 4 * numbers,
        "start_sec_N": numbers.astype(np.float64),
        "end_sec_N": numbers + 1.5,
        "vectors_ND": matrix,
    }
    return NewVideo(**{**values, **others})


def build_store(
    path: Path, videos: Sequence[NewVideo] = (), *, dimension: int = 2, **info: Any
) -> IndexStore:
    """Make an index, by default of vectors of two numbers, and put videos into it in one step."""
    values = {"encoder_hash": "0" * 16, "encoder": "tiny", "root": str(path.parent), **info}
    store = IndexStore.create(path, IndexInfo(dimension=dimension, **values))
    if videos:
        store.add(videos)
    return store


def list_ids(store: IndexStore) -> list[str]:
    """Return the ids of an index in the order of paths."""
    with store.read() as reader:
        return [video.id for video in reader.find_videos()]
