"""Rows of the one table of all benchmarks: what each comparison hands over, and how the table is written.

A benchmark calls `add_option` on its parser, `note` for every comparison and `save` at its end; without
``--rows-to FILE.json`` it prints its report as ever and nothing else happens. benchmarks/all.py collects.
"""

import argparse
import cProfile
import json
import math
import pstats
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import find_version
from torch.profiler import ProfilerActivity, profile

NEAR_FLOOR = 2.0
"""A row within this many times its floor needs no explanation."""


@dataclass(frozen=True)
class Row:
    """One comparison; rates are things done per second, higher is better."""

    what: str
    """The task, in a few words."""
    unit: str
    """What the rates count, such as "clips per CPU-second"."""
    ours: float
    peer: str = ""
    """Who else does it; "" where only a floor is known."""
    theirs: float = math.nan
    floor: str = ""
    """What cannot be avoided; "" where it is not known."""
    floor_rate: float = math.nan
    """Rate of that alone."""
    bound: str = ""
    """What takes the time, from a profile; shown where the row is neither ahead nor near its floor."""
    missing: str = ""
    """Why there is no number of the peer, or none at all."""

    @property
    def ratio(self) -> float:
        """How many times as fast as the peer unreel is; not a number without a peer."""
        return self.ours / self.theirs

    @property
    def floor_distance(self) -> float:
        """How many times as long as its floor unreel takes; not a number without a floor."""
        return self.floor_rate / self.ours

    @property
    def is_fine(self) -> bool:
        """Whether unreel is ahead of the peer or within `NEAR_FLOOR` of the floor."""
        return self.ratio >= 1.0 or self.floor_distance <= NEAR_FLOOR


_noted: list[Row] = []


def note(row: Row) -> None:
    """Keep a comparison for the table."""
    _noted.append(row)


def name_package(package: str, title: str = "") -> str:
    """Return a peer's name with its version, such as ``decord2 3.4.0``."""
    return f"{title or package} {find_version(package)}"


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows-to", type=Path, help="write the comparisons to this JSON file")


def save(path: Path | None) -> None:
    """Write what was noted, if the option names a file."""
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in _noted]), encoding="utf-8")


def load(path: Path) -> list[Row]:
    """Read what `save` wrote; nothing when the benchmark failed before."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def profile_kernels(run: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds that operators of torch take by themselves in a call, by torch's profiler.

    On a GPU the time is that of its kernels, else that of the processor.
    """
    run()
    is_cuda = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    with profile(activities=activities) as seen:
        run()
    field = "self_device_time_total" if is_cuda else "self_cpu_time_total"
    return {event.key.removeprefix("aten::"): getattr(event, field) / 1e6 for event in seen.key_averages()}


def profile_calls(run: Callable[[], Any]) -> str:
    """Return which functions take most of a call's time by themselves, by cProfile."""
    profiler = cProfile.Profile()
    profiler.runcall(run)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    times: dict[str, float] = {}
    for (path, _, name), (_, _, own_sec, _, _) in stats.items():
        title = name.strip("<>") if path == "~" else f"{Path(path).stem}.{name}"
        times[title] = times.get(title, 0.0) + own_sec
    return name_largest(times)


def name_largest(times: dict[str, float], count: int = 3) -> str:
    """Return the largest parts of a sum with their shares."""
    total = sum(times.values()) or 1.0
    largest = sorted(times, key=lambda name: -times[name])[:count]
    return ", ".join(f"{times[name] / total:.0%} {name}" for name in largest)


def format_table(parts: dict[str, list[Row]]) -> str:
    """Return the table, and a line below it for every row that is neither ahead nor near its floor.

    Args:
        parts: rows by where to read more.
    """
    lines = [
        "| what | ours | peer | peer's | ours is faster by | floor | times the floor | more |",
        "|---|---:|---|---:|---:|---|---:|---|",
    ]
    reasons: dict[str, int] = {}
    for more, rows in parts.items():
        for row in rows:
            mark = ""
            if row.missing or not row.is_fine:
                reason = row.missing or row.bound or "no profile was made"
                title = ", ".join(filter(None, (row.what, row.peer or row.floor)))
                line = f"not measured: {reason}" if row.missing else f"{title}: {reason}"
                mark = f" [{reasons.setdefault(line, len(reasons) + 1)}]"
            cells = [
                row.what + mark,
                f"{_format(row.ours)} {row.unit}".strip(),
                row.peer,
                _format(row.theirs),
                _format(row.ratio),
                row.floor,
                _format(row.floor_distance),
                more,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"[{number}] {line}.\n" for line, number in reasons.items())]).rstrip()


def _format(number: float) -> str:
    if not math.isfinite(number):
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
