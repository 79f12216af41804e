"""The job of a scan's workers: read one file and say what it is, in plain JSON."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unreel.data.probe import VideoInfo, probe_video
from unreel.errors import VideoError


def probe_file(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Probe the file that a job names.

    Args:
        job: ``path``, ``check`` and ``time_limit_sec``, the arguments of `probe_video`.

    Returns:
        ``row``, the columns of `MEDIA_SCHEMA`; or ``reason`` why the file is of no use and ``is_lasting``,
        whether the reason is in the file itself: only then need an unchanged file not be tried again.
    """
    path, limit = Path(job["path"]), float(job["time_limit_sec"])
    started = time.monotonic()
    try:
        with path.open("rb"):
            pass
        info = probe_video(path, check=job["check"], time_limit_sec=limit)
    except VideoError as error:
        where = "" if error.frame_index is None else f" (frame {error.frame_index})"
        is_lasting = time.monotonic() - started < limit and not _is_from_outside(error)
        return {"reason": error.reason + where, "is_lasting": is_lasting}
    except FileNotFoundError:
        return {"reason": "file not found: it vanished after the folder was listed", "is_lasting": False}
    except OSError as error:
        return {"reason": f"cannot be opened: {error.strerror}", "is_lasting": False}
    return {"row": build_row(info, job["check"])}


def build_row(info: VideoInfo, check: str) -> dict[str, Any]:
    """Return the columns of `MEDIA_SCHEMA` as plain JSON values."""
    return {
        **info.index.to_row(),
        "seconds": info.seconds,
        "fps": info.fps,
        "frames": info.frames,
        "height": info.height,
        "width": info.width,
        "rotation": info.rotation,
        "codec": info.codec,
        "container": info.container,
        "is_variable_frame_rate": info.is_variable_frame_rate,
        "note": info.note,
        "check": check,
    }


def _is_from_outside(error: BaseException | None) -> bool:
    """Whether a disk, a network or a lack of memory is behind an error, rather than the file."""
    while error is not None:
        if isinstance(error, (OSError, MemoryError)):
            return True
        error = error.__cause__ or error.__context__
    return False
