"""One watcher per index: a lock that ends with its process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unreel.errors import SearchError


@contextmanager
def lock_index(index: Path) -> Iterator[None]:
    """Be the only watcher of an index until the block ends.

    The lock is on ``<index>.lock``, which is removed at the end. One that a killed process has left behind
    locks nothing.

    Args:
        index: its file, which need not exist yet.

    Raises:
        SearchError: another process watches for the index, or the file cannot be written.
    """
    path = index.with_name(f"{index.name}.lock")
    handle = _acquire(path, index)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked: nobody else's file
        os.close(handle)


def _acquire(path: Path, index: Path) -> int:
    while True:
        handle = _open(path)
        try:
            # Not flock: a decoding worker would inherit it and hold it on for seconds after a kill.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            owner = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise SearchError(
                f"{index}: another `unreel index --watch` (process {owner or 'unknown'}) watches for this "
                "index; stop it first, or give another --out"
            ) from None
        except OSError:
            pass  # a file system without locks
        if _is_still_there(handle, path):
            os.truncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            return handle
        os.close(handle)  # its owner removed it just before it was locked here


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SearchError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def _is_still_there(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
