"""The limits of a container count, not the size of the machine around it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unreel.machine import count_cores, end_with_parent, read_free_memory_mb, read_memory_mb


def write_limits(root: Path, *, cpu: str = "", memory: str = "", total_kb: int = 0) -> Path:
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "proc").mkdir()
    if cpu:
        (root / "sys/fs/cgroup/cpu.max").write_text(f"{cpu}\n")
    if memory:
        (root / "sys/fs/cgroup/memory.max").write_text(f"{memory}\n")
    if total_kb:
        (root / "proc/meminfo").write_text(f"MemTotal:       {total_kb} kB\nMemFree:  1 kB\n")
    return root


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("", 8),
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 8),
    ],
)
def test_cores_are_cut_by_the_quota(quota: str, cores: int, tmp_path: Path) -> None:
    assert count_cores(write_limits(tmp_path, cpu=quota)) == cores


def test_without_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert count_cores(tmp_path) == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores(tmp_path) == 1


def test_memory_is_cut_by_the_limit(tmp_path: Path) -> None:
    assert read_memory_mb(write_limits(tmp_path, memory=str(512 * 1024**2), total_kb=8 * 1024**2)) == 512


@pytest.mark.parametrize("limit", ["", "max", str(2**60)])
def test_memory_without_a_limit_is_the_machines(limit: str, tmp_path: Path) -> None:
    assert read_memory_mb(write_limits(tmp_path, memory=limit, total_kb=8 * 1024**2)) == 8192


def test_unknown_memory_is_zero(tmp_path: Path) -> None:
    assert read_memory_mb(tmp_path) == 0
    assert read_free_memory_mb(tmp_path) == 0


def test_free_memory_is_what_the_machine_can_give(tmp_path: Path) -> None:
    write_limits(tmp_path, memory="max", total_kb=8 * 1024**2)
    assert read_free_memory_mb(tmp_path) == 0
    with (tmp_path / "proc/meminfo").open("a") as file:
        file.write(f"MemAvailable:  {3 * 1024**2} kB\n")
    assert read_free_memory_mb(tmp_path) == 3072


def test_free_memory_is_cut_by_the_limit_and_files_in_memory_count_as_free(tmp_path: Path) -> None:
    """Of 1000 MiB 700 are in use, of them 100 + 50 by files; those that processes share stay."""
    group = write_limits(tmp_path, memory=str(1000 * 1024**2)) / "sys/fs/cgroup"
    (group / "memory.current").write_text(f"{700 * 1024**2}\n")
    assert read_free_memory_mb(tmp_path) == 300
    shares = {"file": 350, "shmem": 200, "inactive_file": 100, "active_file": 50, "active_anon": 400}
    lines = [f"{name} {size * 1024**2}" for name, size in shares.items()]
    (group / "memory.stat").write_text("\n".join(lines) + "\n")
    assert read_free_memory_mb(tmp_path) == 450
    (group / "memory.current").write_text(f"{1900 * 1024**2}\n")
    assert read_free_memory_mb(tmp_path) == 0


def test_this_machine_has_cores() -> None:
    assert count_cores() >= 1


KILLED_WHILE_ITS_WORKERS_COME_UP = """
import multiprocessing, os, signal, sys, time
from unreel.machine import end_with_parent

def work(wait):
    time.sleep(wait)
    end_with_parent()
    time.sleep(60)

context = multiprocessing.get_context("fork")
for wait in (0, 0.5):
    context.Process(target=work, args=[wait], daemon=True).start()
time.sleep(0.2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_parent_that_was_killed_even_those_that_come_up_later() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_ITS_WORKERS_COME_UP], start_new_session=True
    )
    assert process.wait(timeout=30) == -signal.SIGKILL
    give_up = time.monotonic() + 20
    while is_there(process.pid):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_without_a_parent_and_one_whose_parent_lives_go_on() -> None:
    end_with_parent()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=end_with_parent)
    process.start()
    process.join(30)
    assert process.exitcode == 0
