"""The catalog as a table: its columns, its file on disk, and a fingerprint of what it holds."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unreel.errors import CatalogError
from unreel.runs import atomic_path

SCHEMA_VERSION = 1

MEDIA_SCHEMA = pa.schema(
    [
        ("seconds", pa.float64()),
        ("fps", pa.float64()),
        ("frames", pa.int64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("rotation", pa.int32()),
        ("codec", pa.string()),
        ("container", pa.string()),
        ("is_variable_frame_rate", pa.bool_()),
        ("note", pa.string()),
        ("check", pa.string()),
        ("first_pts", pa.int64()),
        ("pts_step_num", pa.int64()),
        ("pts_step_den", pa.int64()),
        ("frame_pts", pa.list_(pa.int64())),
        ("key_frames", pa.list_(pa.int32())),
        ("time_base_num", pa.int64()),
        ("time_base_den", pa.int64()),
    ]
)
"""What reading a file tells about it."""

SEGMENTS_TYPE = pa.list_(
    pa.struct([("start_sec", pa.float64()), ("end_sec", pa.float64()), ("label", pa.string())])
)
LISTING_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("segments", SEGMENTS_TYPE),
    ]
)
"""What the folder or the list tells about a file."""

CATALOG_SCHEMA = pa.schema([*LISTING_SCHEMA, *MEDIA_SCHEMA])

_VERSION_KEY, _ROOT_KEY = b"unreel.catalog.version", b"unreel.catalog.root"
_NOT_CONTENT = ("mtime_ns", "note", "check")
_ROWS_PER_BATCH = 4096
_COMPRESSION = "zstd"


def identify_video(path: str) -> str:
    """Return the id of a video: 16 hexadecimal digits that depend on its path in the catalog alone."""
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


def read_table(path: Path) -> tuple[pa.Table, Path]:
    """Read a catalog's file.

    Returns:
        The table, with the columns of `CATALOG_SCHEMA` in order, and the folder that its paths start from.

    Raises:
        CatalogError: the file is missing, is no catalog, or was written by another version.
    """
    if not path.is_file():
        raise CatalogError(f"{path}: there is no catalog; make one with `unreel scan FOLDER --out {path}`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CatalogError(
            f"{path}: cannot be read as a catalog ({_first_line(error)}); scan again"
        ) from error
    metadata = table.schema.metadata or {}
    if _VERSION_KEY not in metadata:
        raise CatalogError(
            f"{path}: is a Parquet file but not a catalog; make one with `unreel scan FOLDER --out FILE`"
        )
    if metadata[_VERSION_KEY] != str(SCHEMA_VERSION).encode():
        raise CatalogError(
            f"{path}: is a catalog of version {metadata[_VERSION_KEY].decode(errors='replace')}, this "
            f"program reads version {SCHEMA_VERSION}; scan again with --fresh"
        )
    if not table.schema.equals(CATALOG_SCHEMA):
        raise CatalogError(f"{path}: the columns are not those of a catalog; scan again with --fresh")
    if any(column.null_count for column in table.columns):
        raise CatalogError(
            f"{path}: has empty cells, which `unreel scan` never writes; scan again with --fresh"
        )
    return table.combine_chunks(), Path(os.fsdecode(metadata[_ROOT_KEY]))


def is_catalog(path: Path) -> bool:
    """Whether a file is a catalog, of whatever version."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return False
    return _VERSION_KEY in metadata


def write_table(path: Path, table: pa.Table, root: Path) -> None:
    """Replace a catalog's file in one step."""
    metadata = {_VERSION_KEY: str(SCHEMA_VERSION).encode(), _ROOT_KEY: os.fsencode(root)}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression=_COMPRESSION)


def check_paths(table: pa.Table, path: Path) -> None:
    """Refuse paths that climb out of the catalog's folder; files elsewhere are named by absolute paths.

    Raises:
        CatalogError: a path is empty or has a ``..`` in it.
    """
    is_climbing = pc.match_substring_regex(table["path"], r"(^|[/\\])\.\.([/\\]|$)")
    wrong = table["path"].filter(pc.or_(is_climbing, pc.equal(table["path"], "")))
    if len(wrong):
        raise CatalogError(
            f"{path}: {len(wrong)} paths lead out of the catalog's folder, such as {wrong[0].as_py()!r}; a "
            "catalog with such paths was not written by `unreel scan`: scan again"
        )


class MediaRows:
    """Gather rows of `MEDIA_SCHEMA` one by one, at the memory cost of the finished table."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self._num_packed = 0

    def __len__(self) -> int:
        return self._num_packed + len(self._rows)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row.

        Raises:
            ValueError: a column is missing.
        """
        missing = [name for name in MEDIA_SCHEMA.names if name not in row]
        if missing:
            raise ValueError(f"a row of the catalog lacks {missing}")
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_BATCH:
            self._pack()

    def build(self) -> pa.Table:
        """Return all rows so far, in their order."""
        self._pack()
        return pa.Table.from_batches(self._batches, schema=MEDIA_SCHEMA)

    def _pack(self) -> None:
        if self._rows:
            self._batches.append(pa.RecordBatch.from_pylist(self._rows, schema=MEDIA_SCHEMA))
            self._num_packed += len(self._rows)
            self._rows = []


def join_columns(listing: Mapping[str, Sequence[Any]], media: pa.Table) -> pa.Table:
    """Put what the folder says beside what the files say, sorted by path.

    Args:
        listing: the columns of `LISTING_SCHEMA` except ``id``, which follows from them; without ``segments``
            no video has any.
        media: one row per file, in the same order.
    """
    paths = listing["path"]
    columns = {
        "segments": [[]] * len(paths),
        **listing,
        "id": [identify_video(path) for path in paths],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in LISTING_SCHEMA]
    table = pa.Table.from_arrays([*arrays, *media.columns], schema=CATALOG_SCHEMA)
    return table.take(pc.sort_indices(table["path"])).combine_chunks()


def hash_table(table: pa.Table) -> str:
    """Return 16 hexadecimal digits that change with the videos, their order, labels and frames.

    Where the folder lies, when files were touched and notes about them do not count.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in CATALOG_SCHEMA.names:
        if name not in _NOT_CONTENT:
            digest.update(name.encode())
            for array in _flatten(table[name].chunks):
                digest.update(_canonical_bytes(array))
    return digest.hexdigest()


def _flatten(chunks: Iterable[pa.Array]) -> list[pa.Array]:
    """Split a column into flat arrays that do not depend on how it was chunked."""
    array = pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())
    if pa.types.is_list(array.type):
        return [pc.list_value_length(array), *_flatten([pc.list_flatten(array)])]
    if pa.types.is_struct(array.type):
        return [part for field in array.flatten() for part in _flatten([field])]
    return [array]


def _canonical_bytes(array: pa.Array) -> bytes:
    assert array.null_count == 0
    if pa.types.is_string(array.type):
        lengths = pc.binary_length(array)
        return bytes(lengths.to_numpy().tobytes()) + "".join(array.to_pylist()).encode()
    return bytes(array.to_numpy(zero_copy_only=False).tobytes())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
