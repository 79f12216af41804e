import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.scan_samples import make_catalog
from tests.data.worker_jobs import media_row
from unreel.data.catalog_table import (
    CATALOG_SCHEMA,
    MediaRows,
    check_paths,
    hash_table,
    identify_video,
    is_catalog,
    join_columns,
    read_table,
    write_table,
)
from unreel.errors import CatalogError


def table_of(root: Path, **columns: list[str]) -> pa.Table:
    return make_catalog(["b.mp4", "a/c.mp4"], root, **columns).table


def set_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    place = CATALOG_SCHEMA.get_field_index(name)
    return table.set_column(
        place, CATALOG_SCHEMA.field(name), pa.array(values, CATALOG_SCHEMA.field(name).type)
    )


def test_an_id_is_a_digest_of_the_path() -> None:
    """The first eight bytes of BLAKE2b with that digest length, so ids never change between versions."""
    assert identify_video("a/ü.mp4") == hashlib.blake2b("a/ü.mp4".encode(), digest_size=8).hexdigest()
    assert len(identify_video("")) == 16


def test_rows_are_sorted_by_path_with_their_columns(tmp_path: Path) -> None:
    table = table_of(tmp_path, label=["of b", "of c"])
    assert table["path"].to_pylist() == ["a/c.mp4", "b.mp4"]
    assert table["label"].to_pylist() == ["of c", "of b"]
    assert table["id"].to_pylist() == [identify_video("a/c.mp4"), identify_video("b.mp4")]
    assert table["segments"].to_pylist() == [[], []]
    assert table.schema.equals(CATALOG_SCHEMA)


def test_no_rows_make_an_empty_table() -> None:
    empty: dict[str, list[object]] = {
        name: [] for name in ("path", "bytes", "mtime_ns", "label", "split", "group")
    }
    assert join_columns(empty, MediaRows().build()).num_rows == 0


def test_segments_follow_their_videos_when_rows_are_sorted(tmp_path: Path) -> None:
    segment = {"start_sec": 0.0, "end_sec": 0.1, "label": "x"}
    table = make_catalog(["b.mp4", "a.mp4"], tmp_path, segments=[[segment], []]).table
    assert table["path"].to_pylist() == ["a.mp4", "b.mp4"]
    assert table["segments"].to_pylist() == [[], [segment]]
    assert hash_table(table) != hash_table(make_catalog(["b.mp4", "a.mp4"], tmp_path).table)


def test_a_written_table_comes_back_with_its_root(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    write_table(tmp_path / "c.parquet", table, Path("/videos/\udce9"))  # a root may have any name
    loaded, root = read_table(tmp_path / "c.parquet")
    assert loaded.equals(table)
    assert root == Path("/videos/\udce9")
    assert is_catalog(tmp_path / "c.parquet")


def test_a_file_that_is_no_catalog_is_told_apart(tmp_path: Path) -> None:
    foreign, text = tmp_path / "foreign.parquet", tmp_path / "text.parquet"
    pq.write_table(pa.table({"path": ["a.mp4"]}), foreign)
    text.write_text("not Parquet")
    assert not is_catalog(foreign)
    assert not is_catalog(text)
    with pytest.raises(
        CatalogError, match=r"foreign\.parquet: is a Parquet file but not a catalog; make one with"
    ):
        read_table(foreign)
    with pytest.raises(CatalogError, match=r"text\.parquet: cannot be read as a catalog \(.*\); scan again"):
        read_table(text)
    with pytest.raises(CatalogError, match=r"gone\.parquet: there is no catalog; make one with `unreel scan"):
        read_table(tmp_path / "gone.parquet")


def test_half_a_catalog_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    write_table(path, table_of(tmp_path), tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CatalogError, match="cannot be read as a catalog"):
        read_table(path)


def test_another_version_or_other_columns_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(tmp_path)
    write_table(tmp_path / "columns.parquet", table.drop_columns(["codec"]), tmp_path)
    write_table(tmp_path / "empty.parquet", set_column(table, "label", ["x", None]), tmp_path)
    monkeypatch.setattr("unreel.data.catalog_table.SCHEMA_VERSION", 99)
    write_table(tmp_path / "version.parquet", table, tmp_path)
    monkeypatch.undo()
    with pytest.raises(
        CatalogError, match=r"catalog of version 99, this program reads version 1; scan again with --f"
    ):
        read_table(tmp_path / "version.parquet")
    with pytest.raises(CatalogError, match="columns are not those of a catalog"):
        read_table(tmp_path / "columns.parquet")
    with pytest.raises(CatalogError, match="has empty cells"):
        read_table(tmp_path / "empty.parquet")


@pytest.mark.parametrize("path", ["../a.mp4", "b/../../a.mp4", "..", "b/..", "..\\a.mp4", ""])
def test_paths_that_climb_out_of_the_folder_are_refused(path: str, tmp_path: Path) -> None:
    table = make_catalog(["b.mp4", path], tmp_path).table
    with pytest.raises(CatalogError, match=r"c\.parquet: 1 paths lead out of the catalog's folder, such as"):
        check_paths(table, Path("c.parquet"))


def test_dots_in_names_are_no_climb(tmp_path: Path) -> None:
    check_paths(make_catalog(["a..mp4", "..b/c.mp4", "d../e.mp4", "/far/away.mp4"], tmp_path).table, tmp_path)


def test_rows_gather_in_their_order_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.data.catalog_table._ROWS_PER_BATCH", 3)
    rows = MediaRows()
    for number in range(7):
        assert len(rows) == number
        rows.append(media_row(frames=number))
    assert rows.build()["frames"].to_pylist() == list(range(7))
    rows.append(media_row(frames=7))
    assert rows.build()["frames"].to_pylist() == list(range(8))


def test_a_row_without_a_column_is_refused() -> None:
    row = media_row()
    del row["codec"], row["fps"]
    with pytest.raises(ValueError, match=r"lacks \['fps', 'codec'\]"):
        MediaRows().append(row)


def test_the_fingerprint_ignores_time_notes_and_chunks(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    plain = hash_table(table)
    touched = set_column(set_column(table, "mtime_ns", [1, 2]), "note", ["x", ""])
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert hash_table(touched) == hash_table(chunked) == hash_table(table.slice(0)) == plain
    assert hash_table(table.take([0, 1])) == plain


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("path", ["a/c.mp4", "c.mp4"]),
        ("label", ["", "x"]),
        ("label", ["x", ""]),
        ("split", ["test", ""]),
        ("frames", [4, 5]),
        ("bytes", [1000, 1001]),
        ("fps", [25.0, np.nextafter(25.0, 26.0)]),
        ("is_variable_frame_rate", [True, False]),
        ("key_frames", [[0], [0, 2]]),
        ("key_frames", [[0, 0], []]),
        ("frame_pts", [[], [0, 512, 1024, 1536]]),
        ("segments", [[], [{"start_sec": 0.0, "end_sec": 1.0, "label": "x"}]]),
    ],
)
def test_the_fingerprint_sees_what_matters(name: str, values: list[object], tmp_path: Path) -> None:
    table = table_of(tmp_path)
    assert hash_table(set_column(table, name, values)) != hash_table(table)


def test_the_fingerprint_sees_the_order(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    assert hash_table(table.take([1, 0])) != hash_table(table)
    assert hash_table(table.slice(0, 0)) != hash_table(table.slice(0, 1))
