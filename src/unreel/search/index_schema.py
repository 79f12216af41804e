"""The file of an index: one SQLite database, and how it is opened, checked and read or written as a whole."""

import glob
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from unreel.errors import SearchError
from unreel.search.index_info import IndexInfo

Unit = Literal["video", "clip"]
"""What a vector stands for: a whole video, by the mean of its clips, or one clip."""

UNITS: tuple[Unit, ...] = ("video", "clip")

FORMAT_VERSION = 1
_APPLICATION_ID = 0x756E7265
_SECONDS_TO_WAIT = 60.0
_SUFFIXES = ("", "-wal", "-shm")
_KEPT_REMOVALS = 1_000_000
"""So many notes of removed keys stay; caches and mirrors that were made before them are made anew."""
_NEW_TOKEN = "hex(randomblob(8))"
# Every change leaves a number and a word of chance, by which copies are told apart that grew in two ways.
# Vectors have a table of their own: a search by label should not read past a gigabyte of numbers.
_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (generation INTEGER PRIMARY KEY, token TEXT NOT NULL);
CREATE TABLE videos (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,
    seconds REAL NOT NULL,
    label TEXT NOT NULL,
    split TEXT NOT NULL,
    group_name TEXT NOT NULL,
    num_bytes INTEGER,
    mtime_ns INTEGER,
    num_clips INTEGER NOT NULL
);
CREATE INDEX videos_by_path ON videos (path);
CREATE INDEX videos_by_label ON videos (label);
CREATE TABLE clips (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    video_key INTEGER NOT NULL REFERENCES videos (key) ON DELETE CASCADE,
    clip_index INTEGER NOT NULL,
    frame_index INTEGER NOT NULL,
    start_sec REAL NOT NULL,
    end_sec REAL NOT NULL
);
CREATE INDEX clips_by_video ON clips (video_key);
CREATE TABLE video_vectors (
    key INTEGER PRIMARY KEY REFERENCES videos (key) ON DELETE CASCADE, vector BLOB NOT NULL
);
CREATE TABLE clip_vectors (
    key INTEGER PRIMARY KEY REFERENCES clips (key) ON DELETE CASCADE, vector BLOB NOT NULL
);
CREATE TABLE removals (number INTEGER PRIMARY KEY AUTOINCREMENT, unit TEXT NOT NULL, key INTEGER NOT NULL);
CREATE TRIGGER video_is_removed AFTER DELETE ON videos
    BEGIN INSERT INTO removals (unit, key) VALUES ('video', old.key); END;
CREATE TRIGGER clip_is_removed AFTER DELETE ON clips
    BEGIN INSERT INTO removals (unit, key) VALUES ('clip', old.key); END;
