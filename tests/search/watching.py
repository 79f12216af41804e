"""A folder that is watched by hand: the clock is a number, files are read here, vectors cost nothing."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.scan_samples import run_jobs_here
from tests.search.small_indexes import build_video
from unreel.data import scan
from unreel.data.catalog import Catalog
from unreel.search.folder_watcher import FolderWatcher, WatchStatus
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import IndexedVideo, NewVideo, RejectedVideo
from unreel.search.index_store import IndexStore
from unreel.search.watched_index import WatchedIndex

WORK = "tests.data.worker_jobs:believe_content"
"""Reads a file that holds the word "good" as a video, and rejects any other."""


def make_video(path: str, *, label: str = "", stamp: tuple[int | None, int | None] = (4, 1)) -> NewVideo:
    """Return a video with two vectors of three numbers."""
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    num_bytes, mtime_ns = stamp
    return build_video(
        f"id of {path}", vectors, path=path, label=label, num_bytes=num_bytes, mtime_ns=mtime_ns
    )


class HandWatch:
    """A folder ``videos`` and an index beside it.

    Attributes:
        embedded: path of every video that was embedded, in turn.
        failing: paths that cannot be embedded.
    """

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
        monkeypatch.setattr(scan, "_WORK", WORK)
        self.folder, self.index = place / "videos", place / "videos.index"
        self.folder.mkdir(exist_ok=True)
        self.embedded: list[str] = []
        self.failing: set[str] = set()
        self.now = 0.0
        self.start(**options)

    def start(self, **options: Any) -> None:
        """Begin to watch, as a new process would."""
        settings: dict[str, Any] = {"settle_sec": 5.0, "num_workers": 1, **options}
        self.watcher = FolderWatcher(WatchedIndex(self.index, self.folder, self.update), **settings)

    def write(self, name: str, content: str = "good", *, mtime_ns: int | None = None) -> Path:
        """Write a file, as a rule with a time of writing of its own."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if mtime_ns is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))
        return path

    def look(self, seconds: float = 0.0) -> WatchStatus:
        """Look after some seconds."""
        self.now += seconds
        return self.watcher.look(self.now)

    def settle(self) -> WatchStatus:
        """Look now and again when all has settled; return what the second look found."""
        first = self.look()
        second = self.look(5.0)
        return WatchStatus(
            second.videos,
            second.waiting,
            second.rejected,
            second.undecided,
            (*first.messages, *second.messages),
        )

    def videos(self) -> dict[str, IndexedVideo]:
        """Return what the index holds, by path."""
        with IndexStore.open(self.index).read() as reader:
            return {video.path: video for video in reader.find_videos()}

    def update(self, catalog: Catalog) -> None:
        """Stand in for `update_index`."""
        if not self.index.exists():
            IndexStore.create(self.index, IndexInfo("0" * 16, dimension=3, root=str(catalog.root)))
        store = IndexStore.open(self.index)
        with store.read() as reader:
            known, rejected = reader.stamps(), reader.rejected()
        columns = ("id", "path", "label", "split", "group", "bytes", "mtime_ns")
        rows = list(zip(*(catalog.table[name].to_pylist() for name in columns), strict=True))
        store.update_metadata([(row[0], *row[2:5]) for row in rows])
        for video_id, path, label, split, group, *stamp in rows:
            failed = rejected.get(video_id)
            if known.get(video_id) == tuple(stamp) or (
                failed and [failed.num_bytes, failed.mtime_ns] == stamp
            ):
                continue
            self.embedded.append(path)
            if path in self.failing:
                store.reject([RejectedVideo(video_id, path, "frame 3 is damaged", *stamp)])
                continue
            video = make_video(path, label=label, stamp=(stamp[0], stamp[1]))
            store.add([NewVideo(**{**vars(video), "id": video_id, "split": split, "group": group})])
