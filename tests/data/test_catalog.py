import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.data.scan_samples import make_catalog
from unreel.data.catalog import Catalog, CatalogMotion, Segment
from unreel.data.catalog_table import identify_video, write_table
from unreel.errors import CatalogError

PATHS = ["a/0.mp4", "a/1.mp4", "b/2.mp4", "b/3.mp4"]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return make_catalog(
        PATHS,
        tmp_path,
        label=["jump", "run", "jump", ""],
        split=["train", "test", "train", ""],
        group=["x", "", "y", "y"],
    )


def test_a_saved_catalog_comes_back(catalog: Catalog, tmp_path: Path) -> None:
    catalog.save(tmp_path / "c.parquet")
    loaded = Catalog.load(tmp_path / "c.parquet")
    assert loaded.table.equals(catalog.table)
    assert (loaded.root, loaded.hash, len(loaded)) == (tmp_path, catalog.hash, 4)


def test_a_row_becomes_a_video(catalog: Catalog, tmp_path: Path) -> None:
    video = catalog.video(2)
    assert video.id == identify_video("b/2.mp4") == catalog.ids[2]
    assert video.path == tmp_path / "b" / "2.mp4"
    assert (video.label, video.split, video.group) == ("jump", "train", "y")
    assert (video.frames, video.seconds, video.fps) == (4, 0.16, 25.0)
    assert (video.height, video.width, video.rotation) == (16, 24, 0)
    assert (video.codec, video.container, video.note, video.num_bytes) == ("h264", "mp4", "", 1000)
    assert not video.is_variable_frame_rate
    assert video.segments == ()
    assert video.index.pts.tolist() == [0, 512, 1024, 1536]
    assert (video.index.key_frames.tolist(), video.index.time_base) == ([0], (1, 12800))


def test_segments_become_objects(catalog: Catalog, tmp_path: Path) -> None:
    place = catalog.table.schema.get_field_index("segments")
    segments = [[{"start_sec": 0.0, "end_sec": 0.5, "label": "open"}], [], [], []]
    column = pa.array(segments, catalog.table.schema.field(place).type)
    labelled = Catalog(catalog.table.set_column(place, "segments", column), tmp_path)
    assert labelled.video(0).segments == (Segment(0.0, 0.5, "open"),)
    labelled.save(tmp_path / "c.parquet")
    assert Catalog.load(tmp_path / "c.parquet").video(0).segments == (Segment(0.0, 0.5, "open"),)


def test_absolute_paths_stay_where_they_are(tmp_path: Path) -> None:
    catalog = make_catalog(["/far/away.mp4"], tmp_path)
    assert catalog.video(0).path == Path("/far/away.mp4")


def test_a_catalog_follows_a_folder_that_was_moved(catalog: Catalog, tmp_path: Path) -> None:
    catalog.save(tmp_path / "c.parquet")
    moved = tmp_path / "moved"
    moved.mkdir()
    loaded = Catalog.load(tmp_path / "c.parquet", root=moved)
    assert loaded.video(0).path == moved / "a" / "0.mp4"
    assert (loaded.video(0).id, loaded.hash) == (catalog.video(0).id, catalog.hash)
    with pytest.raises(
        CatalogError, match=f"root .*nowhere is not a folder; give the folder that now holds {tmp_path}"
    ):
        Catalog.load(tmp_path / "c.parquet", root=tmp_path / "nowhere")


def test_a_relative_root_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_catalog(["a.mp4"], Path("videos")).video(0).path == tmp_path / "videos" / "a.mp4"


def test_columns_are_lists_in_the_order_of_the_rows(catalog: Catalog) -> None:
    assert catalog.labels == ["jump", "run", "jump", ""]
    assert catalog.splits == ["train", "test", "train", ""]
    assert catalog.groups == ["x", "", "y", "y"]
    assert catalog.ids == [identify_video(path) for path in PATHS]
    assert (catalog.label_names, catalog.split_names, catalog.group_names) == (
        ["jump", "run"],
        ["test", "train"],
        ["x", "y"],
    )


def test_lengths_are_arrays(catalog: Catalog) -> None:
    assert catalog.num_frames_array.dtype == np.int64
    assert catalog.num_frames_array.tolist() == [4, 4, 4, 4]
    assert catalog.seconds_array.tolist() == [0.16] * 4
    assert catalog.take([]).num_frames_array.tolist() == []