CREATE TABLE rejected (
    id TEXT PRIMARY KEY, path TEXT NOT NULL, reason TEXT NOT NULL, num_bytes INTEGER, mtime_ns INTEGER
) WITHOUT ROWID;
"""


def create_file(path: Path, info: IndexInfo) -> None:
    """Write an index without videos; two processes at once make one.

    Raises:
        SearchError: there is a file already, or it cannot be written.
    """
    if path.exists():
        raise SearchError(f"{path} exists already; add to it, or give another path")
    identity = uuid.uuid4().hex
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{identity}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        with _explain(path), closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            # Pages so large that several vectors fit; WAL lets others read while one writes.
            connection.execute("PRAGMA page_size = 32768")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            connection.executescript(f"BEGIN; {_SCHEMA}")
            rows = [("info", info.to_json()), ("identity", identity)]
            connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)
            connection.execute(f"INSERT INTO changes VALUES (0, {_NEW_TOKEN})")
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        _name_file(temporary, path)
    except OSError as error:
        raise SearchError(f"{path} cannot be written ({error}); give a path where you may write") from error
    finally:
        for suffix in _SUFFIXES:
            with suppress(OSError):
                temporary.with_name(temporary.name + suffix).unlink()


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed have left of making this index."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp*"):
        owner = left.name.removeprefix(f".{path.name}.").partition(".")[0]
        if owner.isdecimal() and not _is_running(int(owner)):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _name_file(temporary: Path, path: Path) -> None:
    # What an index that was deleted has left behind would be taken for the latest changes of this one.
    for suffix in _SUFFIXES[1:]:
        if not path.exists():
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise SearchError(f"{path} was made by another process just now; run the command again") from None
    except OSError:
        # Some file systems, such as those of memory cards, know no links.
        os.rename(temporary, path)


def read_settings(path: Path) -> tuple[IndexInfo, str]:
    """Read what the vectors of an index were made by, and what tells it from any other index.

    Raises:
        SearchError: the file is missing, damaged, no index, or of another version.
    """
    with connect(path) as connection:
        values = dict(connection.execute("SELECT name, value FROM settings"))
    try:
        return IndexInfo.from_json(values["info"]), str(values["identity"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SearchError(f"{path} has settings that are damaged: {error}; make the index again") from error


@contextmanager
def connect(path: Path, identity: str = "") -> Iterator[sqlite3.Connection]:
    """Open an index and see it as it is now until the block ends, whatever others write meanwhile.

    Args:
        path: of the index.
        identity: that it must have; "" for any.

    Raises:
        SearchError: the file is missing, damaged, no index, of another version, or another index.
    """
    with _open(path) as connection:
        connection.execute("BEGIN")
        _check_identity(connection, path, identity)
        yield connection
        connection.execute("ROLLBACK")


@contextmanager
def transaction(path: Path, identity: str = "") -> Iterator[sqlite3.Connection]:
    """Change an index: all of the block or, when it raises or the process dies, nothing.

    Args:
        path: of the index.
        identity: that it must have; "" for any.

    Raises:
        SearchError: the file cannot be opened or written, or is another index.
    """
    with _open(path) as connection:
        # Ids come in any order: with SQLite's own 2 MB, pages of their index are written again and again.
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _check_identity(connection, path, identity)
            before = connection.total_changes
            yield connection
            if connection.total_changes > before:
                connection.execute(f"INSERT INTO changes (token) VALUES ({_NEW_TOKEN})")
                last = "(SELECT seq FROM sqlite_sequence WHERE name = 'removals')"
                connection.execute(f"DELETE FROM removals WHERE number <= {last} - {_KEPT_REMOVALS}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise SearchError(f"the index {path} {reason}; give the file that `unreel index` wrote")
    # The mode keeps SQLite from making an empty file where one has just been removed.
    address = f"{path.absolute().as_uri()}?mode=rw"
    with (
        _explain(path),
        closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=_SECONDS_TO_WAIT)) as opened,
    ):
        _check_format(opened, path)
        opened.execute("PRAGMA foreign_keys = ON")
        # A killed process loses nothing; after a power cut the last transactions may be missing, whole.
        opened.execute("PRAGMA synchronous = NORMAL")
        yield opened


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION_ID:
        raise SearchError(f"{path} is a database but no index; give the file that `unreel index` wrote")
    if version != FORMAT_VERSION:
        raise SearchError(
            f"{path} has format version {version} and this version of unreel reads {FORMAT_VERSION}; make "
            "the index again"
        )


def _check_identity(connection: sqlite3.Connection, path: Path, identity: str) -> None:
    # The first question of a transaction: from here on all answers are of this moment.
    found = connection.execute("SELECT value FROM settings WHERE name = 'identity'").fetchone()
    if identity and found != (identity,):
        raise SearchError(f"{path} has been replaced by another index; open it again")


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            reason = f"is being written by another process for more than {_SECONDS_TO_WAIT:g} s; try again"
            raise SearchError(f"{path} {reason}") from error
        if isinstance(error, sqlite3.OperationalError):
            reason = "see whether its folder can be written and the disk has room"
            raise SearchError(f"{path} cannot be used: {error}; {reason}") from error
        raise SearchError(f"{path} is no index, or damaged: {error}; make the index again") from error
