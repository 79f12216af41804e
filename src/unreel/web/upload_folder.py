"""A folder for the files of visitors: for this process alone, empty when no request is open."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LOCK_NAME = "lock"


class UploadFolder:
    """A private folder in a shared one; what killed servers have left in the shared one is removed.

    Args:
        parent: the shared folder; made when missing.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parent)
        self.path = Path(tempfile.mkdtemp(dir=parent, prefix=f"{os.getpid()}-"))
        self._lock = (self.path / _LOCK_NAME).open("wb")
        _try_lock(self._lock.fileno())

    @contextlib.contextmanager
    def temporary_file(self) -> Iterator[Path]:
        """Give the path of an empty file that is gone when the block ends, however it ends."""
        handle, name = tempfile.mkstemp(dir=self.path)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.iterdir():
        if not folder.is_dir() or folder.is_symlink():
            continue
        try:
            with (folder / _LOCK_NAME).open("rb+") as lock:
                is_left = _try_lock(lock.fileno())
        except OSError:
            continue
        if is_left:
            shutil.rmtree(folder, ignore_errors=True)


def _try_lock(handle: int) -> bool:
    """Take a lock that ends with this process, however it ends; False when another has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
