"""An index of videos as one file: the truth about what is in it."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np

from unreel.errors import SearchError
from unreel.search.index_info import IndexInfo
from unreel.search.index_reader import IndexReader
from unreel.search.index_rows import NewVideo, RejectedVideo
from unreel.search.index_schema import connect, create_file, read_settings, transaction

# N vectors of a video, D features


class IndexStore:
    """The file of an index: ids, times, metadata and vectors.

    A change is in the file as a whole or not at all, whenever the process is killed. Any number of processes
    and threads may read while one writes.

    Attributes:
        path: of the file.
        info: what its vectors were made by.
        identity: tells this index from any other, at the same path too.
        cache_folder: beside the file; what lies in it can be made again from the file at any time.
    """

    def __init__(self, path: Path, info: IndexInfo, identity: str) -> None:
        self.path = path
        self.info = info
        self.identity = identity
        self.cache_folder = path.with_name(f"{path.name}.cache")

    @classmethod
    def create(cls, path: Path, info: IndexInfo) -> Self:
        """Make an index without videos.

        Raises:
            SearchError: there is a file already, or it cannot be written.
        """
        create_file(Path(path), info)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an index that is there.

        Raises:
            SearchError: the file is missing, damaged, no index, or of another version.
        """
        return cls(Path(path), *read_settings(Path(path)))

    @contextmanager
    def read(self) -> Iterator[IndexReader]:
        """Look into the index; all answers are of the moment at which the block began.

        Raises:
            SearchError: the file is gone or damaged, or is another index now.
        """
        with connect(self.path, self.identity) as connection:
            yield IndexReader(connection, self.info, self.path)

    def add(self, videos: Sequence[NewVideo]) -> None:
        """Put videos in, in one step; one whose id is there already is replaced, and so is its rejection.

        Of several videos of one id the last one counts.

        Raises:
            SearchError: the file cannot be written, or is another index now.
            ValueError: a video has no vector, or vectors of another length or with NaN or infinity.
        """
        for video in videos:
            self._check(video)
        with self._change() as connection:
            _delete(connection, "rejected", [video.id for video in videos])
            for video in videos:
                _delete(connection, "videos", [video.id])
                _insert(connection, video)

    def reject(self, videos: Sequence[RejectedVideo]) -> None:
        """Note why videos could not be embedded, in one step; what is in the index of them is removed."""
        with self._change() as connection:
            _delete(connection, "videos", [video.id for video in videos])
            rows = [(video.id, video.path, video.reason, video.num_bytes, video.mtime_ns) for video in videos]
            connection.executemany("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?, ?, ?)", rows)

    def remove(self, video_ids: Iterable[str]) -> int:
        """Take videos and rejections out, in one step; return how many videos were there."""
        ids = list(video_ids)
        with self._change() as connection:
            removed = _delete(connection, "videos", ids)
            _delete(connection, "rejected", ids)
        return removed

    def update_metadata(self, rows: Iterable[tuple[str, str, str, str]]) -> int:
        """Set label, split and group of videos where they differ, in one step.

        Args:
            rows: id, label, split and group of each.

        Returns:
            How many videos were changed.
        """
        statement = (
            "UPDATE videos SET label = ?2, split = ?3, group_name = ?4 "
            "WHERE id = ?1 AND (label <> ?2 OR split <> ?3 OR group_name <> ?4)"
        )
        with self._change() as connection:
            return connection.executemany(statement, rows).rowcount

    def set_files(self, files: Mapping[str, tuple[float, int | None, int | None]]) -> None:
        """Note length in seconds, size and time of writing of videos' files, by id, in one step."""
        statement = (
            "UPDATE videos SET seconds = ?2, num_bytes = ?3, mtime_ns = ?4 "
            "WHERE id = ?1 AND (seconds <> ?2 OR num_bytes IS NOT ?3 OR mtime_ns IS NOT ?4)"
        )
        with self._change() as connection:
            connection.executemany(statement, ((video_id, *file) for video_id, file in files.items()))

    def set_encoder_folder(self, folder: str) -> None:
        """Note where the encoder is now."""
        self._set_info(replace(self.info, encoder_folder=folder))

    def set_root(self, root: Path) -> None:
        """Note that the videos lie in another folder now, by the same paths.

        Raises:
            SearchError: the folder does not hold a single one of them, or the file cannot be written.
        """
        with self.read() as reader, closing(reader.iterate_paths()) as names:
            paths = (path for _, _, path in names)
            first = next(paths, None)
            if first is not None and not any((root / path).is_file() for path in chain([first], paths)):
                raise SearchError(
                    f"{root} holds none of the {reader.count_keys('video')} videos of {self.path}, such as "
                    f"{first}; give the folder that took the place of {self.info.root}"
                )
        self._set_info(replace(self.info, root=str(root.absolute())))

    def _set_info(self, info: IndexInfo) -> None:
        with self._change() as connection:
            connection.execute("UPDATE settings SET value = ? WHERE name = 'info'", (info.to_json(),))
        self.info = info

    def _change(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self.path, self.identity)

    def _check(self, video: NewVideo) -> None:
        shape = video.vectors_ND.shape
        if len(shape) != 2 or not shape[0] or shape[1] != self.info.dimension:
            raise ValueError(
                f"video {video.path!r} needs vectors of {self.info.dimension} numbers, one at least, got "
                f"shape {shape}"
            )
        if not np.isfinite(video.vectors_ND).all():
            raise ValueError(f"video {video.path!r} has a vector with NaN or infinity; embed it again")


def _delete(connection: sqlite3.Connection, table: str, ids: Sequence[str]) -> int:
    """Return how many rows of the table itself went."""
    statement = f"DELETE FROM {table} WHERE id = ?"
    return connection.executemany(statement, [(video_id,) for video_id in ids]).rowcount if ids else 0


def _insert(connection: sqlite3.Connection, video: NewVideo) -> None:
    count = len(video.vectors_ND)
    vectors = np.ascontiguousarray(video.vectors_ND, dtype="<f4")
    cursor = connection.execute(
        "INSERT INTO videos (id, path, seconds, label, split, group_name, num_bytes, mtime_ns, num_clips) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            video.id,
            video.path,
            float(video.seconds),
            video.label,
            video.split,
            video.group,
            video.num_bytes,
            video.mtime_ns,
            count,
        ),
    )
    video_key = cursor.lastrowid
    mean_D = vectors.mean(axis=0, dtype=np.float64).astype("<f4")
    connection.execute("INSERT INTO video_vectors VALUES (?, ?)", (video_key, mean_D.tobytes()))
    places = zip(
        video.clip_index_N.tolist(),
        video.frame_index_N.tolist(),
        video.start_sec_N.tolist(),
        video.end_sec_N.tolist(),
        strict=True,
    )
    for place, vector_D in zip(places, vectors, strict=True):
        cursor = connection.execute(
            "INSERT INTO clips (video_key, clip_index, frame_index, start_sec, end_sec) "
            "VALUES (?, ?, ?, ?, ?)",
            (video_key, *place),
        )
        connection.execute("INSERT INTO clip_vectors VALUES (?, ?)", (cursor.lastrowid, vector_D.tobytes()))
