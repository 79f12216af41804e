"""From files to a catalog: read every file once, keep what can be used, and say what became of the rest."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from unreel.data.catalog_table import MediaRows, join_columns, write_table
from unreel.data.folder_walk import printable
from unreel.data.layouts.names import NO_DATA_SET, DataSet
from unreel.data.listing import Candidate, FolderLabels, Listing, ListSplits, list_files, store_path
from unreel.data.scan_memory import (
    PartialScan,
    RejectedFile,
    ScanMemory,
    check_outputs,
    write_rejected,
)
from unreel.data.scan_segments import FittedSegments
from unreel.data.scan_summary import ScanSummary, count_reasons, describe_extensions, note_oddities
from unreel.data.scan_workers import Reply, run_jobs
from unreel.data.video_lists import DEFAULT_COLUMNS, ListColumns
from unreel.errors import NoVideoError
from unreel.machine import count_cores
from unreel.progress import Progress, ignore_progress

_WORK = "unreel.data.scan_probe:probe_file"
_SECONDS_OF_GRACE = 2.0
"""A file that takes too long is given up by its reader; only when that fails, the reader is killed."""


def scan_videos(
    sources: Sequence[Path],
    out: Path,
    *,
    rejected: Path | None = None,
    root: Path | None = None,
    labels: FolderLabels = "none",
    splits: ListSplits = "none",
    columns: ListColumns = DEFAULT_COLUMNS,
    data_set: DataSet = NO_DATA_SET,
    listing: Listing | None = None,
    check: Literal["decode", "packets"] = "decode",
    num_workers: int = -1,
    time_limit_sec: float = 60.0,
    is_fresh: bool = False,
    progress: Progress = ignore_progress,
) -> ScanSummary:
    """Read every video that the sources name and write a catalog of those that can be used.

    Everything that was looked at is in the catalog or in the table of rejected files. A file whose path, size
    and time of writing are those of an earlier scan is not read again; its label, split, group and segments
    are. A scan that is interrupted leaves the old catalog as it was and goes on from where it stopped when it
    is started again.

    Args:
        sources: folders, lists of videos and video files.
        out: the catalog to write; one that is there is the memory of what was scanned before.
        rejected: the table of what cannot be used; by default ``rejected.csv`` beside the catalog.
        root: folder that the paths of lists and of the catalog start from; see `list_files`.
        labels: whether a video's folder is its label where no list says otherwise.
        splits: whether the name of a list, such as ``train.txt``, is the split of its videos.
        columns: names of the columns of CSV lists.
        data_set: a standard data set that the sources hold; what its annotations name and the disk lacks goes
            to ``rejected``.
        listing: what the sources name, from `list_files`, perhaps less some files that are not to be read
            now; None lists them.
        check: ``"decode"`` decodes every frame; ``"packets"`` is faster and finds less; see `probe_video`.
        num_workers: processes that read files, at least 1; -1 is one per core.
        time_limit_sec: a file that takes longer is rejected.
        is_fresh: forget what was scanned before.
        progress: told how many files are done.

    Raises:
        CatalogError: a source is missing, or ``out`` exists and is no catalog.
        NoVideoError: nothing can be used.
        ValueError: a number is out of range, or a list makes no sense.
    """
    started = time.monotonic()
    if num_workers < -1 or num_workers == 0 or not 0 < time_limit_sec < float("inf"):
        raise ValueError(
            "num_workers must be at least 1, or -1 for one per core, and time_limit_sec positive, got "
            f"{num_workers} and "
            f"{time_limit_sec}"
        )
    out = Path(out)
    rejected = out.with_name("rejected.csv") if rejected is None else Path(rejected)
    partial = out.with_name(f"{out.name}.partial")
    check_outputs(out, rejected)
    listing = listing or list_files(
        sources,
        root=root,
        labels=labels,
        splits=splits,
        columns=columns,
        data_set=data_set,
        progress=progress,
    )
    if not listing.candidates and not listing.refused:
        raise NoVideoError(_explain_nothing(sources, listing))
    if is_fresh:
        partial.unlink(missing_ok=True)
        memory = ScanMemory(listing.root)
    else:
        memory = ScanMemory.load(out, rejected, partial, listing.root)
    scan = _Scan(listing, memory, check)
    with PartialScan(partial) as findings:
        scan.read(findings, count_cores() if num_workers == -1 else num_workers, time_limit_sec, progress)
    table = scan.build_table()
    refused = scan.list_rejected()
    write_rejected(rejected, refused)
    if table.num_rows:
        write_table(out, table, listing.root)
    partial.unlink()
    if not table.num_rows:
        raise NoVideoError(_explain_nothing_usable(refused, rejected))
    return _summarize(scan, table, out, rejected, time.monotonic() - started)


class _Scan:
    """Sort candidates into accepted and rejected ones."""

    def __init__(self, listing: Listing, memory: ScanMemory, check: str) -> None:
        self.listing = listing
        self.memory = memory
        self.num_reused = 0
        self.segments = FittedSegments()
        self._check = check
        self._accepted: list[tuple[Candidate, int]] = []
        self._rejected = [RejectedFile(path, reason) for path, reason in listing.refused.items()]
        self._old_rows = memory.media
        self._new_rows = MediaRows()

    def read(self, partial: PartialScan, num_workers: int, time_limit_sec: float, progress: Progress) -> None:
        """Look every candidate up in memory, and have the others read."""
        unknown = [candidate for candidate in self.listing.candidates if not self._recall(candidate)]
        jobs = [
            {"path": candidate.path, "check": self._check, "time_limit_sec": time_limit_sec}
            for candidate in unknown
        ]
        progress(self._num_judged, self.num_scanned, "")
        limit = time_limit_sec + _SECONDS_OF_GRACE
        for reply in run_jobs(_WORK, jobs, num_workers=num_workers, time_limit_sec=limit):
            self._judge(unknown[reply.job], reply, partial)
            note = f"{len(self._rejected)} rejected" if self._rejected else ""
            progress(self._num_judged, self.num_scanned, note)

    def _recall(self, candidate: Candidate) -> bool:
        known = self.memory.find(candidate, self.listing.root, self._check)
        if known is None:
            return False
        self.num_reused += 1
        if known.reason:
            self._reject(candidate, known.reason, is_lasting=True)
        else:
            self._accepted.append((candidate, known.row))
        return True

    def _judge(self, candidate: Candidate, reply: Reply, partial: PartialScan) -> None:
        if reply.failure:
            self._reject(candidate, reply.failure, is_lasting=False)
        elif "row" in reply.value:
            self._accepted.append((candidate, self._old_rows.num_rows + len(self._new_rows)))
            self._new_rows.append(reply.value["row"])
            partial.add(candidate, {"row": reply.value["row"]})
        else:
            reason, is_lasting = reply.value["reason"], reply.value["is_lasting"]
            self._reject(candidate, reason, is_lasting=is_lasting)
            if is_lasting:
                partial.add(candidate, {"reason": reason})

    def _reject(self, candidate: Candidate, reason: str, *, is_lasting: bool) -> None:
        path = store_path(candidate.path, self.listing.root)
        stamp = (candidate.num_bytes, candidate.mtime_ns) if is_lasting else (None, None)
        self._rejected.append(RejectedFile(path, reason, *stamp))

    def build_table(self) -> pa.Table:
        """Return the catalog's rows."""
        media = pa.concat_tables([self._old_rows, self._new_rows.build()])
        media = media.take(pa.array([row for _, row in self._accepted], pa.int64()))
        self.segments = FittedSegments()
        candidates = [candidate for candidate, _ in self._accepted]
        listing: dict[str, list[Any]] = {
            "path": [store_path(candidate.path, self.listing.root) for candidate in candidates],
            "bytes": [candidate.num_bytes for candidate in candidates],
            "mtime_ns": [candidate.mtime_ns for candidate in candidates],
            "label": [candidate.label for candidate in candidates],
            "split": [candidate.split for candidate in candidates],
            "group": [candidate.group for candidate in candidates],
            "segments": self.segments.rows,
        }
        for path, candidate, seconds in zip(
            listing["path"], candidates, media["seconds"].to_pylist(), strict=True
        ):
            self.segments.add(path, candidate.segments, seconds)
        return join_columns(listing, media)

    def list_rejected(self) -> list[RejectedFile]:
        """Return what cannot be used."""
        assert self._num_judged == self.num_scanned
        return self._rejected

    @property
    def _num_judged(self) -> int:
        return len(self._accepted) + len(self._rejected)

    @property
    def num_scanned(self) -> int:
        """Number of files, and of folders that could not be read."""
        return len(self.listing.candidates) + len(self.listing.refused)


