import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.features.export_vectors import export_vectors, name_files
from unreel.features.table import FeatureTable


def build_table(paths: dict[str, str], videos: list[str]) -> FeatureTable:
    """Return a table of vectors 0, 1, 2, ... with a path for every video."""
    vectors = np.arange(3 * len(videos), dtype=np.float32).reshape(-1, 3)
    table = build_vectors(vectors, videos)
    columns = {name: table.column(name) for name in FeatureTable.column_names()}
    columns["path"] = [paths[video] for video in videos]
    return FeatureTable.from_columns(table.info, vectors, **columns)


def read_index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_video_gets_its_vectors_in_the_order_of_the_table(tmp_path: Path) -> None:
    # The rows of v2 lie apart from each other.
    table = build_table({"v2": "b/two.mp4", "v1": "a/one.mp4"}, ["v2", "v1", "v2", "v2"])
    export = export_vectors(table, tmp_path / "out")
    assert (export.videos, export.vectors, export.dimension, export.renamed) == (2, 4, 3, 0)
    two = np.load(tmp_path / "out" / "b__two.npy", allow_pickle=False)
    assert two.dtype == np.float32
    assert two.tolist() == [[0, 1, 2], [6, 7, 8], [9, 10, 11]]
    assert np.load(tmp_path / "out" / "a__one.npy").tolist() == [[3, 4, 5]]
    assert sorted(os.listdir(tmp_path / "out")) == ["a__one.npy", "b__two.npy", "index.csv"]


def test_the_index_lists_videos_in_their_order(tmp_path: Path) -> None:
    table = build_table({"v2": "b/two, with comma.mp4", "v1": "a/one.mp4"}, ["v2", "v1", "v2"])
    export_vectors(table, tmp_path / "out")
    assert read_index(tmp_path / "out") == [
        {
            "video_id": "v2",
            "path": "b/two, with comma.mp4",
            "file": "b__two__with_comma.npy",
            "shape": "2x3",
        },
        {"video_id": "v1", "path": "a/one.mp4", "file": "a__one.npy", "shape": "1x3"},
    ]


def test_all_files_together_are_the_table(tmp_path: Path) -> None:
    videos = [f"v{number}" for number in np.random.default_rng(0).integers(0, 7, 40)]
    table = build_table({video: f"{video}.mp4" for video in set(videos)}, videos)
    export_vectors(table, tmp_path / "out")
    for row in read_index(tmp_path / "out"):
        expected = table.vectors[table.video_ids == row["video_id"]]
        np.testing.assert_array_equal(np.load(tmp_path / "out" / row["file"]), expected)


def test_videos_that_would_share_a_name_get_their_ids(tmp_path: Path) -> None:
    paths = {"i1": "a/x.mp4", "i2": "a/x.avi", "i3": "A/X.mp4", "i4": "a/y.mp4"}
    export = export_vectors(build_table(paths, list(paths)), tmp_path / "out")
    assert export.renamed == 3
    files = {row["video_id"]: row["file"] for row in read_index(tmp_path / "out")}
    assert files == {"i1": "a__x-i1.npy", "i2": "a__x-i2.npy", "i3": "A__X-i3.npy", "i4": "a__y.npy"}


def test_a_name_does_not_depend_on_the_order_of_the_videos() -> None:
    videos = [("i1", "x.mp4"), ("i2", "x.avi"), ("i3", "y.mp4")]
    assert name_files(videos) == name_files(reversed(videos))


def test_a_name_with_an_id_is_not_that_of_another_video() -> None:
    files = name_files([("7", "x.mp4"), ("8", "x.avi"), ("9", "x-7.mp4")])
    assert files == {"7": "x-7_.npy", "8": "x-8.npy", "9": "x-7.npy"}


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("../../etc/passwd", "etc__passwd"),
        ("/data/v.mp4", "data__v"),
        ("a\\b.mp4", "a__b"),
        (".hidden.mp4", "_hidden"),
        ("-rf.mp4", "_rf"),
        ("película 1.mp4", "pel_cula_1"),
        ("v_Archery_g01.c02.avi", "v_Archery_g01.c02"),
        ("frames of a video", "frames_of_a_video"),
        ("x\n$(reboot).mp4", "x___reboot_"),
        ("", "_"),
    ],
)
def test_names_are_safe(path: str, file: str) -> None:
    assert name_files([("i", path)])["i"] == f"{file}.npy"


@given(
    st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=4), st.text(max_size=200), max_size=12)
)
def test_any_paths_give_different_safe_names(paths: dict[str, str]) -> None:
    files = name_files(paths.items())
    assert files.keys() == paths.keys()
    assert len({name.casefold() for name in files.values()}) == len(paths)
    for name in files.values():
        assert Path(name).name == name
        assert name[0] not in ".-"
        assert name.isascii()
        assert len(name) < 200
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_nothing_is_left_of_an_export_that_fails(tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    table = build_table({"v1": "1.mp4", "v2": "2.mp4", "v3": "3.mp4"}, ["v1", "v2", "v3"])
    with pytest.raises(KeyboardInterrupt):
        export_vectors(table, tmp_path / "out", progress=stop)
    assert os.listdir(tmp_path) == []


def test_progress_counts_videos(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    table = build_table({"v1": "1.mp4", "v2": "2.mp4"}, ["v1", "v2", "v1"])
    export_vectors(table, tmp_path / "out", progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    empty = build_table({"v1": "1.mp4"}, ["v1"]).take(np.array([], dtype=np.int64))
    with pytest.raises(FeaturesError, match="no rows"):
        export_vectors(empty, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.npy").touch()
    with pytest.raises(ValueError, match="is not empty"):
        export_vectors(build_table({"v1": "1.mp4"}, ["v1"]), tmp_path)
