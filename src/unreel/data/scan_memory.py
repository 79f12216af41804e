"""What earlier scans found out, so that a file that has not changed is not read again.

Three files hold it: the catalog, the table of rejected files beside it, and, while a scan runs, a file to
which every finding is appended at once: a scan that is interrupted goes on from there.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from unreel.data.catalog_table import (
    MEDIA_SCHEMA,
    SCHEMA_VERSION,
    MediaRows,
    is_catalog,
    read_table,
)
from unreel.data.listing import Candidate, store_path
from unreel.errors import CatalogError
from unreel.runs import atomic_path

_REJECTED_HEADER = ["path", "reason", "bytes", "mtime_ns"]
_WORKS_FOR = {"decode": ("decode",), "packets": ("decode", "packets")}
"""Check that is asked for -> checks that are at least as thorough."""


@dataclass(frozen=True, slots=True)
class RejectedFile:
    r"""A row of ``rejected.csv``.

    Attributes:
        path: as in a catalog; bytes that are not UTF-8 are written as ``\xff``.
        reason: one line.
        num_bytes: size, None when the file has to be tried again in any case.
        mtime_ns: when it was last written, None likewise.
    """

    path: str
    reason: str
    num_bytes: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a file: the number of its row in `ScanMemory.media`, or why it is of no use."""

    num_bytes: int
    mtime_ns: int
    check: str = ""
    row: int = -1
    reason: str = ""


class ScanMemory:
    """Findings by path.

    Args:
        root: folder of the earlier catalog.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._findings: dict[str, Finding] = {}
        self._catalog_paths: list[str] = []
        self._tables: list[pa.Table] = [MEDIA_SCHEMA.empty_table()]

    @classmethod
    def load(cls, out: Path, rejected: Path, partial: Path, root: Path) -> "ScanMemory":
        """Read what is there.

        Args:
            out: the catalog.
            rejected: the table of rejected files.
            partial: the findings of a scan that was interrupted.
            root: folder of the coming catalog, for when there was none yet.

        Raises:
            CatalogError: the catalog is damaged or has another version.
        """
        table = None
        if out.exists():
            table, root = read_table(out)
        memory = cls(root)
        if rejected.exists():
            memory._remember_rejected(rejected)
        if table is not None:
            memory._remember_catalog(table)
        if partial.exists():
            memory._remember_partial(partial)
        return memory

    @property
    def media(self) -> pa.Table:
        """The rows that findings point to, with the columns of `MEDIA_SCHEMA`."""
        return pa.concat_tables(self._tables)

    def find(self, candidate: Candidate, root: Path, check: str) -> Finding | None:
        """Return what is known of a file, None when it is new, has changed or needs a more thorough check.

        Args:
            candidate: the file as it is now.
            root: folder of the coming catalog; a folder that was moved as a whole is recognised by it.
            check: how thoroughly the file is to be read.
        """
        for path in {store_path(candidate.path, self._root), store_path(candidate.path, root)}:
            known = self._findings.get(path)
            if known is None or (known.num_bytes, known.mtime_ns) != (
                candidate.num_bytes,
                candidate.mtime_ns,
            ):
                continue
            if known.reason or known.check in _WORKS_FOR[check]:
                return known
        return None

    def count_dropped(self, candidates: list[Candidate], root: Path) -> int:
        """Return how many videos of the earlier catalog are not among the files any more."""
        present = {store_path(candidate.path, self._root) for candidate in candidates}
        present |= {store_path(candidate.path, root) for candidate in candidates}
        return sum(path not in present for path in self._catalog_paths)

    def _remember_catalog(self, table: pa.Table) -> None:
        self._catalog_paths = table["path"].to_pylist()
        columns = (table[name].to_pylist() for name in ("bytes", "mtime_ns", "check"))
        for row, (path, num_bytes, mtime_ns, check) in enumerate(
            zip(self._catalog_paths, *columns, strict=True)
        ):
            self._findings[path] = Finding(num_bytes, mtime_ns, check, row)
        self._tables = [table.select(MEDIA_SCHEMA.names)]

    def _remember_rejected(self, rejected: Path) -> None:
        for row in read_rejected(rejected):
            if row.num_bytes is not None and row.mtime_ns is not None:
                self._findings[row.path] = Finding(row.num_bytes, row.mtime_ns, reason=row.reason)

    def _remember_partial(self, partial: Path) -> None:
        media = MediaRows()
        offset = self._tables[0].num_rows
        with partial.open(encoding="utf-8") as file:
            for line in file:
                entry = _parse_entry(line)
                if entry is None:
                    continue
                path = store_path(entry["path"], self._root)
                size, mtime_ns = entry["bytes"], entry["mtime_ns"]
                if "row" in entry:
                    self._findings[path] = Finding(size, mtime_ns, entry["row"]["check"], offset + len(media))
                    media.append(entry["row"])
                else:
                    self._findings[path] = Finding(size, mtime_ns, reason=entry["reason"])
        self._tables.append(media.build())


def _parse_entry(line: str) -> dict[str, Any] | None:
    """Read a line of a partial scan; None for one that was cut short or comes from another version."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    is_ours = isinstance(entry, dict) and entry.get("version") == SCHEMA_VERSION
    return entry if is_ours else None


class PartialScan:
    """Append findings to a file as they come, each at once; a context manager that closes the file.

    Args:
        path: the file; findings that it holds already stay.

    Raises:
        CatalogError: the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise CatalogError(
                f"{path}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        self._file.write("\n")  # ends a line that an earlier scan could not finish

    def __enter__(self) -> "PartialScan":
        return self

    def __exit__(self, *reason: object) -> None:
        self._file.close()

    def add(self, candidate: Candidate, finding: Mapping[str, Any]) -> None:
        """Append a finding: ``{"row": ...}`` or ``{"reason": ...}``."""
        entry = {
            "version": SCHEMA_VERSION,
            "path": candidate.path,
            "bytes": candidate.num_bytes,
            "mtime_ns": candidate.mtime_ns,
            **finding,
        }
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def write_rejected(path: Path, rows: list[RejectedFile]) -> None:
    """Write ``rejected.csv`` in one step, sorted by path."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_REJECTED_HEADER)
        for row in sorted(rows, key=lambda row: row.path):
            writer.writerow([row.path, row.reason, row.num_bytes, row.mtime_ns])


def read_rejected(path: Path) -> list[RejectedFile]:
    """Read what `write_rejected` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            RejectedFile(
                row["path"], row["reason"], _parse_number(row["bytes"]), _parse_number(row["mtime_ns"])
            )
            for row in csv.DictReader(file)
        ]


def _parse_number(text: str) -> int | None:
    return int(text) if text else None


def check_outputs(out: Path, rejected: Path) -> None:
    """Refuse to overwrite what no scan wrote.

    Raises:
        CatalogError: one of the files exists and is something else.
    """
    if out.is_dir() or (out.exists() and not is_catalog(out)):
        raise CatalogError(
            f"{out}: exists and is not a catalog, so it is not overwritten; choose another --out"
        )
    check_rejected(rejected)


def check_rejected(rejected: Path) -> None:
    """Refuse to overwrite what is no table of rejected files.

    Raises:
        CatalogError: the file exists and is something else.
    """
    if not rejected.exists():
        return
    with rejected.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
    if first != ",".join(_REJECTED_HEADER):
        raise CatalogError(
            f"{rejected}: exists and was not written by a scan, so it is not overwritten; choose another "
            "--rejected"
        )
