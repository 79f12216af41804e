"""The vectors of an index in one memory-mapped file, made from the index and thrown away at will.

SQLite finds a vector by its key fast, but hands out a million of them slowly. This file holds them as one
matrix: a line of JSON, then keys (int64), scales (float32, 1 / length) and vectors (float32).
"""

import json
import mmap
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from unreel.runs import atomic_path, remove_abandoned
from unreel.search.exact import inverse_norms
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import Unit
from unreel.search.index_store import IndexStore

# G vectors, D features

_HEADER_BYTES = 4096
_SECONDS_TO_ABANDON = 600.0
FORMAT_VERSION = 1


@dataclass(frozen=True)
class CacheStamp:
    """Which state of which index a cache shows.

    Attributes:
        identity: of the index.
        generation: of the index.
        token: that was made with the generation.
        last_key: largest key that had been given.
        last_removal: number of the latest removal.
        rows: G, number of vectors.
        dimension: D, length of a vector.
    """

    identity: str
    generation: int
    token: str
    last_key: int
    last_removal: int
    rows: int
    dimension: int

    @classmethod
    def take(cls, reader: IndexReader, unit: Unit, dimension: int) -> Self:
        """Return the stamp of an index as it is now."""
        return cls(
            identity=reader.identity,
            generation=reader.generation,
            token=reader.token,
            last_key=reader.last_key(unit),
            last_removal=reader.last_removal(),
            rows=reader.count_keys(unit),
            dimension=dimension,
        )


class VectorCache:
    """All vectors of one unit at some moment, by ascending key.

    Attributes:
        stamp: which state of the index they are.
        keys: shape (G,).
        scales: 1 / length of each vector, shape (G,).
        vectors: shape (G, D).
        path: of the file; None when the folder could not be written and all is in memory.
    """

    def __init__(self, stamp: CacheStamp, data: Any, path: Path | None) -> None:  # noqa: ANN401 (a buffer)
        rows = stamp.rows
        self.stamp = stamp
        self.path = path
        self.keys: NDArray[np.int64] = np.frombuffer(data, "<i8", rows, _HEADER_BYTES)
        self.scales: NDArray[np.float32] = np.frombuffer(data, "<f4", rows, _HEADER_BYTES + 8 * rows)
        numbers = np.frombuffer(data, "<f4", rows * stamp.dimension, _HEADER_BYTES + 12 * rows)
        self.vectors: NDArray[np.float32] = numbers.reshape(rows, stamp.dimension)

    @classmethod
    def load(cls, store: IndexStore, unit: Unit) -> Self | None:
        """Map the file of an index; None when there is none that is whole and belongs to this index.

        Whether the index was ever in the state of its stamp is for the caller to ask.
        """
        path = find_cache_file(store, unit)
        try:
            with path.open("rb") as file:
                stamp = _read_header(file)
                if stamp is None or (stamp.identity, stamp.dimension) != (
                    store.identity,
                    store.info.dimension,
                ):
                    return None
                if os.fstat(file.fileno()).st_size != _count_bytes(stamp):
                    return None
                return cls(stamp, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path)
        except OSError:
            return None

    @classmethod
    def build(cls, store: IndexStore, unit: Unit, reader: IndexReader) -> Self:
        """Copy the vectors out of the index into the file, or into memory where no file can be written."""
        stamp = CacheStamp.take(reader, unit, store.info.dimension)
        path = find_cache_file(store, unit)
        try:
            remove_abandoned(path, older_than_sec=_SECONDS_TO_ABANDON)  # others may be writing it, too
            with atomic_path(path) as temporary, temporary.open("r+b") as file:
                _reserve(file, _count_bytes(stamp))
                # Not closed but left to be collected: the arrays of a fill that failed still point there.
                data = mmap.mmap(file.fileno(), 0)
                _fill(data, stamp, unit, reader)
                data.flush()
                del data
                # Before the file has its name: under that, another process may put its own at any time.
                kept = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return cls(stamp, kept, path)
        except OSError:
            memory = bytearray(_count_bytes(stamp))
            _fill(memory, stamp, unit, reader)
            return cls(stamp, memory, None)


def find_cache_file(store: IndexStore, unit: Unit) -> Path:
    """Return where the vectors of a unit are kept."""
    return store.cache_folder / f"{unit}.vectors"


def _count_bytes(stamp: CacheStamp) -> int:
    return _HEADER_BYTES + stamp.rows * (8 + 4 + 4 * stamp.dimension)


def _reserve(file: BinaryIO, num_bytes: int) -> None:
    """Give a file its size, and the room: writing to a map would kill the process on a full disk."""
    file.truncate(num_bytes)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, num_bytes)


def _fill(data: Any, stamp: CacheStamp, unit: Unit, reader: IndexReader) -> None:  # noqa: ANN401 (a buffer)
    header = json.dumps({"format_version": FORMAT_VERSION, **asdict(stamp)}).encode()
    assert len(header) < _HEADER_BYTES
    data[: len(header)] = header
    rows, start = stamp.rows, 0
    keys_G = np.frombuffer(data, "<i8", rows, _HEADER_BYTES)
    scales_G = np.frombuffer(data, "<f4", rows, _HEADER_BYTES + 8 * rows)
    vectors = np.frombuffer(data, "<f4", rows * stamp.dimension, _HEADER_BYTES + 12 * rows)
    for keys, block_GD in reader.iterate_vectors(unit):
        end = start + len(keys)
        keys_G[start:end] = keys
        scales_G[start:end] = inverse_norms(block_GD, "index", start)
        vectors[start * stamp.dimension : end * stamp.dimension] = block_GD.reshape(-1)
        start = end
    assert start == rows


def _read_header(file: BinaryIO) -> CacheStamp | None:
    try:
        values = json.loads(file.read(_HEADER_BYTES).rstrip(b"\0"))
        if values.pop("format_version") != FORMAT_VERSION:
            return None
        stamp = CacheStamp(**values)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
    numbers = (stamp.generation, stamp.last_key, stamp.last_removal, stamp.rows, stamp.dimension)
    are_texts = all(type(text) is str for text in (stamp.identity, stamp.token))
    return stamp if are_texts and all(type(number) is int and number >= 0 for number in numbers) else None
