"""How much of the machine this process may use: its own limits, not the machine's size; and until when."""

import os
import re
import threading
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

_MB = 1024 * 1024


def count_cores(root: Path = Path("/")) -> int:
    """Return the cores that this process may use: its affinity, cut by the container's quota.

    Args:
        root: of the file system in which the limits stand.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def read_memory_mb(root: Path = Path("/")) -> int:
    """Return the memory that this process may use in MiB, cut by the container's limit; 0 when unknown.

    Args:
        root: of the file system in which the limits stand.
    """
    found = re.search(r"^MemTotal: +(\d+) kB", _read(root / "proc/meminfo"), flags=re.MULTILINE)
    sizes = [int(found[1]) // 1024] if found else []
    limit = _read(root / "sys/fs/cgroup/memory.max")
    if limit.isdigit():
        sizes.append(int(limit) // _MB)
    return min(sizes, default=0)


def read_free_memory_mb(root: Path = Path("/")) -> int:
    """Return the memory in MiB that this process could still get, cut by the container's limit.

    What files take in memory counts as free: the system gives it up when it is needed. 0 when unknown.

    Args:
        root: of the file system in which the limits stand.
    """
    found = re.search(r"^MemAvailable: +(\d+) kB", _read(root / "proc/meminfo"), flags=re.MULTILINE)
    sizes = [int(found[1]) // 1024] if found else []
    group = root / "sys/fs/cgroup"
    limit, used = _read(group / "memory.max"), _read(group / "memory.current")
    if limit.isdigit() and used.isdigit():
        # Pages that processes share are not among those of files, though the sum "file" has them too.
        lines = re.findall(r"^(?:in)?active_file (\d+)$", _read(group / "memory.stat"), flags=re.MULTILINE)
        sizes.append(max(0, int(limit) - int(used) + sum(map(int, lines))) // _MB)
    return min(sizes, default=0)


def end_with_parent() -> None:
    """End this process as soon as the one that started it by `multiprocessing` has ended, however that did.

    A worker of torch's loader looks only now and then whether it is an orphan; one whose parent was killed
    while the worker came up takes its foster parent for the parent, and would live on for ever.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=[parent], daemon=True).start()


def _end_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
