"""Measure how much the videos of a catalog move, second by second, once; see `unreel.data.motion_flow`.

Videos are measured in processes that are killed when a video hangs or crashes them; the others go on. A run
that is cut off goes on from where it stopped, and a second one measures only what has changed.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.motion_flow import MotionConfig, load_opencv
from unreel.data.motion_memory import PartialMotion, find_measured, recall
from unreel.data.motion_table import MotionRows, MotionTable, name_table
from unreel.data.motion_windows import check_beta, count_effective_windows, window_probabilities
from unreel.data.scan_memory import RejectedFile, check_rejected, write_rejected
from unreel.data.scan_summary import count_reasons
from unreel.data.scan_workers import Job, Reply, run_jobs
from unreel.errors import CatalogError
from unreel.machine import count_cores
from unreel.progress import Progress, ignore_progress

__all__ = ["MotionConfig", "MotionSummary", "MotionTable", "measure_motion", "name_table"]

_WORK = "unreel.data.motion_probe:measure_file"
_SECONDS_OF_GRACE = 2.0
_LEAST_LIMIT_SEC, _LIMIT_PER_SEC = 60.0, 10.0
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


@dataclass(frozen=True)
class MotionSummary:
    """What a measurement did.

    Attributes:
        out: the table.
        rejected_path: the list of videos that could not be measured, with reasons.
        videos: of the catalog; ``measured + reused + rejected``.
        measured: videos that were measured now.
        reused: videos that were measured before and have not changed.
        rejected: videos that could not be measured.
        dropped: videos of the earlier table that are not in the catalog.
        reasons: why videos were rejected -> how many, most frequent first.
        seconds_of_video: of the videos that were measured now.
        windows: of a video, on average.
        effective_windows: how many equally likely windows would be as uncertain as the draw at ``beta``, on
            average over the videos; as many as there are when motion says nothing, 1 when it says all.
        beta: by which motion was divided for that.
        quantiles: of the motion of all windows: least, a quarter, half, three quarters, most.
        seconds: wall time.
    """

    out: Path
    rejected_path: Path
    videos: int
    measured: int
    reused: int
    rejected: int
    dropped: int
    reasons: Mapping[str, int]
    seconds_of_video: float
    windows: float
    effective_windows: float
    beta: float
    quantiles: tuple[float, ...]
    seconds: float


def measure_motion(
    catalog: Catalog,
    out: Path,
    config: MotionConfig = MotionConfig(),  # noqa: B008
    *,
    rejected: Path | None = None,
    num_workers: int = -1,
    time_limit_sec: float = 0.0,
    is_fresh: bool = False,
    beta: float = 5.0,
    progress: Progress = ignore_progress,
) -> MotionSummary:
    """Measure every video of a catalog and write the table of motion.

    Args:
        catalog: the videos.
        out: the table to write; see `name_table` for where training looks for it. One that is there is the
            memory of what was measured before.
        config: how motion is measured.
        rejected: list of the videos that cannot be measured; by default beside the table.
        num_workers: processes, at least 1; -1 is one per core.
        time_limit_sec: a video that takes longer is rejected; 0 allows a minute and ten times its length.
        is_fresh: forget what was measured before. If it is cut off, a call without goes on from there.
        beta: for the number of effective windows in the summary.
        progress: told how many seconds of video are done.

    Raises:
        CatalogError: the catalog is empty, no video can be measured, ``out`` exists and is something else or
            was measured in another way, or another process measures for it.
        UnreelError: OpenCV is missing, or a worker cannot be started.
        ValueError: a number is out of range.
    """
    started = time.monotonic()
    check_beta(beta)
    if num_workers < -1 or num_workers == 0 or not 0 <= time_limit_sec < float("inf"):
        raise ValueError(
            "num_workers must be at least 1, or -1 for one per core, and time_limit_sec 0 or positive, got "
            f"{num_workers} and {time_limit_sec}"
        )
    if not len(catalog):
        raise CatalogError("the catalog holds no video; scan a folder that does")
    load_opencv()
    out = Path(out)
    rejected = out.with_name(f"{out.stem}.rejected.csv") if rejected is None else Path(rejected)
    partial = out.with_name(f"{out.name}.partial")
    check_rejected(rejected)
    memory = recall(out, partial, config, is_fresh=is_fresh)
    measuring = _Measuring(catalog, memory, config, time_limit_sec)
    with PartialMotion(partial, config, is_fresh=is_fresh) as findings:
        measuring.run(findings, count_cores() if num_workers == -1 else num_workers, progress)
    table = MotionTable(measuring.build_rows(), config)
    reasons = measuring.reasons
    write_rejected(rejected, [RejectedFile(_path_of(catalog, row), why) for row, why in reasons.items()])
    if len(reasons) < len(catalog):
        table.save(out)
    partial.unlink(missing_ok=True)
    if len(reasons) == len(catalog):
        raise CatalogError(
            f"not one of the {len(catalog)} videos could be measured (most often: "
            f"{next(iter(count_reasons(reasons.values())))}); no table was written, {rejected} "
            "lists them all"
        )
    values = table.rows["motion"].combine_chunks().drop_null()
    effective = [count_effective_windows(window_probabilities(row.values.to_numpy(), beta)) for row in values]
    return MotionSummary(
        out=out,
        rejected_path=rejected,
        videos=len(catalog),
        measured=measuring.num_measured,
        reused=len(catalog) - measuring.num_measured - len(reasons),
        rejected=len(reasons),
        dropped=measuring.num_dropped,
        reasons=count_reasons(reasons.values()),
        seconds_of_video=measuring.seconds_measured,
        windows=len(values.flatten()) / len(values),
        effective_windows=float(np.mean(effective)),
        beta=beta,
        quantiles=tuple(np.quantile(values.flatten().to_numpy(), np.linspace(0, 1, 5)).tolist()),
        seconds=time.monotonic() - started,
    )


class _Measuring:
    """Look videos up in memory, and have the others measured."""

    def __init__(
        self, catalog: Catalog, memory: MotionTable, config: MotionConfig, time_limit_sec: float
    ) -> None:
        self.reasons: dict[int, str] = {}
        self.num_measured = 0
        self.seconds_measured = 0.0
        self._catalog = catalog
        self._old_rows = memory.rows
        self._row_V = find_measured(memory, catalog)
        self._new_rows = MotionRows()
        self._config = config_to_dict(config)
        self._time_limit_sec = time_limit_sec
        known = pc.unique(memory.rows["id"])
        self.num_dropped = len(known) - int(pc.sum(pc.is_in(known, catalog.table["id"])).as_py() or 0)

    def run(self, partial: PartialMotion, num_workers: int, progress: Progress) -> None:
        """Measure what is unknown; the longest videos first, so that none is left over in the end."""
        seconds_V = self._catalog.seconds_array
        todo = np.flatnonzero(self._row_V < 0)
        todo = todo[np.argsort(-seconds_V[todo], kind="stable")]
        total = math.ceil(seconds_V.sum())
        left = float(seconds_V[todo].sum())
        progress(math.floor(total - left), total, "")
        longest = max((self._limit(int(row)) for row in todo), default=1.0) + _SECONDS_OF_GRACE
        jobs = _Jobs(self, todo)
        for done, reply in enumerate(
            run_jobs(_WORK, jobs, num_workers=num_workers, time_limit_sec=longest), start=1
        ):
            row = int(todo[reply.job])
            self._judge(row, reply, partial)
            left -= float(seconds_V[row])
            note = f"{len(self._catalog) - len(todo) + done} of {len(self._catalog)} videos"
            note += f", {len(self.reasons)} rejected" if self.reasons else ""
            progress(total if done == len(todo) else math.floor(total - left), total, note)

    def describe(self, row: int) -> Job:
        """Return the job for a row of the catalog."""
        values = self._catalog.table.slice(row, 1).to_pylist()[0]
        return {
            "path": str(self._catalog.root / values["path"]),
            "bytes": values["bytes"],
            "index": {name: values[name] for name in _INDEX_COLUMNS},
            "config": self._config,
            "time_limit_sec": self._limit(row),
            "kill_after_sec": self._limit(row) + _SECONDS_OF_GRACE,
        }

    def build_rows(self) -> pa.Table:
        """Return the table's rows, in the order of the catalog."""
        rows = pa.concat_tables([self._old_rows, self._new_rows.build()])
        return rows.take(pa.array(self._row_V)).combine_chunks()

    def _limit(self, row: int) -> float:
        own = _LEAST_LIMIT_SEC + _LIMIT_PER_SEC * float(self._catalog.seconds_array[row])
        return self._time_limit_sec or own

    def _judge(self, row: int, reply: Reply, partial: PartialMotion) -> None:
        reason = reply.failure or str(reply.value.get("reason", ""))
        table = self._catalog.table
        finding: dict[str, Any] = {
            **{name: table[name][row].as_py() for name in ("id", "bytes", "mtime_ns", "frames")},
            "motion": None if reason else reply.value["motion"],
            "reason": reason,
        }
        if reason:
            self.reasons[row] = reason
        else:
            self.num_measured += 1
            self.seconds_measured += float(self._catalog.seconds_array[row])
            partial.add(finding)
        self._row_V[row] = len(self._old_rows) + self.num_measured + len(self.reasons) - 1
        self._new_rows.append(finding)


class _Jobs(Sequence[Job]):
    """Jobs that are made when their turn comes: those of a million videos would fill the memory."""

    def __init__(self, measuring: _Measuring, rows: NDArray[np.int64]) -> None:
        self._measuring = measuring
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Job:  # type: ignore[override]  # nobody slices jobs
        return self._measuring.describe(int(self._rows[number]))

    def __iter__(self) -> Iterator[Job]:
        return (self[number] for number in range(len(self)))


def _path_of(catalog: Catalog, row: int) -> str:
    return str(catalog.table["path"][row].as_py())
