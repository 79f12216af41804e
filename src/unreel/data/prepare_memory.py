"""What a folder of copies knows of itself: how they are made, which there are, and of which originals.

``prepare.json`` holds settings and versions, ``copies.parquet`` a row per copy that was ever made, and, while
a preparation runs, every finding is appended to a file at once: one that is cut off goes on from there.
"""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import MEDIA_SCHEMA
from unreel.data.prepare_config import PrepareConfig, describe_codec
from unreel.errors import CatalogError
from unreel.runs import atomic_path, collect_provenance, read_json, write_json

COPY_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("original", pa.string()),
        ("original_bytes", pa.int64()),
        ("original_mtime_ns", pa.int64()),
        ("original_frames", pa.int64()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("psnr", pa.float64()),
        *MEDIA_SCHEMA,
    ]
)
"""A copy: of which file it was made, where it lies, how alike it is if that was measured, what it holds."""

CATALOG_FILE, COPIES_FILE, SETTINGS_FILE = "catalog.parquet", "copies.parquet", "prepare.json"
REJECTED_FILE, PARTIAL_FILE, VIDEOS_FOLDER = "rejected.csv", "prepare.partial", "videos"
_ROWS_PER_BATCH = 4096
_VERSION = 1


class PartialCopies:
    """Append findings to a file as they come, each at once; a context manager that closes the file.

    Args:
        out: the folder of copies.

    Raises:
        CatalogError: the folder cannot be written to, or another process writes copies there.
    """

    def __init__(self, out: Path) -> None:
        path = out / PARTIAL_FILE
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise CatalogError(
                f"{path}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise CatalogError(
                f"{path}: another `unreel prepare` writes copies there; wait for it, or choose another --out"
            ) from None
        except OSError:
            pass  # a file system without locks
        self._file.write("\n")  # ends a line that an earlier run could not finish
        self._file.flush()

    def __enter__(self) -> "PartialCopies":
        return self

    def __exit__(self, *reason: object) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row of `COPY_SCHEMA`."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()


def recall(out: Path) -> pa.Table:
    """Return the copies that were ever made in a folder, the last of every original, as `COPY_SCHEMA`.

    Raises:
        CatalogError: the table of copies is damaged.
    """
    parts = [COPY_SCHEMA.empty_table()]
    if (out / COPIES_FILE).exists():
        parts.append(_read_copies(out / COPIES_FILE))
    if (out / PARTIAL_FILE).exists():
        parts.append(_read_partial(out / PARTIAL_FILE))
    rows = pa.concat_tables(parts).combine_chunks()
    last = {name: row for row, name in enumerate(rows["id"].to_pylist())}
    return rows.take(pa.array(sorted(last.values()), pa.int64())).combine_chunks()


def save_copies(out: Path, rows: pa.Table) -> None:
    """Write the table of copies in one step."""
    with atomic_path(out / COPIES_FILE) as temporary:
        pq.write_table(rows, temporary, compression="zstd")


def find_copies(rows: pa.Table, catalog: Catalog, out: Path) -> NDArray[np.int64]:
    """Return the row of every video's copy; -1 where there is none, or one of another file, or it is gone.

    Args:
        rows: as `recall` returns them.
        catalog: the originals.
        out: the folder of copies.
    """
    place = {name: row for row, name in enumerate(rows["id"].to_pylist())}
    names = ("original_bytes", "original_mtime_ns", "original_frames", "path", "bytes")
    copies = list(zip(*(rows[name].to_pylist() for name in names), strict=True))
    originals = zip(
        catalog.ids,
        *(catalog.table[name].to_pylist() for name in ("bytes", "mtime_ns", "frames")),
        strict=True,
    )
    found = []
    for name, *scanned in originals:
        row = place.get(name, -1)
        is_of_it = row >= 0 and list(copies[row][:3]) == scanned
        found.append(row if is_of_it and _is_there(out, *copies[row][3:]) else -1)
    return np.array(found, dtype=np.int64)


def _is_there(out: Path, path: str, num_bytes: int) -> bool:
    parts = PurePosixPath(path).parts
    if parts[:1] != (VIDEOS_FOLDER,) or ".." in parts:  # no copy: it must be neither used nor removed
        return False
    try:
        return (out / path).stat().st_size == num_bytes
    except OSError:
        return False


def check_folder(out: Path, config: PrepareConfig, *, num_copies: int) -> None:
    """Refuse a folder in which copies of this kind have no place.

    Args:
        out: the folder of copies; nothing is written there.
        config: how copies are to be made.
        num_copies: that were made there; while there is none, settings may change.

    Raises:
        CatalogError: the folder holds something else, or copies that were made in another way.
    """
    path = out / SETTINGS_FILE
    if not path.exists():
        others = sorted(child.name for child in out.iterdir()) if out.is_dir() else []
        if others and others != [PARTIAL_FILE]:
            raise CatalogError(
                f"{out}: holds {others[0]} and no {SETTINGS_FILE}, so it was not made by `unreel prepare`; "
                "choose a new --out"
            )
        return
    settings = _read_record(path)["settings"]
    differing = [
        f"{name} {settings.get(name)} and not {value}"
        for name, value in config_to_dict(config).items()
        if settings.get(name) != value
    ]
    if differing and num_copies:
        raise CatalogError(
            f"{out}: its copies were made with {', '.join(differing)}; ask for the same, or choose another "
            "--out"
        )


def record_settings(out: Path, config: PrepareConfig) -> None:
    """Write down how the copies of a folder are made; what was recorded of earlier runs stays."""
    path = out / SETTINGS_FILE
    runs = _read_record(path)["runs"] if path.exists() else []
    write_json(path, {"version": _VERSION, "settings": config_to_dict(config), "runs": runs})


def record_run(out: Path, config: PrepareConfig, catalog: Catalog, counts: Mapping[str, int]) -> None:
    """Add to the record of a folder what made the copies of this run, and of which catalog."""
    record = _read_record(out / SETTINGS_FILE)
    run = {
        "catalog": str(catalog.path or ""),
        "catalog_hash": catalog.hash,
        **counts,
        **describe_codec(config),
        "provenance": collect_provenance(),
    }
    write_json(out / SETTINGS_FILE, {**record, "runs": [*record["runs"], run]})


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path)
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: cannot be read ({error}); choose another --out") from error
    if (
        not isinstance(record, dict)
        or record.get("version") != _VERSION
        or not isinstance(record.get("settings"), dict)
        or not isinstance(record.get("runs"), list)
    ):
        raise CatalogError(f"{path}: is no record of copies that this program reads; choose another --out")
    return record


def _read_copies(path: Path) -> pa.Table:
    try:
        rows = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CatalogError(
            f"{path}: cannot be read ({error}); remove it, and all copies are made again"
        ) from error
    if not rows.schema.equals(COPY_SCHEMA):
        raise CatalogError(f"{path}: is no table of copies; remove it, and all copies are made again")
    return rows


def _read_partial(path: Path) -> pa.Table:
    batches, entries = [COPY_SCHEMA.empty_table()], []
    names = set(COPY_SCHEMA.names)
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:  # cut short, or damaged
                continue
            if isinstance(entry, dict) and entry.keys() == names:
                entries.append(entry)
            if len(entries) == _ROWS_PER_BATCH:
                batches.append(pa.Table.from_pylist(entries, schema=COPY_SCHEMA))
                entries = []
    return pa.concat_tables([*batches, pa.Table.from_pylist(entries, schema=COPY_SCHEMA)])
