"""Files that flags name for a result: found to be impossible before the work, not after it."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from unreel.errors import UnreelError

_FILES_OF_RUNS = {
    "recipe.json",
    "provenance.json",
    "metrics.jsonl",
    "rejected.csv",
    "model.safetensors",
    "encoder.json",
    "classifier.json",
    "localizer.json",
}
_FOLDERS_OF_RUNS = {"checkpoints", "encoder", "classifier", "localizer"}
"""What runs and encoders keep in their folders; results may lie beside it."""


def check_outputs(
    paths: Mapping[str, Path | None], inputs: Mapping[str, Path | Sequence[Path] | None] | None = None
) -> None:
    """Refuse files that cannot be written, or whose place is taken; nothing is left behind.

    Args:
        paths: by flag, such as ``"--out"``; None where nothing is asked for.
        inputs: by flag, what the command reads: files, and folders of runs and encoders.

    Raises:
        ValueError: a file cannot be written, would be written twice, or would replace what is read.
    """
    flags: dict[Path, str] = {}
    for flag, path in paths.items():
        if path is None:
            continue
        _check_output(flag, path)
        first = flags.setdefault(path.resolve(), flag)
        if first != flag:
            raise ValueError(f"{first} and {flag} name the same file, {path}; give each a file of its own")
        for input_flag, given in (inputs or {}).items():
            for source in [given] if isinstance(given, Path) else given or ():
                _check_input(flag, path.resolve(), input_flag, source.resolve())


def _check_input(flag: str, path: Path, input_flag: str, source: Path) -> None:
    if path == source:
        raise ValueError(f"{flag} names the same file as {input_flag}, {source}; give another")
    if not path.is_relative_to(source):
        return
    parts = path.relative_to(source).parts
    if parts[0] in _FOLDERS_OF_RUNS or (len(parts) == 1 and parts[0] in _FILES_OF_RUNS):
        raise ValueError(f"{flag} {path} is a file of {input_flag} {source} itself; give another")


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
