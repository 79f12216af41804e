"""A folder that is there as a whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that already holds something.

    Raises:
        ValueError: it is a file, or not empty.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"folder {folder} is not empty; name a new one, or empty it")
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise ValueError(f"folder {folder} is a file; name a new folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``folder``; when the block ends well, rename it.

    When the block raises, the temporary folder is removed and ``folder`` is untouched.

    Raises:
        ValueError: ``folder`` is a file or not empty.
    """
    check_new_folder(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        inner = temporary / "files"  # made by mkdir, so that it gets the usual permissions
        inner.mkdir()
        yield inner
        # Once for all files: thousands of small ones, each flushed by itself, would take minutes.
        os.sync()
        os.rename(inner, folder)  # takes the place of an empty folder, too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
