"""Numbers of a run, in a file that a person can read and in TensorBoard's."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unreel.distributed import sum_over_ranks, world_size
from unreel.runs import write_text


class Averages:
    """Sums of named scalars since the last reading, kept on the device so that nobody waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count one forward pass."""
        self._count += 1
        for name, term in terms.items():
            value = term.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def read(self) -> dict[str, float]:
        """Return the averages over passes and processes, and start anew."""
        if not self._sums:
            return {}
        total = sum_over_ranks(torch.stack(list(self._sums.values()))) / (self._count * world_size())
        averages = dict(zip(self._sums, total.tolist(), strict=True))
        self._sums, self._count = {}, 0
        return averages


class Stopwatch:
    """How much of the time since the last reading went into waiting for data."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._waited = 0.0

    def add_wait(self, seconds: float) -> None:
        """Count time spent waiting for a batch."""
        self._waited += seconds

    def read(self) -> tuple[float, float]:
        """Return the seconds since the last reading and the share of waiting in them, and start anew."""
        now = time.perf_counter()
        elapsed, waited = now - self._started, self._waited
        self._started, self._waited = now, 0.0
        return elapsed, waited / elapsed if elapsed > 0 else 0.0


class MetricsWriter:
    """Append to ``metrics.jsonl`` and to TensorBoard's event files.

    Args:
        run: the run folder.
        first_step: steps done before; lines of later steps are dropped, a resumed run writes them again.
    """

    def __init__(self, run: Path, *, first_step: int) -> None:
        from tensorboardX import SummaryWriter

        path = run / "metrics.jsonl"
        if path.exists():
            write_text(path, "".join(_lines_before(path, first_step)))
        self._file = path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1)

    def write(self, values: dict[str, Any]) -> None:
        """Add one line; ``values["step"]`` is its place on the x axis."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        for name, value in values.items():
            if name != "step":
                self._events.add_scalar(f"train/{name}", value, values["step"])

    def close(self) -> None:
        """Write what is pending."""
        self._file.close()
        self._events.close()


def _lines_before(path: Path, step: int) -> list[str]:
    """Return the whole lines of earlier steps; a half-written last line of a killed run is dropped."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return kept
