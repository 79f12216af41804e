import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.search.small_indexes import build_store, build_video, list_ids
from unreel.errors import SearchError
from unreel.search import index_schema
from unreel.search.index_info import IndexInfo
from unreel.search.index_schema import connect, create_file, read_settings, transaction

INFO = IndexInfo(encoder_hash="a", encoder="tiny", dimension=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_file(tmp_path / "v.index", INFO)
    return tmp_path / "v.index"


def execute(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Ask or change an index behind its back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def test_a_new_index_is_one_file_with_its_settings(path: Path) -> None:
    info, identity = read_settings(path)
    assert info == INFO
    assert len(identity) == 32
    assert [file.name for file in path.parent.iterdir()] == ["v.index"]
    assert execute(path, "PRAGMA journal_mode") == [("wal",)]
    assert execute(path, "PRAGMA page_size") == [(32768,)]
    assert execute(path, "SELECT COUNT(*) FROM videos") == [(0,)]


def test_no_two_indexes_have_one_identity(path: Path, tmp_path: Path) -> None:
    create_file(tmp_path / "w.index", INFO)
    assert read_settings(path)[1] != read_settings(tmp_path / "w.index")[1]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    create_file(tmp_path / "a" / "b" / "v.index", INFO)
    assert read_settings(tmp_path / "a" / "b" / "v.index")[0] == INFO


@pytest.mark.parametrize("name", ["50% off?.index", "#1 & más.index", "a'b\".index", "spaced name"])
def test_odd_names_are_files_like_any_other(tmp_path: Path, name: str) -> None:
    create_file(tmp_path / name, INFO)
    assert read_settings(tmp_path / name)[0] == INFO
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_what_is_there_is_not_overwritten(path: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for taken in (path, tmp_path / "notes", tmp_path):
        with pytest.raises(SearchError, match=f"{taken} exists already; add to it, or give another path"):
            create_file(taken, INFO)
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_path_below_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match=r"file/v\.index cannot be written \(.*give a path where you may"):
        create_file(tmp_path / "file" / "v.index", INFO)


def test_of_many_that_make_an_index_at_once_one_succeeds(tmp_path: Path) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        try:
            create_file(tmp_path / "v.index", INFO)
            outcomes.append("made")
        except SearchError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("made") == 1
    others = [outcome for outcome in outcomes if outcome != "made"]
    assert all("exists already" in text or "by another process just now" in text for text in others)
    assert [file.name for file in tmp_path.iterdir()] == ["v.index"]


def test_a_file_system_without_links_does_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    create_file(tmp_path / "v.index", INFO)
    assert read_settings(tmp_path / "v.index")[0] == INFO
    assert [file.name for file in tmp_path.iterdir()] == ["v.index"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_schema, "_SCHEMA", "CREATE TABLE nonsense")
    with pytest.raises(SearchError, match=r"v\.index cannot be used: "):
        create_file(tmp_path / "v.index", INFO)
    assert list(tmp_path.iterdir()) == []


def test_the_log_of_a_deleted_index_does_not_get_into_a_new_one(tmp_path: Path) -> None:
    """A process that was killed leaves a log; SQLite would take it for the latest changes of the new file."""
    path, log = tmp_path / "v.index", tmp_path / "v.index-wal"
    store = build_store(path)
    with closing(sqlite3.connect(path)) as holder:  # while one is open, the log is not cleared away
        holder.execute("SELECT * FROM videos").fetchall()
        store.add([build_video("old", [[1, 0]])])
        shutil.copy(log, tmp_path / "log")
    for file in tmp_path.glob("v.index*"):
        file.unlink()
    shutil.copy(tmp_path / "log", log)
    store = build_store(path, dimension=3)
    assert list_ids(store) == []
    store.add([build_video("new", [[1, 0, 0]])])
    assert list_ids(store) == ["new"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no database at all, but long enough to look like one" * 9, "is no index, or damaged: file is not"),
        (b"", "is a database but no index"),
        (None, "does not exist; give the file that `unreel index` wrote"),
    ],
)
def test_what_is_no_index_is_refused_by_name(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "v.index"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SearchError, match=rf"v\.index {message}"):
        read_settings(path)
    assert path.exists() == (content is not None)


def test_a_folder_and_a_foreign_database_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is a folder; give the file"):
        read_settings(tmp_path)
    execute(tmp_path / "db", "CREATE TABLE videos (key)")
    with pytest.raises(SearchError, match="is a database but no index"):
        read_settings(tmp_path / "db")


def test_another_version_is_refused(path: Path) -> None:
    execute(path, "PRAGMA user_version = 7")
    with pytest.raises(SearchError, match="has format version 7 and this version of unreel reads 1"):
        read_settings(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM settings WHERE name = 'info'",
        "DELETE FROM settings WHERE name = 'identity'",
        "UPDATE settings SET value = '{}' WHERE name = 'info'",
        "UPDATE settings SET value = 'no JSON' WHERE name = 'info'",
        "UPDATE settings SET value = x'ff00' WHERE name = 'info'",
    ],
)
def test_damaged_settings_are_named(path: Path, statement: str) -> None:
    execute(path, statement)
    with pytest.raises(SearchError, match=r"has settings that are damaged: .*; make the index again"):
        read_settings(path)


