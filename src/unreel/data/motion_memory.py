"""What was measured before, so that no video is measured twice: the table, and findings of a run cut off."""

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

    Raises:
        CatalogError: the folder cannot be written to.
    """

    def __init__(self, path: Path, config: MotionConfig) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise CatalogError(
                f"{path}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        # The first line end closes a line that an earlier run could not finish.
        self._file.write("\n" + json.dumps({"config": config_to_dict(config)}) + "\n")

    def __enter__(self) -> "PartialMotion":
        return self

    def __exit__(self, *reason: object) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row of `MOTION_SCHEMA`."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()


def recall(out: Path, partial: Path, config: MotionConfig, *, is_fresh: bool = False) -> MotionTable:
    """Return what is known: the rows of the table, then those of a run that was cut off.

    Args:
        out: the table.
        partial: findings of a run that was cut off.
        config: how motion is to be measured.
        is_fresh: whether the rows of the table are forgotten, however they were measured.

    Raises:
        CatalogError: what is there was measured in another way, or is something else.
    """
    parts = [MOTION_SCHEMA.empty_table()]
    if out.exists():
        table = MotionTable.load(out)  # what is something else is never overwritten
        if not is_fresh:
            _check_config(out, table.config, config)
            parts.append(table.rows.cast(MOTION_SCHEMA))
    if partial.exists():
        parts.append(_read_partial(partial, config))
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


def _read_partial(path: Path, config: MotionConfig) -> pa.Table:
    rows = MotionRows()
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:  # cut short
                continue
            if "config" in entry:
                _check_config(path, entry["config"], config)
            else:
                rows.append(entry)
    return rows.build()


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
