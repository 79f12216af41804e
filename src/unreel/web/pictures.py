"""Pictures of videos, drawn when they are first asked for."""

from concurrent.futures import Future
from pathlib import Path

from unreel.search.index_rows import IndexedVideo
from unreel.web import thumbnails
from unreel.web.file_cache import FileCache
from unreel.web.killable import KillableWorker, WorkFailure
from unreel.web.problems import Problem
from unreel.web.video_files import identify_file
from unreel.web.work_queue import WorkQueue

_HEIGHT_PX = 180
_CACHE_MB = 512
_STEP_SEC = 0.25
"""Times are rounded to this, so that a video has so many pictures and no more."""
_TIME_LIMIT_SEC = 10.0


class PictureService:
    """Draws pictures of videos, in processes that can be killed.

    Args:
        folder: for pictures.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._cache = FileCache(folder, limit_mb=_CACHE_MB, trim_every=64)
        self._drawers = WorkQueue(
            "pictures",
            thumbnails.WORK,
            num_workers=2,
            max_waiting=256,
            memory_mb=2048,
            file_mb=16,
            retry_after_sec=2,
        )

    def close(self) -> None:
        """Kill the processes."""
        self._drawers.close()

    def find(self, video: IndexedVideo, at_sec: float) -> Path | None:
        """Return the picture of a video at a time, None when it has not been drawn yet."""
        return self._cache.find(_name(video, at_sec))

    def draw(self, video: IndexedVideo, at_sec: float) -> "Future[bytes]":
        """Return the promise of a picture as JPEG, which may hold a `Problem`.

        Args:
            video: whose file has been checked.
            at_sec: from its beginning; behind its end, the last picture.

        Raises:
            Problem: too many wait (429).
        """
        return self._drawers.call(lambda worker: self._draw(video, at_sec, worker))

    def _draw(self, video: IndexedVideo, at_sec: float, worker: KillableWorker) -> bytes:
        name = _name(video, at_sec)
        if (path := self._cache.find(name)) is not None:  # two visitors asked at the same time
            return path.read_bytes()
        with self._cache.make(name) as out:
            job = {
                "path": str(video.file),
                "out": str(out),
                "at_sec": _round(video, at_sec),
                "height_px": _HEIGHT_PX,
                "time_limit_sec": _TIME_LIMIT_SEC,
            }
            try:
                found = worker.ask(job, 2 * _TIME_LIMIT_SEC)
            except WorkFailure as error:
                raise _refuse(str(error)) from error
            if "failure" in found:
                raise _refuse(str(found["failure"]))
            return out.read_bytes()


def _round(video: IndexedVideo, at_sec: float) -> float:
    return round(max(0.0, min(at_sec, video.seconds)) / _STEP_SEC) * _STEP_SEC


def _name(video: IndexedVideo, at_sec: float) -> str:
    return f"{identify_file(video)}-{round(_round(video, at_sec) * 1000)}.jpg"


def _refuse(reason: str) -> Problem:
    return Problem(404, "no_picture", f"no picture can be drawn: {reason}", "update the index")
