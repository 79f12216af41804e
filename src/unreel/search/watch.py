"""Keep an index in line with a folder while it is watched: what arrives gets in, what left gets out."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unreel.data.catalog import Catalog
from unreel.data.listing import FolderLabels
from unreel.errors import CatalogError
from unreel.features.pooling import Pooling
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.progress import Progress, ignore_progress
from unreel.search.folder_watcher import FolderWatcher, WatchStatus
from unreel.search.indexing import update_index
from unreel.search.watch_lock import lock_index
from unreel.search.watched_index import WatchedIndex


@dataclass(frozen=True)
class WatchConfig:
    """How a folder is watched."""

    labels: FolderLabels = "none"
    """`from-folders` labels a video with the name of its folder."""
    interval_sec: float = 5.0
    """Time between two looks at the folder."""
    settle_sec: float = 5.0
    """A file is read when it has kept its size and time of writing for so long."""
    is_once: bool = False
    """Look until every file that was there has been decided on, but not longer than it takes to settle."""
    is_empty_allowed: bool = False
    """Whether all videos may leave the index at once."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: a number is out of range.
        """
        if not 0 < self.interval_sec < float("inf"):
            raise ValueError(f"interval_sec must be positive, got {self.interval_sec}")
        if not 0 <= self.settle_sec < float("inf"):
            raise ValueError(f"settle_sec must be 0 or more, got {self.settle_sec}")


@dataclass(frozen=True)
class WatchSummary:
    """What became of a folder while it was watched.

    Attributes:
        out: the index.
        folder: absolute.
        videos: in the index at the end.
        waiting: files that were not whole yet.
        rejected: files that could not be used.
        rejected_path: where those that could not be read are listed.
        added: videos that came into the index.
        replaced: videos whose file had changed.
        dropped: videos that left the index.
        looks: how often the folder was looked at.
        seconds: how long it was watched.
    """

    out: Path
    folder: Path
    videos: int
    waiting: int
    rejected: int
    rejected_path: Path
    added: int
    replaced: int
    dropped: int
    looks: int
    seconds: float


class _StopError(Exception):
    """Leaves a round of work between two steps that each are in the files as a whole."""


def watch_folder(
    folder: Path,
    out: Path,
    embedder: ClipEmbedder,
    *,
    encoder_folder: str = "",
    pooling: Pooling = "average",
    read: ReadConfig | None = None,
    config: WatchConfig = WatchConfig(),
    stop: threading.Event | None = None,
    report: Callable[[WatchStatus], None] | None = None,
    progress: Progress = ignore_progress,
) -> WatchSummary:
    """Embed the videos that come into a folder and drop those that leave it, until told to stop.

    Only names, sizes and times are looked at again and again; see `FolderWatcher` for what is done when.
    Every change is in the index as a whole or not at all, and the index can be searched all the time. When
    the process is killed, the same call goes on from there.

    Args:
        folder: with everything below it.
        out: the index; it is made when there is a video.
        embedder: an encoder, or a baseline.
        encoder_folder: where the encoder lies, for searches to find it.
        pooling: form of the features.
        read: clips per video, batch and workers; None for the defaults.
        config: how the folder is watched.
        stop: set by another thread or a signal to end it, after the step that is under way.
        report: told what each look found.
        progress: told how many videos of one round of work are read, then embedded.

    Raises:
        CatalogError: there is no such folder, or the catalog beside the index is damaged.
        SearchError: another process watches for the index, it holds videos of another folder or encoder, is
            damaged or cannot be written.
    """
    folder, out, stop = Path(folder), Path(out), stop or threading.Event()
    read = read or ReadConfig()
    if not folder.is_dir():
        raise CatalogError(f"{folder}: there is no such folder; make it, or watch another")

    def advance(done: int, total: int, note: str) -> None:
        progress(done, total, note)
        if stop.is_set():
            raise _StopError

    def update(catalog: Catalog) -> None:
        update_index(
            out,
            catalog,
            embedder,
            encoder_folder=encoder_folder,
            pooling=pooling,
            read=read,
            progress=advance,
        )

    started = time.monotonic()
    with lock_index(out):
        index = WatchedIndex(out, folder, update)
        watcher = FolderWatcher(
            index,
            labels=config.labels,
            settle_sec=config.settle_sec,
            is_empty_allowed=config.is_empty_allowed,
            num_workers=read.num_workers or 1,
            progress=advance,
        )
        looks, status = _watch(watcher, config, stop, report or (lambda _: None))
        index.refresh()
    return WatchSummary(
        out=out,
        folder=index.folder,
        videos=len(index.videos),
        waiting=status.waiting,
        rejected=status.rejected,
        rejected_path=index.rejected_path,
        added=watcher.num_added,
        replaced=watcher.num_replaced,
        dropped=watcher.num_dropped,
        looks=looks,
        seconds=time.monotonic() - started,
    )


def _watch(
    watcher: FolderWatcher,
    config: WatchConfig,
    stop: threading.Event,
    report: Callable[[WatchStatus], None],
) -> tuple[int, WatchStatus]:
    looks, status = 0, WatchStatus(0, 0, 0, 0)
    while not stop.is_set():
        try:
            status = watcher.look(time.monotonic())
        except _StopError:
            break
        looks += 1
        report(status)
        if config.is_once and (looks == 2 or not status.undecided):
            break
        stop.wait(config.settle_sec if config.is_once else config.interval_sec)
    return looks, status
