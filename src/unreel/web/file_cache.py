"""A folder of files that can be made again: bounded in size, those unused for longest go first."""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_SECONDS_UNTIL_LEFT_BEHIND = 86400.0
_TEMPORARY = ".part"


class FileCache:
    """Files by name, written atomically.

    Args:
        folder: made when missing.
        limit_mb: size of all files together, in MiB.
        trim_every: after so many new files those beyond the limit are removed.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, limit_mb: int, trim_every: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit_mb << 20
        self._trim_every = trim_every
        self._lock = threading.Lock()
        self._num_puts = 0
        _remove_parts(folder)
        self.trim()

    def find(self, name: str) -> Path | None:
        """Return a file, which counts as used now; None when it is not there."""
        path = self._folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError:  # a folder that must not be written; the file may still be read
            return path if path.exists() else None
        return path

    @contextlib.contextmanager
    def make(self, name: str) -> Iterator[Path]:
        """Give a temporary path; when the block ends well, what is there becomes the file of this name."""
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=_TEMPORARY)
        os.close(handle)
        try:
            yield Path(temporary)
            os.replace(temporary, self._folder / name)
        finally:
            Path(temporary).unlink(missing_ok=True)
        self._num_puts += 1
        if self._num_puts % self._trim_every == 0:
            self.trim(keep=name)

    def trim(self, *, keep: str = "") -> None:
        """Remove the files that were not used for longest until the rest is within the limit.

        Args:
            keep: name of a file that stays in any case.
        """
        with self._lock:
            files = []
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    status = path.stat()
                    if path.suffix != _TEMPORARY:
                        files.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if total <= self._limit:
                    return
                if path.name != keep:
                    path.unlink(missing_ok=True)
                    total -= size


def _remove_parts(folder: Path) -> None:
    """Remove what killed servers were writing; a file that is being written now is younger."""
    for path in folder.glob(f"*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _SECONDS_UNTIL_LEFT_BEHIND:
                path.unlink()
