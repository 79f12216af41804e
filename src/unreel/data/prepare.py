"""Make copies of the videos of a catalog that are quick to train on, and a catalog of them.

Every original is read once, in processes that are killed when it hangs or crashes them; its copy counts when
it was read back. A run that is cut off, even killed, goes on from where it stopped, and a later one makes
only what is new or has changed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from unreel.data.catalog import Catalog
from unreel.data.catalog_table import write_table
from unreel.data.prepare_catalog import build_catalog, check_originals
from unreel.data.prepare_config import PrepareConfig
from unreel.data.prepare_copy import clean_up
from unreel.data.prepare_estimate import Estimate, estimate_copies
from unreel.data.prepare_jobs import CopyJobs
from unreel.data.prepare_memory import (
    CATALOG_FILE,
    PARTIAL_FILE,
    REJECTED_FILE,
    VIDEOS_FOLDER,
    PartialCopies,
    check_folder,
    find_copies,
    recall,
    record_run,
    record_settings,
    save_copies,
)
from unreel.data.scan_memory import RejectedFile, check_rejected, write_rejected
from unreel.data.scan_summary import count_reasons
from unreel.errors import CatalogError
from unreel.machine import count_cores
from unreel.progress import Progress, ignore_progress

__all__ = ["Estimate", "PrepareConfig", "PrepareSummary", "prepare_videos"]


@dataclass(frozen=True)
class PrepareSummary:
    """What a preparation did.

    Attributes:
        out: the catalog of the copies.
        rejected_path: the list of videos that have no copy, with reasons.
        videos: of the original catalog; ``prepared + reused + rejected``.
        prepared: copies that were made now.
        reused: copies that had been made and whose originals have not changed.
        rejected: videos without a copy.
        dropped: copies in the folder of videos that are not in the catalog; their files stay.
        touched: originals that were written at another time than scanned, with the same size and timestamps.
        reasons: why videos were rejected -> how many, most frequent first.
        seconds_of_video: of the originals that were read now.
        original_bytes: size of the originals that have copies.
        copy_bytes: size of these copies.
        verified: copies that were compared with their originals now.
        least_psnr: likeness of the least alike picture of these, in decibels, 100 for identical; 0 for none.
        seconds: wall time.
    """

    out: Path
    rejected_path: Path
    videos: int
    prepared: int
    reused: int
    rejected: int
    dropped: int
    touched: int
    reasons: Mapping[str, int]
    seconds_of_video: float
    original_bytes: int
    copy_bytes: int
    verified: int
    least_psnr: float
    seconds: float


def accept(estimate: Estimate) -> bool:
    """Go on, whatever the estimate."""
    del estimate
    return True


def prepare_videos(
    catalog: Catalog,
    out: Path,
    config: PrepareConfig = PrepareConfig(),  # noqa: B008
    *,
    is_verified: bool = False,
    num_workers: int = -1,
    time_limit_sec: float = 0.0,
    confirm: Callable[[Estimate], bool] = accept,
    progress: Progress = ignore_progress,
) -> PrepareSummary:
    """Make a copy of every video of a catalog, and the catalog ``catalog.parquet`` of the copies.

    That has the ids, labels, splits, groups and segments of the originals, in their order, and takes their
    place in every command. Originals are only read.

    Args:
        catalog: the originals.
        out: folder to write, new or of an earlier run with the same settings.
        config: how copies are made.
        is_verified: compare every copy, those that are reused too, with its original, picture by picture.
        num_workers: processes, at least 1; -1 is one per core.
        time_limit_sec: for each time that a video is read; 0 allows a minute and twenty times its length.
        confirm: is told what copies that are still to be made will take, and says whether they are to be.
        progress: told how many seconds of video are done.

    Raises:
        CatalogError: the catalog is empty, or two of its videos have one id; ``out`` is where originals lie,
            holds something else or copies of another kind, or has no room; or no video could be prepared.
        UnreelError: a worker cannot be started.
        ValueError: a number is out of range.
    """
    started = time.monotonic()
    if num_workers < -1 or num_workers == 0 or not 0 <= time_limit_sec < float("inf"):
        raise ValueError(
            "num_workers must be at least 1, or -1 for one per core, and time_limit_sec 0 or positive, got "
            f"{num_workers} and {time_limit_sec}"
        )
    num_workers = count_cores() if num_workers == -1 else num_workers
    out = Path(out)
    check_originals(catalog, out)
    check_rejected(out / REJECTED_FILE)
    memory = recall(out)
    check_folder(out, config, num_copies=len(memory))
    work = CopyJobs(catalog, memory, out, config, time_limit_sec, is_verified=is_verified)
    estimate = estimate_copies(work, num_workers=num_workers)
    estimate.check()
    if estimate.videos and not confirm(estimate):
        raise CatalogError(f"{out}: nothing was prepared, because the estimate was not accepted")
    with PartialCopies(out) as findings:
        record_settings(out, config)
        clean_up(out / VIDEOS_FOLDER)
        try:
            work.run(findings, num_workers, progress)
        finally:
            clean_up(out / VIDEOS_FOLDER)
    return _finish(work, started)


def _finish(work: CopyJobs, started: float) -> PrepareSummary:
    """Write what the run leaves behind: the list of rejected videos, the catalog, the memory, the record."""
    catalog, out, reasons = work.catalog, work.out, work.reasons
    copies = recall(out)
    row_V = find_copies(copies, catalog, out)
    kept = np.array([row for row in range(len(catalog)) if row not in reasons], dtype=np.int64)
    assert (row_V[kept] >= 0).all()
    write_rejected(
        out / REJECTED_FILE,
        [RejectedFile(catalog.table["path"][row].as_py(), why) for row, why in reasons.items()],
    )
    save_copies(out, copies)
    if len(kept):
        table = build_catalog(catalog.take(kept), copies.take(pa.array(row_V[kept])))
        write_table(out / CATALOG_FILE, table, out.absolute())
    (out / PARTIAL_FILE).unlink()
    counts = {"videos": len(catalog), "prepared": work.num_prepared, "rejected": len(reasons)}
    record_run(out, work.config, catalog, counts)
    if not len(kept):
        raise CatalogError(
            f"not one of the {len(catalog)} videos could be prepared (most often: "
            f"{next(iter(count_reasons(reasons.values())))}); {out / REJECTED_FILE} lists them all"
        )
    return PrepareSummary(
        out=out / CATALOG_FILE,
        rejected_path=out / REJECTED_FILE,
        videos=len(catalog),
        prepared=work.num_prepared,
        reused=len(kept) - work.num_prepared,
        rejected=len(reasons),
        dropped=len(set(copies["id"].to_pylist()) - set(catalog.ids)),
        touched=work.num_touched,
        reasons=count_reasons(reasons.values()),
        seconds_of_video=work.seconds_read,
        original_bytes=int(catalog.table["bytes"].to_numpy()[kept].sum()),
        copy_bytes=int(copies["bytes"].to_numpy()[row_V[kept]].sum()),
        verified=len(work.psnrs),
        least_psnr=min(work.psnrs, default=0.0),
        seconds=time.monotonic() - started,
    )
