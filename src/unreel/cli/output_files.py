"""Files that flags name for a result: found to be impossible before the work, not after it."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from unreel.errors import UnreelError


def check_outputs(paths: Mapping[str, Path | None]) -> None:
    """Refuse files that cannot be written, and two flags that name the same one; nothing is left behind.

    Args:
        paths: by flag, such as ``"--out"``; None where nothing is asked for.

    Raises:
        ValueError: a file cannot be written, or would be written twice.
    """
    flags: dict[Path, str] = {}
    for flag, path in paths.items():
        if path is None:
            continue
        _check_output(flag, path)
        first = flags.setdefault(path.resolve(), flag)
        if first != flag:
            raise ValueError(f"{first} and {flag} name the same file, {path}; give each a file of its own")


def _check_output(flag: str, path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{flag} {path} is a folder; name a file in it")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        # Permissions do not tell: a folder may lie on a medium, or be of a kind, that takes no files.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{flag} {path} cannot be written: no file can be made in {folder} ({error.strerror}); give a "
            "path in a folder where you may write"
        ) from error


def write_outputs(writers: Mapping[str, tuple[Path | None, Callable[[Path], None]]]) -> None:
    """Write all files, each whatever becomes of the others; to be called when the result has been shown.

    Args:
        writers: by flag, the file (None where nothing is asked for) and what writes it.

    Raises:
        UnreelError: some could not be written, most often for want of space.
    """
    failed = []
    for flag, (path, write) in writers.items():
        if path is None:
            continue
        try:
            write(path)
        except OSError as error:
            failed.append(f"{flag} {path} was not written ({error.strerror or error})")
    if failed:
        raise UnreelError(f"{'; '.join(failed)}; make room or name another file, and run the command again")
