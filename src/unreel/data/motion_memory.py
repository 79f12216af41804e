"""What was measured before, so that no video is measured twice: the table, and findings of a run cut off."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import MOTION_SCHEMA, MotionRows, MotionTable
from unreel.errors import CatalogError


class PartialMotion:
    """Append findings to a file as they come, each at once; a context manager that closes the file.

    Args:
        path: the file; findings that it holds already stay.
        config: how the new ones are measured.
        is_fresh: whether findings that it holds, and those of the table, are forgotten. The file says so, and
            whoever goes on from it forgets the table, too.

    Raises:
        CatalogError: the folder cannot be written to, or another process appends to the file.
    """

    def __init__(self, path: Path, config: MotionConfig, *, is_fresh: bool = False) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise CatalogError(
                f"{path}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        self._lock(path)
        if is_fresh:
            self._file.truncate(0)
        header = {"config": config_to_dict(config), **({"fresh": True} if is_fresh else {})}
        # The first line end closes a line that an earlier run could not finish.
        self._file.write("\n" + json.dumps(header) + "\n")
        self._file.flush()

    def __enter__(self) -> "PartialMotion":
        return self

    def __exit__(self, *reason: object) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row of `MOTION_SCHEMA`."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def _lock(self, path: Path) -> None:
        """Keep the file for this process, until it is closed or the process ends, however it ends."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise CatalogError(
                f"{path}: another `unreel motion` is measuring for the same table; wait for it, or choose "
                "another --out"
            ) from None
        except OSError:
            pass  # a file system without locks


def recall(out: Path, partial: Path, config: MotionConfig, *, is_fresh: bool = False) -> MotionTable:
    """Return what is known: the rows of the table, then those of a run that was cut off.

    Args:
        out: the table.
        partial: findings of a run that was cut off. If that run forgot the table, so does this one.
        config: how motion is to be measured.
        is_fresh: whether the rows of both are forgotten, however they were measured.

    Raises:
        CatalogError: what is there was measured in another way, or is something else.
    """
    table = MotionTable.load(out) if out.exists() else None  # what is something else is never overwritten
    parts = [MOTION_SCHEMA.empty_table()]
    if not is_fresh and partial.exists():
        findings, is_fresh = _read_partial(partial, config)
        parts.append(findings)
    if table is not None and not is_fresh:
        _check_config(out, table.config, config)
        parts.insert(1, table.rows.cast(MOTION_SCHEMA))
    return MotionTable(pa.concat_tables(parts).combine_chunks(), config)


def find_measured(memory: MotionTable, catalog: Catalog) -> NDArray[np.int64]:
    """Return the last row of every video of a catalog, -1 for one that is unknown, failed or has changed."""
    rows = memory.rows.append_column("row", pa.array(np.arange(len(memory.rows), dtype=np.int64)))
    rows = rows.filter(pc.is_valid(rows["motion"]))
    last = rows.select(["id", "row"]).group_by("id").aggregate([("row", "max")])
    rows = memory.rows.take(last["row_max"].combine_chunks())
    place_V = MotionTable(rows, memory.config).find_rows(catalog, is_strict=True)
    row_L = last["row_max"].to_numpy()
    return np.array([row_L[place] if place >= 0 else -1 for place in place_V], dtype=np.int64)


def _read_partial(path: Path, config: MotionConfig) -> tuple[pa.Table, bool]:
    """Return the findings, and whether they began anew, without the table."""
    rows, is_fresh = MotionRows(), False
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:  # cut short, or damaged
                continue
            if not isinstance(entry, dict):
                continue
            if "config" in entry:
                _check_config(path, entry["config"], config)
                is_fresh |= entry.get("fresh") is True
            elif entry.keys() == set(MOTION_SCHEMA.names):
                rows.append(entry)
    return rows.build(), is_fresh


def _check_config(path: Path, found: MotionConfig | Mapping[str, Any], wanted: MotionConfig) -> None:
    then = found if isinstance(found, Mapping) else config_to_dict(found)
    differing = [
        f"{name} {then.get(name)} and not {value}"
        for name, value in config_to_dict(wanted).items()
        if then.get(name) != value
    ]
    if differing:
        raise CatalogError(
            f"{path}: was measured with {', '.join(differing)}; ask for the same, choose another --out, or "
            "measure everything again with --fresh"
        )
