"""Vectors of videos with what they belong to, as one Parquet file that pandas, polars and DuckDB read too."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from unreel.errors import FeaturesError
from unreel.features.table_info import COLUMNS, VECTOR, FeatureInfo, build_schema, open_writer, read_info
from unreel.runs import atomic_path

# G rows of the table, D features

_BLOCK_BYTES = 2**22
"""What is read or averaged at once, beside the table itself."""
_READ_BUFFER_BYTES = 2**20


def _rows_per_block(dimension: int) -> int:
    return max(1, min(8192, _BLOCK_BYTES // (4 * max(1, dimension))))


def _iterate_batches(path: Path, file: pq.ParquetFile, info: FeatureInfo) -> Iterator[pa.RecordBatch]:
    """Yield some rows at a time; refuse those in which something is missing."""
    for batch in file.iter_batches(batch_size=_rows_per_block(info.dimension)):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        columns["number in a vector"] = columns[VECTOR].flatten()
        for name, values in columns.items():
            if values.null_count:
                raise FeaturesError(
                    f"{path} has rows without a {name}, which is never left out; run `unreel extract` again"
                )
        yield batch


class FeatureTable:
    """Vectors and what they belong to, row by row; never changed in place.

    Args:
        columns: everything but the vectors.
        vectors_GD: float32, one row per row of ``columns``.
        info: what the vectors were made from.
    """

    def __init__(self, columns: pa.Table, vectors_GD: NDArray[np.float32], info: FeatureInfo) -> None:
        assert columns.num_rows == len(vectors_GD)
        self._columns = columns
        self.vectors = vectors_GD
        self.info = info

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a table; the vectors lie in memory once, and never more than a little beside them.

        Raises:
            FeaturesError: the file is missing, damaged, or no table of features that this version knows.
        """
        path = Path(path)
        info = read_info(path)
        try:
            # Without a buffer the file's groups of rows, hundreds of megabytes each, are read as a whole.
            with pq.ParquetFile(path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False) as file:
                vectors_GD = np.empty((file.metadata.num_rows, info.dimension), dtype=np.float32)
                parts, start = [], 0
                for batch in _iterate_batches(path, file, info):
                    rows = batch.column(VECTOR).flatten().to_numpy(zero_copy_only=False)
                    vectors_GD[start : start + len(batch)] = rows.reshape(len(batch), info.dimension)
                    start += len(batch)
                    parts.append(batch.drop_columns([VECTOR]))
        except (OSError, pa.ArrowInvalid) as error:
            raise FeaturesError(f"{path} is damaged: {error}; run `unreel extract` again") from error
        return cls(pa.Table.from_batches(parts, schema=COLUMNS), vectors_GD, info)

    def save(self, path: Path) -> None:
        """Write the table in one step."""
        with atomic_path(path) as temporary, open_writer(temporary, build_schema(self.info)) as writer:
            writer.write_table(self.to_arrow())

    @classmethod
    def from_columns(cls, info: FeatureInfo, vectors_GD: ArrayLike, **columns: Any) -> Self:  # noqa: ANN401
        """Build a table from lists or arrays, one per column; see `column_names`.

        Raises:
            ValueError: a column is missing or unknown, or the lengths differ.
        """
        if columns.keys() != set(COLUMNS.names):
            raise ValueError(f"a table of features has the columns {COLUMNS.names}, got {sorted(columns)}")
        vectors = np.asarray(vectors_GD, dtype=np.float32).reshape(-1, info.dimension)
        table = pa.table({name: columns[name] for name in COLUMNS.names}, schema=COLUMNS)
        if table.num_rows != len(vectors):
            raise ValueError(f"{len(vectors)} vectors but {table.num_rows} rows in the other columns")
        return cls(table, vectors, info)

    @staticmethod
    def column_names() -> list[str]:
        """Return the names of all columns but the vectors."""
        return list(COLUMNS.names)

    def to_arrow(self) -> pa.Table:
        """Return all columns as an Arrow table, the vectors without a copy."""
        flat = pa.array(np.ascontiguousarray(self.vectors).reshape(-1), type=pa.float32())
        vectors = pa.FixedSizeListArray.from_arrays(flat, self.info.dimension)
        return self._columns.append_column(VECTOR, vectors).cast(build_schema(self.info))

    def __len__(self) -> int:
        return len(self.vectors)

    def column(self, name: str) -> NDArray[Any]:
        """Return one column: words as an array of objects, numbers as they are stored.

        Raises:
            FeaturesError: there is no such column.
        """
        if name not in COLUMNS.names:
            raise FeaturesError(
                f"a table of features has no column {name!r}; it has {', '.join(COLUMNS.names)}"
            )
        values: NDArray[Any] = self._columns[name].to_numpy()
        return values

    @cached_property
    def video_ids(self) -> NDArray[Any]:
        """Id of the video of every row."""
        return self.column("video_id")

    @property
    def split_names(self) -> list[str]:
        """The splits, sorted, without the empty one."""
        return sorted(set(self._columns["split"].unique().to_pylist()) - {""})

    def select(self, split: str) -> "FeatureTable":
        """Return the rows of one split; "" selects all.

        Raises:
            FeaturesError: the table has no such split.
        """
        return self.take(self.rows_of(split)) if split else self

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the rows of one split; "" takes all.

        Raises:
            FeaturesError: the table has no such split.
        """
        rows = np.flatnonzero(self.column("split") == split) if split else np.arange(len(self))
        if split and not len(rows):
            known = ", ".join(map(repr, self.split_names)) or "none"
            raise FeaturesError(f"the table has no split {split!r}; its splits: {known}")
        return rows

    def take(self, rows: NDArray[np.int64]) -> "FeatureTable":
        """Return these rows, in this order."""
        return FeatureTable(self._columns.take(pa.array(rows)), self.vectors[rows], self.info)

    def average_per_video(self, split: str = "") -> "FeatureTable":
        """Return a row per video of a split, "" for all, in order of first appearance: its mean vector.

        Its stretch of time reaches from the first clip to the last. Vectors are copied a few at a time.

        Raises:
            FeaturesError: the table has no such split.
        """
        kept = self.rows_of(split)
        # Arrow numbers the videos by first appearance; sorting a million ids takes ten times as long.
        ids = self._columns["video_id"].take(pa.array(kept)).combine_chunks()
        video_G = ids.dictionary_encode().indices.to_numpy()
        by_video = np.argsort(video_G, kind="stable")
        starts = np.flatnonzero(np.diff(video_G[by_video], prepend=-1))
        order = kept[by_video]
        firsts = self._columns.take(pa.array(order[starts]))
        columns = {name: firsts[name].to_numpy() for name in COLUMNS.names}
        columns["start_sec"] = np.minimum.reduceat(self.column("start_sec")[order], starts)
        columns["end_sec"] = np.maximum.reduceat(self.column("end_sec")[order], starts)
        return FeatureTable.from_columns(self.info, self._average(order, starts), **columns)

    def _average(self, order: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the mean vector of every stretch of reordered rows, some stretches at a time."""
        ends = np.append(starts[1:], len(order))
        means_VD = np.empty((len(starts), self.vectors.shape[1]), dtype=np.float32)
        rows_per_block = _rows_per_block(self.vectors.shape[1])
        first = 0
        while first < len(starts):
            last = int(np.searchsorted(ends, starts[first] + rows_per_block, side="right"))
            last = max(last, first + 1)
            vectors_GD = self.vectors[order[starts[first] : ends[last - 1]]]
            sums_VD = np.add.reduceat(vectors_GD, starts[first:last] - starts[first], axis=0)
            counts_V = (ends - starts)[first:last]
            means_VD[first:last] = sums_VD / counts_V[:, None].astype(np.float32)
            first = last
        return means_VD