def _summarize(scan: _Scan, table: pa.Table, out: Path, rejected: Path, seconds: float) -> ScanSummary:
    listing, refused = scan.listing, scan.list_rejected()
    return ScanSummary(
        out=out,
        rejected_path=rejected,
        scanned=scan.num_scanned,
        accepted=table.num_rows,
        rejected=len(refused),
        reused=scan.num_reused,
        dropped=scan.memory.count_dropped(listing.candidates, listing.root),
        duplicates=listing.num_duplicates,
        other_files=dict(listing.other_files.most_common()),
        reasons=count_reasons([row.reason for row in refused]),
        frames=pc.sum(table["frames"]).as_py(),
        seconds_of_video=pc.sum(table["seconds"]).as_py(),
        labels=len(set(table["label"].to_pylist()) - {""}),
        splits=dict(sorted(Counter(table["split"].to_pylist()).items())),
        segments=scan.segments.count,
        segment_labels=scan.segments.num_classes,
        notes=(*listing.notes, *scan.segments.describe_cut(), *note_oddities(table)),
        warnings=(*listing.warnings, *scan.segments.describe_beyond()),
        seconds=seconds,
    )


def _explain_nothing(sources: Sequence[Path], listing: Listing) -> str:
    looked = ", ".join(printable(str(source)) for source in sources)
    others = describe_extensions(listing.other_files)
    return (
        f"no video in {looked}: looked in all folders below for names that end in .mp4, .avi, .mkv, .webm "
        f"and the like, found {others or 'no file at all'}; a file with another ending can be named itself "
        "or in a list"
    )


def _explain_nothing_usable(refused: Sequence[RejectedFile], rejected: Path) -> str:
    reasons = count_reasons([row.reason for row in refused])
    most = "; ".join(f"{count} times: {reason}" for reason, count in list(reasons.items())[:3])
    return (
        f"none of the {len(refused)} files can be used ({most}); no catalog was written, {rejected} lists "
        "them all"
    )