def test_a_split_is_selected_and_the_empty_name_selects_all(catalog: Catalog) -> None:
    train = catalog.select("train")
    assert [video.path.name for video in train] == ["0.mp4", "2.mp4"]
    assert train.root == catalog.root
    assert catalog.select("") is catalog


def test_a_split_that_is_not_there_is_refused_with_those_that_are(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no split 'val'; it has 'test', 'train'"):
        catalog.select("val")
    with pytest.raises(CatalogError, match=r"no split 'val'; it has none: scan a list with a split column"):
        make_catalog(["a.mp4"], tmp_path).select("val")


def test_rows_are_taken_in_the_order_asked_for(catalog: Catalog) -> None:
    taken = catalog.take(np.array([3, 0, 3]))
    assert [video.path.name for video in taken] == ["3.mp4", "0.mp4", "3.mp4"]
    assert taken.hash != catalog.hash


@pytest.mark.parametrize("row", [-1, 4])
def test_a_row_that_is_not_there_is_refused(row: int, catalog: Catalog) -> None:
    with pytest.raises(IndexError, match=f"row {row} of a catalog of 4 videos"):
        catalog.video(row)
    with pytest.raises(IndexError, match=f"row {row} of a catalog of 4 videos"):
        catalog.take([0, row])


def test_a_catalog_with_a_climbing_path_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "c.parquet", make_catalog(["../secret.mp4"], tmp_path).table, tmp_path)
    with pytest.raises(CatalogError, match=r"lead out of the catalog's folder, such as '\.\./secret\.mp4'"):
        Catalog.load(tmp_path / "c.parquet")


def test_a_missing_catalog_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"there is no catalog; make one with `unreel scan FOLDER --out"):
        Catalog.load(tmp_path / "c.parquet")


def test_a_table_with_other_columns_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"a catalog has the columns \['id', 'path'.*got \['path'\]"):
        Catalog(pa.table({"path": ["a.mp4"]}), tmp_path)


def test_a_catalog_travels_to_another_process(catalog: Catalog) -> None:
    copy = pickle.loads(pickle.dumps(catalog))
    assert copy.hash == catalog.hash
    assert copy.video(1).path == catalog.video(1).path


def test_a_part_of_a_catalog_travels_alone(tmp_path: Path) -> None:
    catalog = make_catalog([f"{number:05d}.mp4" for number in range(2000)], tmp_path)
    assert len(pickle.dumps(catalog.take([7]))) < len(pickle.dumps(catalog)) / 20


def test_large_catalogs_load_without_an_object_per_row(tmp_path: Path) -> None:
    """Nothing but the table and its root is held until a column is asked for."""
    make_catalog([f"{number:05d}.mp4" for number in range(5000)], tmp_path).save(tmp_path / "c.parquet")
    loaded = Catalog.load(tmp_path / "c.parquet")
    assert loaded.video(4999).path.name == "04999.mp4"
    assert set(vars(loaded)) == {"_table", "_root", "path", "motion"}
    assert loaded.path == tmp_path / "c.parquet"
    assert loaded.motion is None


def test_motion_follows_its_videos(tmp_path: Path) -> None:
    catalog = make_catalog(["a.mp4", "b.mp4", "c.mp4"], tmp_path, split=["x", "y", "x"])
    assert catalog.video(0).motion is None
    values = pa.array([[1.0, 2.0], None, [3.0]], pa.list_(pa.float32()))
    moving = catalog.with_motion(CatalogMotion(values, 2.0, "settings"))
    for part, expected in (
        (moving, [[1, 2], None, [3]]),
        (moving.take([2, 1]), [[3], None]),
        (moving.select("x"), [[1, 2], [3]]),
        (moving.select("x").take([1]), [[3]]),
        (moving.select(""), [[1, 2], None, [3]]),
    ):
        motions = [video.motion for video in part]
        assert [None if motion is None else motion.tolist() for motion in motions] == expected
        assert all(motion is None or motion.dtype == np.float32 for motion in motions)
        assert {video.motion_window_sec for video in part} == {2.0}
    assert moving.hash == catalog.hash
    assert catalog.motion is None
    assert moving.with_motion(None).motion is None


def test_a_catalog_knows_its_file_and_so_do_its_parts(tmp_path: Path) -> None:
    made = make_catalog(["a.mp4", "b.mp4"], tmp_path, split=["x", "y"])
    assert made.path is None
    made.save(tmp_path / "c.parquet")
    loaded = Catalog.load(tmp_path / "c.parquet")
    assert [part.path for part in (loaded, loaded.take([1]), loaded.select("y"))] == [
        tmp_path / "c.parquet"
    ] * 3
