"""The work of a preparation: which videos are still to be copied, what workers are told, what they answer."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.prepare_catalog import name_copy
from unreel.data.prepare_config import PrepareConfig
from unreel.data.prepare_memory import PartialCopies, find_copies
from unreel.data.scan_workers import Job, Reply, run_jobs
from unreel.errors import CatalogError
from unreel.progress import Progress

_WORK = "unreel.data.prepare_copy:copy_file"
_SECONDS_OF_GRACE = 2.0
_LEAST_LIMIT_SEC, _LIMIT_PER_SEC = 60.0, 20.0
_NUM_PASSES = 3
"""Each may take the time limit: the original is read, then the copy, then both to be compared."""
_INDEX_COLUMNS = (
    "frames",
    "first_pts",
    "pts_step_num",
    "pts_step_den",
    "frame_pts",
    "key_frames",
    "time_base_num",
    "time_base_den",
)
_VALUES = ("bytes", "mtime_ns", "seconds", "fps", "height", "width", "note")


class CopyJobs:
    """Look copies up in memory, and have the others made.

    Attributes:
        catalog: the originals.
        out: the folder of copies.
        config: how copies are made.
        todo: int64, rows of the videos that are read, the longest first.
        longest_sec: that any of them may take.
        reasons: row -> why a video has no copy.
        psnrs: likeness of every copy that was compared, in decibels.
        num_prepared: copies that were made.
        num_touched: originals that were written at another time than scanned.
        seconds_read: of the originals that were read.

    Args:
        catalog: the originals.
        memory: the copies that were ever made, of `COPY_SCHEMA`.
        out: the folder of copies.
        config: how copies are made.
        time_limit_sec: for each time that a video is read; 0 allows a minute and twenty times its length.
        is_verified: whether copies are compared with their originals, those that are there, too.
    """

    def __init__(
        self,
        catalog: Catalog,
        memory: pa.Table,
        out: Path,
        config: PrepareConfig,
        time_limit_sec: float,
        *,
        is_verified: bool,
    ) -> None:
        self.catalog, self.out, self.config = catalog, out, config
        self.reasons: dict[int, str] = {}
        self.psnrs: list[float] = []
        self.num_prepared = self.num_touched = 0
        self.seconds_read = 0.0
        self._memory = memory
        self._row_V = find_copies(memory, catalog, out)
        self._settings = config_to_dict(config)
        self._time_limit_sec = time_limit_sec
        self._is_verified = is_verified
        order = np.argsort(-catalog.seconds_array, kind="stable")  # the longest first: none is left over
        self.todo = order if is_verified else order[self._row_V[order] < 0]
        self.longest_sec = max(map(self._limit, self.todo.tolist()), default=1.0) * _NUM_PASSES
        self.longest_sec += _SECONDS_OF_GRACE

    def is_made(self, row: int) -> bool:
        """Whether the copy of a video is there."""
        return bool(self._row_V[row] >= 0)

    def run(self, partial: PartialCopies, num_workers: int, progress: Progress) -> None:
        """Make the copies that are missing, and compare what is to be compared."""
        seconds_V = self.catalog.seconds_array
        total, left = math.ceil(seconds_V.sum()), float(seconds_V[self.todo].sum())
        progress(math.floor(total - left), total, "")
        jobs = self.list_jobs(self.todo)
        for done, reply in enumerate(
            run_jobs(_WORK, jobs, num_workers=num_workers, time_limit_sec=self.longest_sec), start=1
        ):
            row = int(self.todo[reply.job])
            self._judge(row, reply, partial)
            left -= float(seconds_V[row])
            note = f"{len(self.catalog) - len(self.todo) + done} of {len(self.catalog)} videos"
            note += f", {len(self.reasons)} rejected" if self.reasons else ""
            progress(total if done == len(self.todo) else math.floor(total - left), total, note)

    def list_jobs(self, rows: NDArray[np.int64]) -> Sequence[Job]:
        """Return the jobs for rows of the catalog, each made when its turn comes."""
        return _LazyJobs(self, rows)

    def describe(self, row: int) -> Job:
        """Return the job for a row of the catalog."""
        values = self.catalog.table.slice(row, 1).to_pylist()[0]
        return {
            **{name: values[name] for name in _VALUES},
            "path": str(self.catalog.root / values["path"]),
            "index": {name: values[name] for name in _INDEX_COLUMNS},
            "copy": str(self.out.absolute() / self._name(row)),
            "is_made": self.is_made(row),
            "verify": self._is_verified,
            "config": self._settings,
            "time_limit_sec": self._limit(row),
            "kill_after_sec": self._limit(row) * _NUM_PASSES + _SECONDS_OF_GRACE,
        }

    def _name(self, row: int) -> str:
        if self.is_made(row):
            return str(self._memory["path"][int(self._row_V[row])].as_py())
        return name_copy(_path_of(self.catalog, row), self.catalog.ids[row], self.config.suffix)

    def _limit(self, row: int) -> float:
        own = _LEAST_LIMIT_SEC + _LIMIT_PER_SEC * float(self.catalog.seconds_array[row])
        return self._time_limit_sec or own

    def _judge(self, row: int, reply: Reply, partial: PartialCopies) -> None:
        if stop := reply.value.get("stop"):
            raise CatalogError(f"{stop}; mend that, and the same command goes on from here")
        if reason := reply.failure or str(reply.value.get("reason", "")):
            self.reasons[row] = reason
            return
        value, was_made = reply.value, self.is_made(row)
        self.num_prepared += not was_made
        self.num_touched += bool(value["is_touched"])
        self.seconds_read += float(self.catalog.seconds_array[row])
        self.psnrs += [] if value["psnr"] is None else [value["psnr"]]
        table = self.catalog.table
        finding: dict[str, Any] = (
            self._memory.slice(int(self._row_V[row]), 1).to_pylist()[0]
            if was_made
            else {
                "id": self.catalog.ids[row],
                "original": str(self.catalog.root / _path_of(self.catalog, row)),
                **{f"original_{name}": table[name][row].as_py() for name in ("bytes", "mtime_ns", "frames")},
                "path": self._name(row),
                **value["row"],
            }
        )
        partial.add(finding | {name: value[name] for name in ("bytes", "mtime_ns", "psnr")})


class _LazyJobs(Sequence[Job]):
    """Jobs that are made when their turn comes: those of a million videos would fill the memory."""

    def __init__(self, work: CopyJobs, rows: NDArray[np.int64]) -> None:
        self._work = work
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Job:  # type: ignore[override]  # nobody slices jobs
        return self._work.describe(int(self._rows[number]))

    def __iter__(self) -> Iterator[Job]:
        return (self[number] for number in range(len(self)))


def _path_of(catalog: Catalog, row: int) -> str:
    return str(catalog.table["path"][row].as_py())
