"""Put vectors that are there already into an index."""

import dataclasses
import time
from collections.abc import Container, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from unreel.data.catalog import Catalog
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress
from unreel.search.index_info import IndexInfo
from unreel.search.index_reader import IndexReader
from unreel.search.index_rows import NewVideo, split_by_video
from unreel.search.index_store import IndexStore
from unreel.search.indexing import IndexSummary, open_index

_VIDEOS_PER_TRANSACTION = 4096
_BYTES_PER_TRANSACTION = 2**26
"""Each step writes a good part of the index of ids again, so that small ones take four times as long."""
_File = tuple[float, int, int]
"""Seconds, size in bytes and time of writing."""


def index_features(
    out: Path,
    table: FeatureTable,
    *,
    catalog: Catalog | None = None,
    encoder_folder: str = "",
    is_pruned: bool = False,
    progress: Progress = ignore_progress,
) -> IndexSummary:
    """Put the videos of a table of features into an index; it is made when there is none.

    A video whose id is there already is replaced when its vectors differ.

    Args:
        out: the index.
        table: as `unreel extract` wrote it.
        catalog: that was embedded; the root, and lengths and stamps of the files, are taken from it.
        encoder_folder: where its encoder lies, for searches to find it.
        is_pruned: whether videos of the index that the table lacks are removed.
        progress: is told the number of videos done.

    Raises:
        SearchError: the index is damaged, or its vectors are of another encoder or made in another way.
    """
    started = time.monotonic()
    info = IndexInfo.from_features(table.info, encoder_folder=encoder_folder)
    if catalog is not None:
        info = dataclasses.replace(info, root=str(catalog.root))
    store = open_index(out, info)
    with store.read() as reader:
        known = set(reader.stamps())
    files = {} if catalog is None else _read_files(catalog)
    total = len(set(table.video_ids))
    wanted: dict[str, tuple[str, str, str]] = {}
    counts = dict.fromkeys(("kept", "added", "replaced"), 0)
    stream = split_by_video(table)
    fitting = _BYTES_PER_TRANSACTION * total // max(1, table.vectors.nbytes)
    size = min(_VIDEOS_PER_TRANSACTION, max(1, fitting))
    while group := [_complete(video, files) for video in islice(stream, size)]:
        states = _compare(store, group, known)
        if changed := [video for video in group if states[video.id] != "kept"]:
            store.add(changed)
        for video in group:
            wanted[video.id] = (video.label, video.split, video.group)
            counts[states[video.id]] += 1
        progress(len(wanted), total, "")
    removed = store.remove(known - wanted.keys()) if is_pruned and known - wanted.keys() else 0
    store.set_files({video_id: file for video_id, file in files.items() if video_id in wanted})
    relabelled = store.update_metadata((video_id, *texts) for video_id, texts in wanted.items())
    with store.read() as reader:
        return IndexSummary(
            out=store.path,
            videos=total,
            **counts,
            removed=removed,
            rejected=0,
            relabelled=relabelled,
            num_videos=reader.count_keys("video"),
            num_clips=reader.count_keys("clip"),
            seconds=time.monotonic() - started,
        )


def _read_files(catalog: Catalog) -> dict[str, _File]:
    columns = (catalog.table[name].to_pylist() for name in ("seconds", "bytes", "mtime_ns"))
    return dict(zip(catalog.ids, zip(*columns, strict=True), strict=True))


def _complete(video: NewVideo, files: Mapping[str, _File]) -> NewVideo:
    if video.id not in files:
        return video
    seconds, num_bytes, mtime_ns = files[video.id]
    return dataclasses.replace(video, seconds=seconds, num_bytes=num_bytes, mtime_ns=mtime_ns)


def _compare(store: IndexStore, videos: Sequence[NewVideo], known: Container[str]) -> dict[str, str]:
    """Say of each video whether it is to be added or replaced, or is kept; opening the index costs, too."""
    states = {video.id: "replaced" if video.id in known else "added" for video in videos}
    if "replaced" in states.values():
        with store.read() as reader:
            states |= {video.id: "kept" for video in videos if _has_vectors(reader, video)}
    return states


def _has_vectors(reader: IndexReader, video: NewVideo) -> bool:
    """Say whether a video of the index has these very vectors at these very times."""
    clips = reader.clips(video.id)
    order = np.argsort(video.start_sec_N, kind="stable")
    places = [(clip.start_sec, clip.end_sec) for clip in clips]
    if places != list(zip(video.start_sec_N[order], video.end_sec_N[order], strict=True)):
        return False
    vectors = reader.vectors("clip", [clip.key for clip in clips])
    return bool(np.array_equal(vectors, video.vectors_ND[order]))
