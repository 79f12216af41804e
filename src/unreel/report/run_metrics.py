"""The numbers of a run over its steps, from ``metrics.jsonl``, however the run ended."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from unreel.progress import Warn, ignore_warning

METRICS_FILE = "metrics.jsonl"
LARGEST_FILE_MB = 256
"""What is read of a file; a million lines are less."""
_MOST_COLUMNS = 200
_LAST_STEP = 1e15


def read_metrics(run: Path, *, warn: Warn = ignore_warning) -> dict[str, list[float]]:
    """Return one list per number, all as long as that of ``step``, which rises.

    A number that a line lacks, or that is none, is NaN there. The half-written last line of a run that was
    killed is dropped, and so is every other line that cannot be read; those are counted. Of lines of the same
    step, which a run leaves that was resumed, the last counts.

    Args:
        run: the run folder; without the file, or with an empty one, there are no columns.
        warn: told of what could not be read.
    """
    path = run / METRICS_FILE
    rows: dict[float, dict[str, float]] = {}
    num_damaged = 0
    try:
        for line, is_whole in _read_lines(path):
            row = _parse(line)
            if row is not None:
                rows[row["step"]] = row
            else:
                num_damaged += is_whole
        if path.stat().st_size > LARGEST_FILE_MB * 1_000_000:
            warn(f"{path} is larger than {LARGEST_FILE_MB} MB; what lies behind that is not read")
    except FileNotFoundError:
        return {}
    except OSError as error:
        warn(f"{path} cannot be read: {error}; the run has no curves")
        return {}
    if num_damaged:
        warn(f"{path}: {num_damaged} lines are no numbers of a step and are left out")
    names = list(dict.fromkeys(name for step in sorted(rows) for name in rows[step]))
    if len(names) > _MOST_COLUMNS:
        warn(f"{path} has {len(names)} columns; the first {_MOST_COLUMNS} are read")
    if not rows:
        return {}
    steps = sorted(rows)
    chosen = [name for name in names if name != "step"][:_MOST_COLUMNS]
    return {"step": steps, **{name: [rows[step].get(name, math.nan) for step in steps] for name in chosen}}


def _read_lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield lines, and whether each is whole: the last one of a killed run is not."""
    left = LARGEST_FILE_MB * 1_000_000
    with path.open("rb") as file:
        while left > 0 and (line := file.readline(left)):
            left -= len(line)
            if line.strip():
                yield line, line.endswith(b"\n") and left > 0


def _parse(line: bytes) -> dict[str, float] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    row = {name: number for name, value in values.items() if (number := _to_number(value)) is not None}
    return row if 0 <= row.get("step", math.nan) <= _LAST_STEP else None


def _to_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
