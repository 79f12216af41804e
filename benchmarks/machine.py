"""What every benchmark says about where it ran, and the rates that bound it."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import torch


def describe_machine(*packages: str) -> str:
    """Return three lines: date and commit, machine, versions of Python and the named packages."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    versions = ", ".join(f"{package} {find_version(package)}" for package in packages)
    lines = [
        f"Date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC. Commit: {commit or 'unknown'}.",
        f"Machine: {read_cpu_name()}, {os.cpu_count()} cores{device}, {platform.system()}, "
        f"load {os.getloadavg()[0]:.1f}.",
        f"Versions: Python {platform.python_version()}, {versions}.",
    ]
    return "\n".join(lines)


def read_cpu_name() -> str:
    cpu_file = Path("/proc/cpuinfo")
    names = cpu_file.read_text().split("model name\t: ")[1:] if cpu_file.exists() else []
    return names[0].splitlines()[0] if names else platform.processor()


def find_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def measure_matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large matrix product, the best of several."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(6):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        torch.matmul(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 2.0 * side**3 / (time.perf_counter() - started))
    return best
