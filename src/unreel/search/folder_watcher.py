"""One look after the other at a folder, and what each means for the index of its videos."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from unreel.data.listing import FolderLabels, Listing, list_files, store_path
from unreel.errors import CatalogError
from unreel.progress import Progress, ignore_progress
from unreel.search.index_rows import IndexedVideo
from unreel.search.settling import Settling, State, is_temporary
from unreel.search.watched_index import WatchedIndex

_SECONDS_TO_RETRY = 600.0
"""A file that a missing right, a disk or a network kept from being read is tried again after so long."""
_NAMES_SHOWN = 3
_REJECTIONS_SHOWN = 5


@dataclass(frozen=True)
class WatchStatus:
    """What a look at the folder found.

    Attributes:
        videos: in the index.
        waiting: files that are not whole yet.
        rejected: files that cannot be used.
        undecided: files of which a later look decides: those that wait, have gone or cannot be looked at.
        messages: what has happened since the look before, a line each.
    """

    videos: int
    waiting: int
    rejected: int
    undecided: int
    messages: tuple[str, ...] = ()


class FolderWatcher:
    """Brings an index in line with a folder, a look at a time.

    A file is read when it is whole: when it has looked the same for some seconds, or looks as it did when it
    was embedded. A video leaves the index when its file has been gone for as long; not while its folder
    cannot be read, and not when all are gone at once, as when a disk is not mounted.

    Args:
        index: of the folder.
        labels: whether a video's folder is its label. If not, labels, splits and groups in the index stay.
        settle_sec: how long a file has to look the same.
        is_empty_allowed: whether all videos may leave the index at once.
        num_workers: processes that read files; see `scan_videos`.
        progress: told how many new files were read.

    Attributes:
        num_added: videos that came into the index.
        num_replaced: videos whose file had changed.
        num_dropped: videos that left the index.
    """

    def __init__(
        self,
        index: WatchedIndex,
        *,
        labels: FolderLabels = "none",
        settle_sec: float = 5.0,
        is_empty_allowed: bool = False,
        num_workers: int = -1,
        progress: Progress = ignore_progress,
    ) -> None:
        self.num_added = self.num_replaced = self.num_dropped = 0
        self._index = index
        self._labels = labels
        self._is_empty_allowed = is_empty_allowed
        self._num_workers = num_workers
        self._progress = progress
        self._settling = Settling(settle_sec)
        self._done: dict[str, State] = {}
        self._held: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._trouble = ""
        self._retry_at = float("inf")

    def look(self, now_sec: float) -> WatchStatus:
        """Look at the folder once, and read, embed and drop what is due.

        Args:
            now_sec: by a clock that never goes back, such as `time.monotonic`.

        Raises:
            CatalogError: the catalog beside the index is damaged.
            SearchError: the index is damaged or cannot be written.
        """
        if self._index.refresh():
            self._done.clear()  # another process has changed it
        listing = self._list()
        if isinstance(listing, str):
            return self._report({}, set(), self._note_trouble(listing))
        messages = self._note_trouble("")
        states = self._find_states(listing)
        settled = self._settling.look(states, now_sec) | self._find_embedded(states)
        is_due = any(path not in self._done or self._done[path] != states[path] for path in settled)
        if is_due or now_sec >= self._retry_at:
            messages += self._go_round(listing, states, settled)
            self._retry_at = now_sec + _SECONDS_TO_RETRY if self._has_passing(listing) else float("inf")
        self._done = {path: states[path] for path in settled}
        return self._report(states, settled, messages)

    def _list(self) -> Listing | str:
        """Return what the folder holds, without what is only passing through, or why it cannot be said."""
        folder = self._index.folder
        try:
            if not folder.is_dir():
                return "is not there"
            listing = list_files([folder], labels=self._labels)
        except (CatalogError, OSError) as error:
            return f"cannot be read ({error})"
        if str(folder) in listing.unread_folders:
            return "cannot be read"
        return _restrict(listing, lambda path: not is_temporary(path))

    def _find_states(self, listing: Listing) -> dict[str, State]:
        """Return how every file looks that is in the folder, or was there when it was read."""
        states: dict[str, State] = dict(listing.refused)
        for candidate in listing.candidates:
            path = store_path(candidate.path, listing.root)
            states[path] = (candidate.num_bytes, candidate.mtime_ns)
        self._held -= states.keys()
        unread = tuple(os.path.join(folder, "") for folder in listing.unread_folders)
        for path in (self._index.videos.keys() | self._reasons.keys()) - states.keys() - self._held:
            if not os.path.join(self._index.folder, path).startswith(unread):
                states[path] = None
        return states

    def _find_embedded(self, states: Mapping[str, State]) -> set[str]:
        """Return the videos whose files look as they did when they were embedded."""
        return {path for path, video in self._index.videos.items() if states.get(path) == _stamp(video)}

    def _go_round(self, listing: Listing, states: Mapping[str, State], settled: set[str]) -> list[str]:
        """Do all that is due; return what became of it."""
        index = self._index
        before, reasons_before = index.videos, self._reasons
        try:
            index.bring_in(
                _restrict(listing, settled.__contains__),
                keeps_metadata=self._labels == "none",
                num_workers=self._num_workers,
                progress=self._progress,
            )
            index.refresh()
            gone, messages = self._choose_gone(states, settled, before)
            index.remove(gone | self._find_stale(states, settled))
        finally:
            index.refresh()
            changes = self._count_changes(before)
        unembedded = {path: video.reason for path, video in index.list_unembedded().items()}
        self._reasons = {path: row.reason for path, row in index.list_unread().items()} | unembedded
        rejected = self._describe_rejected(self._reasons.items() - reasons_before.items())
        return [*messages, *changes, *rejected]

    def _choose_gone(
        self, states: Mapping[str, State], settled: set[str], before: Mapping[str, IndexedVideo]
    ) -> tuple[set[str], list[str]]:
        """Return the videos to drop of those whose files are gone, and what is to be said of the others."""
        gone = {path for path in settled & before.keys() if states[path] is None}
        if not gone or self._is_empty_allowed or gone != before.keys() - self._held:
            return gone, []
        there = set(states.values())
        if any(_stamp(before[path]) in there for path in gone):
            return gone, []  # they were given other names
        self._held |= gone
        return set(), [
            f"all {len(gone)} videos are gone from {self._index.folder} at once, as when a disk is not "
            "mounted: they stay in the index; --allow-empty drops them"
        ]

    def _find_stale(self, states: Mapping[str, State], settled: set[str]) -> set[str]:
        """Return what the index says of files that are no longer what they were, or not there."""
        changed = {
            path
            for path in settled
            if states[path] is not None
            and path in self._index.videos
            and _stamp(self._index.videos[path]) not in (states[path], (None, None))
        }
        return changed | {path for path in self._index.list_unembedded() if states.get(path) is None}

    def _count_changes(self, before: Mapping[str, IndexedVideo]) -> list[str]:
        after = self._index.videos
        added, dropped = after.keys() - before.keys(), before.keys() - after.keys()
        both = after.keys() & before.keys()
        replaced = {path for path in both if after[path].key != before[path].key}
        self.num_added += len(added)
        self.num_replaced += len(replaced)
        self.num_dropped += len(dropped)
        changes = (("added", added), ("replaced", replaced), ("dropped", dropped))
        return [f"{verb} {_name_some(paths)}" for verb, paths in changes if paths]

    def _describe_rejected(self, reasons: Iterable[tuple[str, str]]) -> list[str]:
        lines = [f"rejected {path}: {reason}" for path, reason in sorted(reasons)]
        if len(lines) <= _REJECTIONS_SHOWN:
            return lines
        more = len(lines) - _REJECTIONS_SHOWN
        return [*lines[:_REJECTIONS_SHOWN], f"rejected {more} more, see {self._index.rejected_path}"]

    def _has_passing(self, listing: Listing) -> bool:
        """Whether a file cannot be read for a reason that is neither in it nor seen without opening it."""
        unread = self._index.list_unread().values()
        return any(row.num_bytes is None and row.path not in listing.refused for row in unread)

    def _note_trouble(self, trouble: str) -> list[str]:
        """Return what is to be said when the folder cannot be read any more, or can be read again."""
        before, self._trouble = self._trouble, trouble
        if trouble == before:
            return []
        if trouble:
            return [f"{self._index.folder} {trouble}: nothing is dropped, waiting for it"]
        return [f"{self._index.folder} is there again"]

    def _report(self, states: Mapping[str, State], settled: set[str], messages: list[str]) -> WatchStatus:
        undecided = [state for path, state in states.items() if path not in settled]
        return WatchStatus(
            videos=len(self._index.videos),
            waiting=sum(isinstance(state, tuple) for state in undecided),
            rejected=len(self._reasons),
            undecided=len(undecided),
            messages=tuple(messages),
        )


def _restrict(listing: Listing, is_wanted: Callable[[str], bool]) -> Listing:
    """Return a listing without the files whose path in the catalog is not wanted."""
    return dataclasses.replace(
        listing,
        candidates=[file for file in listing.candidates if is_wanted(store_path(file.path, listing.root))],
        refused={path: reason for path, reason in listing.refused.items() if is_wanted(path)},
    )


def _stamp(video: IndexedVideo) -> tuple[int | None, int | None]:
    return video.num_bytes, video.mtime_ns


def _name_some(paths: Iterable[str]) -> str:
    """Return how many there are, and the first of them."""
    names = sorted(paths)
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_NAMES_SHOWN])}{more}"
