from pathlib import Path

import numpy as np
import pytest

from tests.features.tiny import build_vectors
from tests.search.mean_color import MeanColor, change_rows
from unreel.data.catalog import Catalog
from unreel.errors import SearchError
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.search import index_features as module
from unreel.search.index_features import index_features
from unreel.search.index_store import IndexStore
from unreel.search.indexing import IndexSummary
from unreel.search.video_index import VideoIndex

TABLE = build_vectors(
    [[1, 0], [0, 1], [2, 2]], ["a", "a", "b"], labels=["x", "x", "y"], splits=["train", "train", "test"]
)
COUNTS = (
    "videos",
    "kept",
    "added",
    "replaced",
    "removed",
    "rejected",
    "relabelled",
    "num_videos",
    "num_clips",
)


def count(summary: IndexSummary) -> dict[str, int]:
    return {name: value for name in COUNTS if (value := getattr(summary, name))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    index_features(tmp_path / "v.index", TABLE, encoder_folder="/runs/a")
    return tmp_path / "v.index"


def test_a_table_becomes_an_index(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    summary = index_features(tmp_path / "v.index", TABLE, progress=lambda *step: told.append(step))
    assert count(summary) == {"videos": 2, "added": 2, "num_videos": 2, "num_clips": 3}
    assert told == [(2, 2, "")]
    hits = VideoIndex.open(tmp_path / "v.index").search([1, 1])
    assert [(hit.video_id, hit.label, hit.split, hit.seconds) for hit in hits] == [
        ("a", "x", "train", 2.5),
        ("b", "y", "test", 1.5),
    ]


def test_the_same_table_again_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    assert count(index_features(path, TABLE)) == {"videos": 2, "kept": 2, "num_videos": 2, "num_clips": 3}
    assert path.read_bytes() == before
    assert IndexStore.open(path).info.encoder_folder == "/runs/a"


@pytest.mark.parametrize(
    "table",
    [
        build_vectors([[1, 0], [0, 1.5]], ["a", "a"], labels=["x", "x"], splits=["train", "train"]),
        build_vectors([[1, 0]], ["a"], labels=["x"], splits=["train"]),
        build_vectors([[0, 1], [1, 0]], ["a", "a"], labels=["x", "x"], splits=["train", "train"]),
    ],
)
def test_other_vectors_replace_a_video(path: Path, table: FeatureTable) -> None:
    summary = index_features(path, table)
    assert count(summary) == {"videos": 1, "replaced": 1, "num_videos": 2, "num_clips": len(table) + 1}
    with IndexStore.open(path).read() as reader:
        assert reader.vectors("clip", reader.keys_of("clip", "a")).tolist() == table.vectors.tolist()


def test_vectors_of_another_stretch_of_time_replace_a_video(path: Path) -> None:
    columns = {name: TABLE.column(name) for name in TABLE.column_names()}
    columns["end_sec"] = np.array([1.5, 9.0, 1.5])
    summary = index_features(path, FeatureTable.from_columns(TABLE.info, TABLE.vectors, **columns))
    assert (summary.kept, summary.replaced) == (1, 1)
    with IndexStore.open(path).read() as reader:
        assert [clip.end_sec for clip in reader.clips("a")] == [1.5, 9.0]


def test_rows_in_another_order_are_the_same_videos(path: Path) -> None:
    assert index_features(path, TABLE.take(np.array([2, 1, 0]))).kept == 2


def test_labels_follow_the_table(path: Path) -> None:
    table = build_vectors(
        [[1, 0], [0, 1], [2, 2]], ["a", "a", "b"], labels=["z", "z", "y"], splits=["test"] * 3
    )
    assert count(index_features(path, table)) == {
        "videos": 2,
        "kept": 2,
        "relabelled": 1,
        "num_videos": 2,
        "num_clips": 3,
    }


def test_pruning_drops_what_the_table_lacks(path: Path) -> None:
    table = build_vectors([[2, 2], [3, 3]], ["b", "c"], labels=["y", ""], splits=["test", ""])
    assert index_features(path, table).num_videos == 3
    assert count(index_features(path, table, is_pruned=True)) == {
        "videos": 2,
        "kept": 2,
        "removed": 1,
        "num_videos": 2,
        "num_clips": 2,
    }


def test_many_videos_go_in_by_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_VIDEOS_PER_TRANSACTION", 2)
    told: list[tuple[int, int, str]] = []
    table = build_vectors(np.eye(5, dtype=np.float32), list("abcde"))
    index_features(tmp_path / "v.index", table, progress=lambda *step: told.append(step))
    assert told == [(2, 5, ""), (4, 5, ""), (5, 5, "")]
    # What is left over is written too when the last videos of the table are known already.
    more = build_vectors(np.eye(5, dtype=np.float32)[[0, 1, 4]], ["new", "b", "e"])
    assert index_features(tmp_path / "v.index", more).num_videos == 6


def test_an_empty_table_makes_an_empty_index(tmp_path: Path) -> None:
    summary = index_features(tmp_path / "v.index", TABLE.take(np.array([], dtype=np.int64)))
    assert count(summary) == {}
    assert VideoIndex.open(tmp_path / "v.index").search([1, 0]) == []


def test_a_table_of_another_encoder_is_refused_by_name(path: Path) -> None:
    info = FeatureInfo(encoder_hash="f" * 16, encoder="other", dimension=2)
    with pytest.raises(SearchError, match=r"\(hash 0{16}\), these are of 'other' \(hash f{16}\)"):
        index_features(path, build_vectors([[1, 0]], ["c"], info=info))
    info = FeatureInfo(encoder_hash="0" * 16, dimension=3)
    with pytest.raises(SearchError, match="made with dimension 2, this is 3"):
        index_features(path, build_vectors([[1, 0, 0]], ["c"], info=info))


def test_vectors_that_are_no_numbers_are_refused_by_the_name_of_the_video(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"video 'b\.mp4' has a vector with NaN or infinity"):
        index_features(tmp_path / "v.index", build_vectors([[1, 0], [np.nan, 0]], ["a", "b"]))


def test_several_vectors_of_one_clip_are_all_searched(corpus: Path, tmp_path: Path) -> None:
    catalog, read = Catalog.load(corpus).take([0, 1]), ReadConfig(clips_per_video=2, num_workers=0)
    extract_features(MeanColor(), catalog, tmp_path / "f.parquet", pooling="frame", read=read)
    table = FeatureTable.load(tmp_path / "f.parquet")
    assert count(index_features(tmp_path / "v.index", table))["num_clips"] == len(table) == 8
    assert index_features(tmp_path / "v.index", table).kept == 2
    index = VideoIndex.open(tmp_path / "v.index")
    for vector_D in table.vectors:
        assert index.search(vector_D, unit="clip", top_k=1)[0].score == pytest.approx(1.0, abs=1e-6)


def test_a_catalog_brings_lengths_stamps_and_the_folder_of_the_files(corpus: Path, tmp_path: Path) -> None:
    """Also to videos that are in the index already, and where the folder was moved since the extraction."""
    catalog = Catalog.load(corpus)
    extract_features(
        MeanColor(), catalog, tmp_path / "f.parquet", read=ReadConfig(clips_per_video=2, num_workers=0)
    )
    table, path = FeatureTable.load(tmp_path / "f.parquet"), tmp_path / "v.index"
    index_features(path, table)
    longer = change_rows(catalog, "seconds", {0: 77.0})
    assert index_features(path, table, catalog=longer).kept == 12
    with IndexStore.open(path).read() as reader:
        sizes = dict(zip(catalog.ids, catalog.table["bytes"].to_pylist(), strict=True))
        assert {video_id: size for video_id, (size, _) in reader.stamps().items()} == sizes
        assert reader.longest_sec() == 77.0
    moved = Catalog(catalog.table, tmp_path)
    index_features(tmp_path / "w.index", table, catalog=moved)
    assert IndexStore.open(tmp_path / "w.index").info.root == str(tmp_path)


def test_videos_that_are_there_are_compared_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening an index for each takes ten times as long as putting all of them in."""
    rows = np.random.default_rng(0).normal(size=(300, 2))
    table = build_vectors(rows, [f"v{row:03}" for row in range(300)])
    index_features(tmp_path / "v.index", table)
    opened: list[IndexStore] = []
    read = IndexStore.read
    monkeypatch.setattr(IndexStore, "read", lambda store: (opened.append(store), read(store))[1])
    told: list[tuple[int, int, str]] = []
    summary = index_features(tmp_path / "v.index", table, progress=lambda *step: told.append(step))
    assert (summary.kept, len(opened)) == (300, 3)
    assert told == [(300, 300, "")]
    monkeypatch.setattr(module, "_BYTES_PER_TRANSACTION", 100 * table.vectors.nbytes // 300)
    told.clear()
    index_features(tmp_path / "v.index", table, progress=lambda *step: told.append(step))
    assert told == [(100, 300, ""), (200, 300, ""), (300, 300, "")]


def test_of_one_group_some_are_kept_some_replaced_and_some_added(path: Path) -> None:
    table = build_vectors([[1, 0], [0, 1], [2, 3], [4, 4]], ["a", "a", "b", "c"], splits=[""] * 4)
    summary = index_features(path, table)
    assert (summary.kept, summary.replaced, summary.added) == (1, 1, 1)