def test_a_truncated_index_is_named(tmp_path: Path) -> None:
    store = build_store(
        tmp_path / "v.index", [build_video(str(number), np.ones((9, 2))) for number in range(99)]
    )
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: len(whole) // 2])
    with (
        pytest.raises(SearchError, match=r"v\.index is no index, or damaged: .*; make the index again"),
        store.read() as reader,
    ):
        list(reader.iterate_vectors("clip"))


def count_changes(path: Path) -> int:
    return len(execute(path, "SELECT * FROM changes"))


def test_a_change_is_counted_when_something_changed(path: Path) -> None:
    assert count_changes(path) == 1
    with transaction(path) as connection:
        connection.execute("INSERT INTO rejected VALUES ('a', 'a.mp4', 'broken', 1, 2)")
    assert count_changes(path) == 2
    with transaction(path) as connection:
        connection.execute("DELETE FROM rejected WHERE id = 'b'")
    assert count_changes(path) == 2
    tokens = [row[1] for row in execute(path, "SELECT * FROM changes")]
    assert len({*tokens}) == 2


def test_a_change_that_fails_is_none(path: Path) -> None:
    def fail() -> None:
        with transaction(path) as connection:
            connection.execute("INSERT INTO rejected VALUES ('a', 'a.mp4', 'broken', 1, 2)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert execute(path, "SELECT * FROM rejected") == []
    assert count_changes(path) == 1


def test_a_reader_sees_the_moment_at_which_its_block_began(path: Path) -> None:
    with connect(path) as connection:
        with transaction(path) as writer:
            writer.execute("INSERT INTO rejected VALUES ('a', 'a.mp4', 'broken', 1, 2)")
        assert connection.execute("SELECT * FROM rejected").fetchall() == []
    with connect(path) as connection:
        assert len(connection.execute("SELECT * FROM rejected").fetchall()) == 1


def test_a_second_writer_waits_and_says_so_at_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_schema, "_SECONDS_TO_WAIT", 0.05)
    message = r"v\.index is being written by another process for more than 0\.05 s; try again"
    with transaction(path), pytest.raises(SearchError, match=message), transaction(path):
        pass


def test_an_index_at_the_place_of_another_is_not_taken_for_it(path: Path) -> None:
    _, identity = read_settings(path)
    with connect(path, identity), transaction(path, identity):
        pass
    path.unlink()
    create_file(path, INFO)
    message = r"v\.index has been replaced by another index; open it again"
    with pytest.raises(SearchError, match=message), connect(path, identity):
        pass
    with pytest.raises(SearchError, match=message), transaction(path, identity):
        pass


def test_a_deleted_index_is_not_made_anew_by_opening_it(path: Path) -> None:
    path.unlink()
    with pytest.raises(SearchError, match="does not exist"), transaction(path):
        pass
    assert not path.exists()
