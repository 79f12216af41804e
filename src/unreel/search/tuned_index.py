"""What tuning an index found out, and the codes that it made, in a file beside the index.

The file lies in the index's cache folder: a line of JSON, then the keys (int64) and the codes as faiss writes
them. It can be made again at any time, and what is not whole, or of another index, is passed over.
"""

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_from_dict
from unreel.runs import atomic_path, remove_abandoned
from unreel.search.approximate import ApproximateEngine, Effort, find_rows
from unreel.search.codes import Codes
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import Unit
from unreel.search.index_store import IndexStore
from unreel.search.vector_cache import CacheStamp, VectorCache

# G vectors, A codes

_HEADER_BYTES = 4096
_SECONDS_TO_ABANDON = 600.0
FORMAT_VERSION = 1
EXACT, FLAT, LISTS = "exact", "RaBitQ", "IVF,RaBitQ"


@dataclass(frozen=True)
class TunedIndex:
    """How an index is searched, and what that was measured to be worth.

    Attributes:
        unit: whether whole videos or clips are compared.
        kind: ``"exact"``, ``"RaBitQ"`` (the codes of all vectors) or ``"IVF,RaBitQ"`` (those of some lists).
        num_lists: that the codes lie in.
        num_probes: lists that are looked at.
        num_candidates: vectors that are compared exactly, per query.
        top_k: k, neighbours that were asked for.
        target_recall: that was asked for, in (0, 1].
        index_recall_at_k: share of the k nearest neighbours that are found, in [0, 1]; of queries that had no
            part in the choice.
        recall_low: lower end of its 95 % confidence interval.
        recall_high: upper end.
        num_queries: that it was measured with.
        num_rows: vectors that were compared.
        build_sec: time that learning and encoding took.
        num_bytes: size of the codes.
        query_ms: median time of a query.
        exact_query_ms: the same of exact search.
    """

    unit: str = "video"
    kind: str = EXACT
    num_lists: int = 0
    num_probes: int = 0
    num_candidates: int = 0
    top_k: int = 10
    target_recall: float = 0.95
    index_recall_at_k: float = 1.0
    recall_low: float = 1.0
    recall_high: float = 1.0
    num_queries: int = 0
    num_rows: int = 0
    build_sec: float = 0.0
    num_bytes: int = 0
    query_ms: float = 0.0
    exact_query_ms: float = 0.0

    @property
    def effort(self) -> Effort:
        """How much is looked at."""
        return Effort(self.num_candidates, self.num_probes, self.top_k)


def find_tuned_file(store: IndexStore, unit: Unit) -> Path:
    """Return where the codes of a unit are kept."""
    return store.cache_folder / f"{unit}.codes"


def identify_tuned(store: IndexStore, unit: Unit) -> tuple[int, ...]:
    """Return what tells the file of a unit's codes from any other; nothing when there is none."""
    try:
        status = find_tuned_file(store, unit).stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def save_tuned(store: IndexStore, tuned: TunedIndex, stamp: CacheStamp, codes: Codes | None) -> None:
    """Write what was found out, and the codes where search is not exact.

    Raises:
        OSError: the file cannot be written.
    """
    out = find_tuned_file(store, _as_unit(tuned.unit))
    remove_abandoned(out, older_than_sec=_SECONDS_TO_ABANDON)  # others may be writing it, too
    with atomic_path(out) as path, path.open("w+b") as file:
        file.seek(_HEADER_BYTES)
        num_codes = 0
        if codes is not None:
            num_codes = len(codes)
            file.write(codes.keys_A.astype("<i8").tobytes())
            codes.write(file)
        file.seek(_HEADER_BYTES)
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        values = {
            "format_version": FORMAT_VERSION,
            "stamp": asdict(stamp),
            "tuned": asdict(tuned),
            "num_codes": num_codes,
            "checksum": checksum,
        }
        header = json.dumps(values).encode()
        assert len(header) < _HEADER_BYTES
        file.seek(0)
        file.write(header.ljust(_HEADER_BYTES, b"\0"))


def read_tuned(store: IndexStore, unit: Unit) -> TunedIndex | None:
    """Return what tuning found out; None when the index was not tuned, or the file is of something else."""
    try:
        with find_tuned_file(store, unit).open("rb") as file:
            header = _read_header(file)
    except OSError:
        return None
    return header.tuned if header and header.stamp.identity == store.identity else None


def open_approximate(
    store: IndexStore, unit: Unit, cache: VectorCache, reader: IndexReader
) -> ApproximateEngine | None:
    """Return the engine that tuning chose, over all vectors of the cache.

    Vectors that the cache has got since are encoded and kept in the file. None stands for exact search: the
    index was not tuned, exact search was found to be as fast, or the file is damaged or of something else.
    """
    header, codes = _load(store, unit, reader)
    if header is None or codes is None:
        return None
    newest = codes.keys_A[-1] if len(codes) else 0
    first = int(np.searchsorted(cache.keys, newest, side="right"))
    if (find_rows(cache.keys[:first], codes.keys_A) < 0).any():
        return None
    if first < len(cache.keys):
        codes.add(cache.keys[first:], cache.vectors[first:], cache.scales[first:])
        with contextlib.suppress(OSError):  # the next process encodes them again
            save_tuned(store, header.tuned, cache.stamp, codes)
    return ApproximateEngine(codes, cache, header.tuned.effort)


@dataclass(frozen=True)
class _Header:
    stamp: CacheStamp
    tuned: TunedIndex
    num_codes: int
    checksum: str


def _load(store: IndexStore, unit: Unit, reader: IndexReader) -> tuple[_Header | None, Codes | None]:
    try:
        with find_tuned_file(store, unit).open("rb") as file:
            header = _read_header(file)
            if header is None or not header.num_codes or not _is_ours(header, store, unit, reader):
                return None, None
            # faiss trusts what it reads, so it reads what was written here, and nothing else.
            if hashlib.file_digest(file, "sha256").hexdigest() != header.checksum:
                return None, None
            file.seek(_HEADER_BYTES)
            keys_A: NDArray[np.int64] = np.frombuffer(file.read(8 * header.num_codes), dtype="<i8")
            return header, Codes.read(file, keys_A, store.info.dimension)
    except (OSError, ValueError):
        return None, None


def _is_ours(header: _Header, store: IndexStore, unit: Unit, reader: IndexReader) -> bool:
    stamp = header.stamp
    is_same = (stamp.identity, stamp.dimension) == (store.identity, store.info.dimension)
    return is_same and header.tuned.unit == unit and reader.has_been(stamp.generation, stamp.token)


def _read_header(file: BinaryIO) -> _Header | None:
    """Return the first line of a file, None when it is no such line; the file is left where it ends."""
    try:
        values: Any = json.loads(file.read(_HEADER_BYTES).rstrip(b"\0"))
        if values["format_version"] != FORMAT_VERSION:
            return None
        stamp = CacheStamp(**values["stamp"])
        tuned = config_from_dict(TunedIndex(), values["tuned"])
        header = _Header(stamp, tuned, values["num_codes"], values["checksum"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
    numbers = (stamp.dimension, header.num_codes, tuned.num_candidates, tuned.num_probes, tuned.top_k - 1)
    is_sound = all(type(number) is int and number >= 0 for number in numbers)
    return header if is_sound and type(header.checksum) is str else None


def _as_unit(name: str) -> Unit:
    return "video" if name == "video" else "clip"
