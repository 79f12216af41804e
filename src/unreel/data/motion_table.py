"""The table of motion beside a catalog: one row per video, a number per window."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.data.catalog import Catalog, CatalogMotion
from unreel.data.clips import ClipSampling
from unreel.data.motion_flow import MotionConfig
from unreel.errors import CatalogError
from unreel.runs import atomic_path

# C windows

MOTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("frames", pa.int64()),
        ("motion", pa.list_(pa.float32())),
        ("reason", pa.string()),
    ]
)
"""A video as it was measured: which file it was, a number per window, and why there is none, if so."""

_VERSION = "1"
_VERSION_KEY, _CONFIG_KEY = b"unreel.motion.version", b"unreel.motion.config"


@dataclass(frozen=True)
class MotionTable:
    """The motion of many videos.

    Attributes:
        rows: with the columns of `MOTION_SCHEMA`; a video that could not be measured has no motion, but a
            reason.
        config: how it was measured.
    """

    rows: pa.Table
    config: MotionConfig

    @classmethod
    def load(cls, path: Path) -> "MotionTable":
        """Read what `unreel motion` wrote.

        Raises:
            CatalogError: the file is missing or is no table of motion of this version.
        """
        path = Path(path)
        if not path.is_file():
            raise CatalogError(
                f"{path}: there is no table of motion; make one with `unreel motion --catalog CATALOG`"
            )
        try:
            rows = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(
                f"{path}: cannot be read ({error}); measure again, to another --out"
            ) from error
        metadata = rows.schema.metadata or {}
        if metadata.get(_VERSION_KEY) != _VERSION.encode() or not rows.schema.equals(MOTION_SCHEMA):
            raise CatalogError(
                f"{path}: is no table of motion that this program reads; make one with `unreel motion "
                "--catalog CATALOG --out FILE`"
            )
        config = config_from_dict(MotionConfig(), json.loads(metadata[_CONFIG_KEY]))
        return cls(rows.combine_chunks(), config)

    def save(self, path: Path) -> None:
        """Write the table in one step."""
        metadata = {_VERSION_KEY: _VERSION, _CONFIG_KEY: json.dumps(config_to_dict(self.config))}
        with atomic_path(path) as temporary:
            pq.write_table(self.rows.replace_schema_metadata(metadata), temporary, compression="zstd")

    @property
    def window_sec(self) -> float:
        """Length of the windows."""
        return self.config.window_sec

    def find(self, video_id: str) -> NDArray[np.float32] | None:
        """Return the motion of a video (C,); None where it could not be measured.

        Raises:
            CatalogError: the video is not in the table.
        """
        row = pc.index(self.rows["id"], video_id).as_py()
        if row < 0:
            raise CatalogError(f"the video {video_id} is not in the table of motion; measure it")
        values = self.rows["motion"][row].values
        return None if values is None else np.asarray(values.to_numpy(), dtype=np.float32)

    def find_rows(self, catalog: Catalog, *, is_strict: bool = False) -> NDArray[np.int64]:
        """Return the row of every video of a catalog, -1 where it is absent or of another file.

        Args:
            catalog: the videos.
            is_strict: whether a file that was written again counts as another one, even if it is as long.
        """
        found = pc.index_in(catalog.table["id"], self.rows["id"].combine_chunks())
        row_V = np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)
        is_known_V = row_V >= 0
        for name in ("bytes", "frames", "mtime_ns") if is_strict else ("bytes", "frames"):
            now_V, then_R = catalog.table[name].to_numpy(), self.rows[name].to_numpy()
            is_known_V[is_known_V] = now_V[is_known_V] == then_R[row_V[is_known_V]]
        return np.where(is_known_V, row_V, -1)


def name_table(catalog: Path) -> Path:
    """Return where the table of a catalog lies: ``catalog.motion.parquet`` beside ``catalog.parquet``."""
    return catalog.with_name(f"{catalog.stem}.motion.parquet")


def attach_motion(catalog: Catalog, clips: ClipSampling, path: Path = Path()) -> Catalog:
    """Return the catalog with the motion of its videos, if the clips are chosen by it.

    Args:
        catalog: the videos.
        clips: a rule that does not need motion leaves the catalog as it is.
        path: the table; by default the one beside the catalog.

    Raises:
        CatalogError: the table is missing or lacks videos, or not one video could be measured.
    """
    if not clips.needs_motion:
        return catalog
    source = catalog.path or Path("CATALOG")
    path = path if path != Path() else name_table(source)
    command = f"unreel motion --catalog {source}"
    if path != name_table(source):
        command += f" --out {path}"
    why = f"{type(clips).__name__} chooses clips by motion"
    if not path.is_file():
        raise CatalogError(
            f"{path}: there is no table of motion, and {why}; measure it once with `{command}`, or take all "
            "windows alike with --method.clips.beta inf"
        )
    table = MotionTable.load(path)
    row_V = table.find_rows(catalog)
    missing = np.flatnonzero(row_V < 0)
    if len(missing):
        raise CatalogError(
            f"{path}: lacks {len(missing)} of the {len(catalog)} videos, or they have changed, such as "
            f"{catalog.video(int(missing[0])).path}, and {why}; `{command}` measures what is missing"
        )
    values = table.rows["motion"].combine_chunks().take(pa.array(row_V))
    if len(catalog) and values.null_count == len(values):
        raise CatalogError(f"{path}: not one of the {len(catalog)} videos could be measured, and {why}")
    return catalog.with_motion(CatalogMotion(values, table.window_sec, _hash_motion(values, table.config)))


def _hash_motion(values: pa.ListArray, config: MotionConfig) -> str:
    """Return digits that change with any number and with how it was measured."""
    digest = hashlib.blake2b(hash_config(config).encode(), digest_size=8)
    lengths_V = pc.fill_null(pc.list_value_length(values), -1).to_numpy(zero_copy_only=False)
    digest.update(lengths_V.astype("<i8").tobytes())
    digest.update(values.flatten().to_numpy(zero_copy_only=False).astype("<f4").tobytes())
    return digest.hexdigest()


def describe_unmeasured(catalog: Catalog) -> str:
    """Say of how many videos the motion could not be measured; "" when it was of all, or plays no role."""
    count = 0 if catalog.motion is None else catalog.motion.values.null_count
    if not count:
        return ""
    return (
        f"the motion of {count} of the {len(catalog)} videos could not be measured; all their windows are "
        "taken alike"
    )


class MotionRows:
    """Gather rows of `MOTION_SCHEMA` one by one, at the memory cost of the finished table."""

    _ROWS_PER_BATCH = 4096

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row."""
        self._rows.append(row)
        if len(self._rows) == self._ROWS_PER_BATCH:
            self._pack()

    def build(self) -> pa.Table:
        """Return all rows so far, in their order."""
        self._pack()
        return pa.Table.from_batches(self._batches, schema=MOTION_SCHEMA).combine_chunks()

    def _pack(self) -> None:
        if self._rows:
            self._batches.append(pa.RecordBatch.from_pylist(self._rows, schema=MOTION_SCHEMA))
            self._rows = []
