"""Files written so that a reader, or a process killed at any moment, never sees half of one."""

import contextlib
import glob
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from unreel import __version__
from unreel.machine import count_cores


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, flush it to disk and rename it.

    When the block raises, the temporary file is removed and ``path`` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_abandoned(path: Path, *, older_than_sec: float = 0.0) -> None:
    """Remove what processes that were killed have left of writing ``path`` by `atomic_path`.

    Args:
        path: of the file itself.
        older_than_sec: time since a temporary file was written to; 0 where nobody else writes this file.
    """
    for left in Path(path).parent.glob(f".{glob.escape(Path(path).name)}.????????.tmp"):
        with contextlib.suppress(OSError):  # removed by another just now, or not ours to remove
            if time.time() - left.stat().st_mtime >= older_than_sec:
                left.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step; keys keep their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 (JSON is any value)
    """Read a JSON file of any origin.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no JSON, or brackets lie in brackets too deeply.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"it is nested too deeply ({error})") from None


def collect_provenance() -> dict[str, Any]:
    """Say what produced a result: versions, machine, command, and the commit when run from a checkout."""
    return {
        "unreel": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("torch", "av", "numpy", "pyarrow")},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": count_cores(),
        "command": sys.argv,
        "commit": _commit(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Return the checkout's commit, marked ``+changes`` when files differ from it; empty elsewhere."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit.stdout.strip()
