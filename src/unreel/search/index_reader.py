"""Questions to an index, all answered from one moment of it."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.errors import SearchError
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import IndexedClip, IndexedVideo, RejectedVideo
from unreel.search.index_schema import Unit

# K keys, N vectors of a video, D features

_BLOCK_BYTES = 2**24
_VIDEO_COLUMNS = "videos.key, id, path, seconds, label, split, group_name, num_bytes, mtime_ns, num_clips"
_COLUMNS_WITH_COUNTS = {"label": "label", "split": "split", "group": "group_name"}
_MAX_VALUES = 10_000
"""Values in one statement; SQLite takes 32,766."""
_KEPT_ANSWERS = 8
_ANSWERS: OrderedDict[tuple[str, str, str], list[Any]] = OrderedDict()
"""What was asked of all videos, by the state of the index: a page asks it every time, a million are slow."""
_LOCK = threading.Lock()


class IndexReader:
    """An index as it was when this reader was made.

    Args:
        connection: inside a transaction.
        info: of the index.
        path: of the index, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, info: IndexInfo, path: Path) -> None:
        self._connection = connection
        self._info = info
        self._path = path

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._number("SELECT MAX(generation) FROM changes")

    @property
    def token(self) -> str:
        """Of chance, made with the generation: copies of an index that grew in two ways differ in it."""
        return str(self._all("SELECT token FROM changes ORDER BY generation DESC LIMIT 1")[0][0])

    def has_been(self, generation: int, token: str) -> bool:
        """Say whether the index is, or was once, in some state."""
        return bool(self._all("SELECT 1 FROM changes WHERE generation = ? AND token = ?", generation, token))

    @property
    def identity(self) -> str:
        """Tells this index from any other, at the same path too."""
        return str(self._all("SELECT value FROM settings WHERE name = 'identity'")[0][0])

    def count_keys(self, unit: Unit, after_key: int = 0) -> int:
        """Return the number of vectors of a unit, or of those with larger keys."""
        condition = f" WHERE key > {int(after_key)}" if after_key else ""
        return self._number(f"SELECT COUNT(*) FROM {unit}s{condition}")

    def last_key(self, unit: Unit) -> int:
        """Return the largest key that was ever given, 0 for none."""
        return self._number("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = ?", f"{unit}s")

    def last_removal(self) -> int:
        """Return the number of the latest removal, 0 for none."""
        return self._number("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'removals'")

    def removed_since(self, unit: Unit, removal: int) -> NDArray[np.int64] | None:
        """Return the keys that were removed after a removal, ascending; None when that is forgotten."""
        is_known = self._number("SELECT EXISTS (SELECT 1 FROM removals WHERE number = ?)", removal + 1)
        if removal < self.last_removal() and not is_known:
            return None
        rows = self._all("SELECT key FROM removals WHERE number > ? AND unit = ? ORDER BY key", removal, unit)
        return np.array(rows, dtype=np.int64).reshape(-1)

    def stamps(self) -> dict[str, tuple[int | None, int | None]]:
        """Return size and time of writing of every video's file, by id."""
        rows = self._all("SELECT id, num_bytes, mtime_ns FROM videos")
        return {video_id: (num_bytes, mtime_ns) for video_id, num_bytes, mtime_ns in rows}

    def rejected(self) -> dict[str, RejectedVideo]:
        """Return the videos that could not be embedded, by id."""
        rows = self._all("SELECT id, path, reason, num_bytes, mtime_ns FROM rejected ORDER BY path")
        return {row[0]: RejectedVideo(*row) for row in rows}

    def video(self, video_id: str) -> IndexedVideo | None:
        """Return a video, None when the index has none of this id."""
        rows = self._all(f"SELECT {_VIDEO_COLUMNS} FROM videos WHERE id = ?", video_id)
        return self._build_video(rows[0]) if rows else None

    def find_path(self, path: str) -> str | None:
        """Return the id of the video of this path in the catalog, None when there is none."""
        rows = self._all("SELECT id FROM videos WHERE path = ?", path)
        return str(rows[0][0]) if rows else None

    def clips(self, video_id: str) -> list[IndexedClip]:
        """Return the places of a video's vectors, in order of time; none when there is no such video."""
        rows = self._all(
            "SELECT clips.key, clip_index, frame_index, start_sec, end_sec FROM clips JOIN videos "
            "ON videos.key = clips.video_key WHERE videos.id = ? ORDER BY start_sec, clips.key",
            video_id,
        )
        return [IndexedClip(*row) for row in rows]

    def iterate_paths(self) -> Generator[tuple[int, str, str], None, None]:
        """Yield key, id and path of every video, in the order of the paths, without keeping them."""
        yield from self._connection.execute("SELECT key, id, path FROM videos ORDER BY path, key")

    def find_videos(
        self,
        wanted: Filter = NO_FILTER,
        *,
        offset: int = 0,
        limit: int = -1,
    ) -> list[IndexedVideo]:
        """Return videos in the order of their paths.

        Args:
            wanted: which videos.
            offset: how many of them are left out at the start.
            limit: how many are returned at most; -1 is all.
        """
        condition, values = wanted.to_sql()
        rows = self._all(
            f"SELECT {_VIDEO_COLUMNS} FROM videos WHERE {condition} ORDER BY path, key LIMIT ? OFFSET ?",
            *values,
            limit,
            offset,
        )
        return [self._build_video(row) for row in rows]

    def count_videos(self, wanted: Filter = NO_FILTER) -> int:
        """Return how many videos pass a filter."""
        condition, values = wanted.to_sql()
        return self._number(f"SELECT COUNT(*) FROM videos WHERE {condition}", *values)

    def count_values(self, column: str) -> dict[str, int]:
        """Return how many videos have each value of a column, in the order of the values.

        Args:
            column: ``label``, ``split`` or ``group``.
        """
        name = _COLUMNS_WITH_COUNTS[column]
        return dict(self._once(f"SELECT {name}, COUNT(*) FROM videos GROUP BY {name} ORDER BY {name}"))

    def longest_sec(self) -> float:
        """Return the length of the longest video, 0 without any."""
        return float(self._once("SELECT COALESCE(MAX(seconds), 0) FROM videos")[0][0])

    def total_sec(self) -> float:
        """Return the length of all videos together."""
        return float(self._once("SELECT TOTAL(seconds) FROM videos")[0][0])

    def select_keys(self, unit: Unit, wanted: Filter) -> NDArray[np.int64]:
        """Return the keys whose videos pass a filter, ascending."""
        condition, values = wanted.to_sql()
        joined = "" if unit == "video" else " JOIN clips ON clips.video_key = videos.key"
        rows = self._all(f"SELECT {unit}s.key FROM videos{joined} WHERE {condition}", *values)
        return np.sort(np.array(rows, dtype=np.int64).reshape(-1))

    def keys_of(self, unit: Unit, video_id: str) -> NDArray[np.int64]:
        """Return the keys of one video, ascending; none when there is no such video."""
        joined = "" if unit == "video" else " JOIN clips ON clips.video_key = videos.key"
        rows = self._all(f"SELECT {unit}s.key FROM videos{joined} WHERE videos.id = ?", video_id)
        return np.sort(np.array(rows, dtype=np.int64).reshape(-1))

    def iterate_vectors(
        self, unit: Unit, after_key: int = 0
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield keys and vectors, some megabytes at a time, by ascending key.

        Raises:
            SearchError: a vector is damaged.
        """
        rows_per_block = max(1, _BLOCK_BYTES // (4 * max(1, self._info.dimension)))
        cursor = self._connection.execute(
            f"SELECT key, vector FROM {unit}_vectors WHERE key > ? ORDER BY key", (after_key,)
        )
        while rows := cursor.fetchmany(rows_per_block):
            yield np.array([row[0] for row in rows], dtype=np.int64), self._stack([row[1] for row in rows])

    def vectors(self, unit: Unit, keys_K: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of some keys, in their order.

        Raises:
            SearchError: a key has no vector, or a vector is damaged.
        """
        found: dict[int, bytes] = {}
        for rows in self._in_parts(f"SELECT key, vector FROM {unit}_vectors WHERE key IN", keys_K):
            found.update(rows)
        if missing := [int(key) for key in keys_K if int(key) not in found]:
            raise SearchError(f"{self._path} has no vector of {unit} {missing[0]}; make the index again")
        return self._stack([found[int(key)] for key in keys_K])

    def locate(
        self, unit: Unit, keys_K: Sequence[int] | NDArray[np.int64]
    ) -> dict[int, tuple[IndexedVideo, float, float]]:
        """Return, by key, the video and the stretch of time that a vector stands for."""
        if unit == "video":
            select = f"SELECT {_VIDEO_COLUMNS}, 0.0, seconds, key FROM videos WHERE key IN"
        else:
            select = (
                f"SELECT {_VIDEO_COLUMNS}, start_sec, end_sec, clips.key FROM clips "
                "JOIN videos ON videos.key = clips.video_key WHERE clips.key IN"
            )
        return {
            row[-1]: (self._build_video(row[:-3]), row[-3], row[-2])
            for rows in self._in_parts(select, keys_K)
            for row in rows
        }

    def _in_parts(self, select: str, keys_K: Sequence[int] | NDArray[np.int64]) -> Iterator[list[Any]]:
        for start in range(0, len(keys_K), _MAX_VALUES):
            part = [int(key) for key in keys_K[start : start + _MAX_VALUES]]
            yield self._all(f"{select} ({', '.join('?' * len(part))})", *part)

    def _stack(self, blobs: Sequence[bytes]) -> NDArray[np.float32]:
        size = 4 * self._info.dimension
        if any(type(blob) is not bytes or len(blob) != size for blob in blobs):
            raise SearchError(f"{self._path} holds vectors that are not {size} bytes; make the index again")
        rows = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), self._info.dimension)
        if not np.isfinite(rows).all():
            raise SearchError(f"{self._path} holds damaged vectors (NaN or infinity); make the index again")
        return rows.astype(np.float32, copy=False)

    def _build_video(self, row: Sequence[Any]) -> IndexedVideo:
        key, video_id, path, *others = row
        return IndexedVideo(key, video_id, path, Path(self._info.root, path), *others)

    def _all(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except UnicodeEncodeError as error:
            raise SearchError(f"{self._path} holds texts in UTF-8, and {error.object!r} is none") from error

    def _once(self, statement: str) -> list[Any]:
        """Return what a statement about all videos finds; asked again, it is not read again."""
        state = (self.identity, self.token, statement)
        with _LOCK:
            known = _ANSWERS.get(state)
        if known is not None:
            return known
        found = self._all(statement)
        with _LOCK:
            _ANSWERS[state] = found
            while len(_ANSWERS) > _KEPT_ANSWERS:
                _ANSWERS.popitem(last=False)
        return found

    def _number(self, statement: str, *values: object) -> int:
        return int(self._all(statement, *values)[0][0])
