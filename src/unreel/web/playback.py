"""Whether browsers play a video, and the making of a version that they do."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unreel.search.index_rows import IndexedVideo
from unreel.web import conversion, playability
from unreel.web.file_cache import FileCache
from unreel.web.killable import KillableWorker, WorkFailure
from unreel.web.playability import guess_from_name
from unreel.web.problems import Problem
from unreel.web.settings import ConversionLimits
from unreel.web.video_files import identify_file
from unreel.web.work_queue import WorkQueue

_PROBE_SEC = 10.0
_PATIENCE_SEC = 2.0
"""How long an answer waits to know what plays; after that, names must do."""
_MAX_REMEMBERED = 100_000


@dataclass(frozen=True)
class Playback:
    """Whether a browser can play a video by now.

    Attributes:
        state: "ready", "preparing" or "failed".
        is_converted: whether another version than the file itself is to be played.
        reason: why it failed.
    """

    state: Literal["ready", "preparing", "failed"]
    is_converted: bool = False
    reason: str = ""


class PlaybackService:
    """Looks into videos and converts them, in processes that can be killed.

    Args:
        folder: for converted videos.
        limits: of conversions.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, limits: ConversionLimits) -> None:
        self._limits = limits
        self._cache = FileCache(folder, limit_mb=limits.cache_mb)
        self._probes = WorkQueue("probes", playability.WORK, max_waiting=32, memory_mb=1024, file_mb=1)
        self._converters = WorkQueue(
            "conversions",
            conversion.WORK,
            max_waiting=limits.max_waiting,
            memory_mb=limits.memory_mb,
            file_mb=limits.cache_mb,
            retry_after_sec=15,
        )
        self._is_playable: OrderedDict[str, bool] = OrderedDict()
        self._failures: OrderedDict[str, str] = OrderedDict()
        self._jobs: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Kill the processes."""
        self._converters.close()
        self._probes.close()

    def are_playable(self, videos: Sequence[IndexedVideo]) -> list[bool]:
        """Say of each video whether browsers play its file; guesses by name what takes too long to know."""
        names = {video.id: identify_file(video) for video in videos}
        with self._lock:
            unknown = [video for video in videos if names[video.id] not in self._is_playable]
        if unknown:
            self._probe(unknown)
        with self._lock:
            return [self._is_playable.get(names[video.id], guess_from_name(video.path)) for video in videos]

    def prepare(self, video: IndexedVideo) -> Playback:
        """Say whether a video can be played; if not, begin to make a version that can.

        Args:
            video: whose file has been checked.

        Raises:
            Problem: too many conversions are waiting (429).
        """
        if self.are_playable([video])[0]:
            return Playback("ready")
        name = identify_file(video)
        with self._lock:
            if name in self._failures:
                return Playback("failed", reason=self._failures[name])
            if name in self._jobs:
                return Playback("preparing")
            if self.find_converted(video) is not None:
                return Playback("ready", is_converted=True)
            job = self._jobs[name] = self._converters.call(lambda worker: self._convert(video, worker))
        job.add_done_callback(lambda job: self._finish(name, job))
        return Playback("preparing")

    def find_converted(self, video: IndexedVideo) -> Path | None:
        """Return the version of a video that browsers play, None when there is none yet."""
        return self._cache.find(f"{identify_file(video)}.mp4")

    def _probe(self, videos: Sequence[IndexedVideo]) -> None:
        job = {"paths": [str(video.file) for video in videos], "time_limit_sec": _PROBE_SEC}
        try:
            promise = self._probes.submit(job, time_limit_sec=_PROBE_SEC + 0.1 * len(videos))
        except Problem:
            return
        wait([promise], timeout=_PATIENCE_SEC)
        if promise.done():
            self._remember(videos, promise)
        else:  # too late for this answer, not for the next one
            promise.add_done_callback(lambda promise: self._remember(videos, promise))

    def _remember(self, videos: Sequence[IndexedVideo], promise: "Future[Mapping[str, Any]]") -> None:
        if promise.cancelled() or promise.exception() is not None:
            return
        with self._lock:
            for video, is_playable in zip(videos, promise.result()["is_playable"], strict=True):
                self._is_playable[identify_file(video)] = bool(is_playable)
            while len(self._is_playable) > _MAX_REMEMBERED:
                self._is_playable.popitem(last=False)

    def _convert(self, video: IndexedVideo, worker: KillableWorker) -> None:
        limit = self._limits.time_limit_sec
        with self._cache.make(f"{identify_file(video)}.mp4") as out:
            job = {
                "path": str(video.file),
                "out": str(out),
                "height_px": self._limits.height_px,
                "time_limit_sec": limit,
            }
            found = worker.ask(job, limit + 5)
            if "failure" in found:
                raise WorkFailure(str(found["failure"]))

    def _finish(self, name: str, job: "Future[None]") -> None:
        with self._lock:
            self._jobs.pop(name, None)
            error = None if job.cancelled() else job.exception()
            if error is not None:
                self._failures[name] = str(error)
            while len(self._failures) > _MAX_REMEMBERED:
                self._failures.popitem(last=False)
