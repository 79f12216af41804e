import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.small_indexes import build_store, build_video, list_ids
from unreel.errors import SearchError
from unreel.search import index_schema
from unreel.search.filters import NO_FILTER
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import RejectedVideo
from unreel.search.index_store import IndexStore

BROKEN = RejectedVideo("b", "b.mp4", "no frame decodes", 10, 20)


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return build_store(tmp_path / "v.index", [build_video("a", [[1, 0], [0, 1]]), build_video("b", [[2, 2]])])


def count_rows(store: IndexStore, table: str) -> int:
    with closing(sqlite3.connect(store.path)) as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def read_generation(store: IndexStore) -> int:
    with store.read() as reader:
        return reader.generation


def test_an_index_that_is_opened_again_is_the_same(store: IndexStore) -> None:
    again = IndexStore.open(store.path)
    assert (again.path, again.info, again.identity) == (store.path, store.info, store.identity)
    assert list_ids(again) == ["a", "b"]
    assert again.cache_folder == store.path.with_name("v.index.cache")


def test_an_index_is_not_made_over_another(store: IndexStore) -> None:
    with pytest.raises(SearchError, match="exists already; add to it, or give another path"):
        IndexStore.create(store.path, IndexInfo(encoder_hash="a", dimension=3))
    assert list_ids(store) == ["a", "b"]


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"absent\.index does not exist"):
        IndexStore.open(tmp_path / "absent.index")


def test_a_replaced_video_has_new_keys_and_nothing_of_the_old(store: IndexStore) -> None:
    store.add([build_video("a", [[5, 5], [6, 6], [7, 7]], path="new.mp4", label="x")])
    with store.read() as reader:
        video = reader.video("a")
        assert video is not None
        assert (video.key, video.path, video.label, video.num_clips) == (3, "new.mp4", "x", 3)
        assert reader.keys_of("clip", "a").tolist() == [4, 5, 6]
        assert reader.select_keys("clip", NO_FILTER).tolist() == [3, 4, 5, 6]
        assert reader.vectors("video", [3]).tolist() == [[6, 6]]
    for table, rows in (("videos", 2), ("video_vectors", 2), ("clips", 4), ("clip_vectors", 4)):
        assert count_rows(store, table) == rows


def test_keys_are_never_given_twice(store: IndexStore) -> None:
    store.remove(["a", "b"])
    store.add([build_video("c", [[1, 1]])])
    with store.read() as reader:
        assert reader.keys_of("video", "c").tolist() == [3]
        assert reader.keys_of("clip", "c").tolist() == [4]


def test_of_several_videos_of_one_id_the_last_counts(store: IndexStore) -> None:
    store.add([build_video("c", [[1, 0]], label="first"), build_video("c", [[0, 1]], label="last")])
    with store.read() as reader:
        video = reader.video("c")
        assert video is not None
        assert video.label == "last"
        assert reader.count_keys("video") == 3


def test_removing_takes_clips_and_vectors_too_and_notes_every_key(store: IndexStore) -> None:
    assert store.remove(["a", "absent", "a"]) == 1
    assert list_ids(store) == ["b"]
    for table, rows in (("video_vectors", 1), ("clips", 1), ("clip_vectors", 1), ("removals", 3)):
        assert count_rows(store, table) == rows
    with store.read() as reader:
        assert reader.removed_since("video", 0).tolist() == [1]
        assert reader.removed_since("clip", 0).tolist() == [1, 2]


def test_only_a_change_is_a_change(store: IndexStore) -> None:
    """What is kept in memory is thrown away with every change."""
    before = read_generation(store)
    assert store.remove(["absent"]) == store.remove([]) == 0
    assert store.update_metadata([]) == 0
    assert store.update_metadata([("a", "", "", ""), ("absent", "x", "y", "z")]) == 0
    store.set_files({"a": (2.5, 100, 1)})
    store.set_files({})
    store.add([])
    store.reject([])
    assert read_generation(store) == before
    store.remove(["a"])
    assert read_generation(store) == before + 1


def test_metadata_is_changed_where_it_differs_and_keys_stay(store: IndexStore) -> None:
    assert store.update_metadata(iter([("a", "run", "train", "x"), ("b", "", "", "")])) == 1
    assert store.update_metadata([("a", "run", "test", "x"), ("b", "dive", "", "")]) == 2
    with store.read() as reader:
        assert reader.count_values("label") == {"dive": 1, "run": 1}
        assert reader.count_values("split") == {"": 1, "test": 1}
        assert reader.keys_of("video", "a").tolist() == [1]
        assert reader.last_removal() == 0


def test_what_is_known_of_the_files_is_noted(store: IndexStore) -> None:
    store.set_files({"a": (7.5, 11, 22), "b": (2.0, None, None), "absent": (1.0, 1, 1)})
    with store.read() as reader:
        assert reader.stamps() == {"a": (11, 22), "b": (None, None)}
        assert [video.seconds for video in reader.find_videos()] == [7.5, 2.0]


def test_a_rejected_video_leaves_the_index_and_comes_back(store: IndexStore) -> None:
    store.reject([BROKEN])
    assert list_ids(store) == ["a"]
    with store.read() as reader:
        assert reader.rejected() == {"b": BROKEN}
        assert reader.removed_since("clip", 0).tolist() == [3]
    store.reject([RejectedVideo("b", "b.mp4", "too slow", 11, 21)])
    with store.read() as reader:
        assert reader.rejected()["b"].reason == "too slow"
    store.add([build_video("b", [[1, 1]])])
    with store.read() as reader:
        assert reader.rejected() == {}
    assert list_ids(store) == ["a", "b"]


def test_a_rejection_can_be_removed(store: IndexStore) -> None:
    store.reject([BROKEN])
    assert store.remove(["b"]) == 0
    with store.read() as reader:
        assert reader.rejected() == {}


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((0, 2)), r"video 'c\.mp4' needs vectors of 2 numbers, one at least, got shape \(0, 2\)"),
        (np.zeros((2, 3)), r"needs vectors of 2 numbers, one at least, got shape \(2, 3\)"),
        (np.zeros(2), r"needs vectors of 2 numbers, one at least, got shape \(2,\)"),
        ([[1, np.nan]], r"video 'c\.mp4' has a vector with NaN or infinity; embed it again"),
        ([[1, np.inf]], r"has a vector with NaN or infinity"),
    ],
)
def test_what_cannot_be_searched_does_not_get_in(store: IndexStore, vectors: object, message: str) -> None:
    matrix = np.asarray(vectors, dtype=np.float32)
    good, bad = build_video("d", [[1, 0]]), build_video("c", [[1, 0]], vectors_ND=matrix)
    with pytest.raises(ValueError, match=message):
        store.add([good, bad])
    assert list_ids(store) == ["a", "b"]


def test_a_video_whose_columns_differ_in_length_changes_nothing(store: IndexStore) -> None:
    before = read_generation(store)
    with pytest.raises(ValueError, match="zip"):
        store.add([build_video("d", [[1, 0]]), build_video("c", [[1, 0]], end_sec_N=np.array([1.0, 2.0]))])
    assert list_ids(store) == ["a", "b"]
    assert read_generation(store) == before


def test_the_mean_of_large_vectors_does_not_overflow(store: IndexStore) -> None:
    largest = float(np.finfo(np.float32).max)
    store.add([build_video("c", [[largest, 1e-30], [largest, 3e-30]])])
    with store.read() as reader:
        np.testing.assert_allclose(reader.vectors("video", [3]), [[largest, 2e-30]], rtol=1e-6)


def test_where_the_encoder_is_now_is_noted(store: IndexStore) -> None:
    store.set_encoder_folder("/runs/new")
    assert store.info.encoder_folder == "/runs/new"
    again = IndexStore.open(store.path)
    assert again.info == store.info
    assert again.info.encoder_hash == "0" * 16


def test_where_the_videos_are_now_is_noted(store: IndexStore, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    with pytest.raises(
        SearchError, match=r"moved holds none of the 2 videos of .*v\.index, such as a\.mp4; give"
    ):
        store.set_root(moved)
    with pytest.raises(SearchError, match="absent holds none of the 2 videos"):
        store.set_root(tmp_path / "absent")
    assert IndexStore.open(store.path).info.root == store.info.root == str(tmp_path)
    (moved / "b.mp4").touch()
    store.set_root(moved)
    assert IndexStore.open(store.path).info == store.info
    with store.read() as reader:
        assert [video.file for video in reader.find_videos()] == [moved / "a.mp4", moved / "b.mp4"]


def test_a_folder_is_noted_from_its_beginning(
    store: IndexStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "a.mp4").touch()
    monkeypatch.chdir(tmp_path)
    store.set_root(Path("moved"))
    assert store.info.root == str(tmp_path / "moved")


def test_an_index_without_videos_takes_any_folder(tmp_path: Path) -> None:
    store = build_store(tmp_path / "v.index")
    store.set_root(tmp_path / "later")
    assert store.info.root == str(tmp_path / "later")


def test_what_could_not_be_written_is_not_believed(store: IndexStore) -> None:
    before = store.info
    store.path.unlink()
    with pytest.raises(SearchError, match="does not exist"):
        store.set_encoder_folder("/runs/new")
    assert store.info == before


def test_notes_of_removals_are_bounded_and_what_is_forgotten_is_known(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is rewritten every minute would fill the disk with them."""
    monkeypatch.setattr(index_schema, "_KEPT_REMOVALS", 5)
    for _ in range(4):
        store.add([build_video("a", [[1, 0], [0, 1]])])  # removes a video and two clips
    assert count_rows(store, "removals") == 5
    with store.read() as reader:
        assert reader.last_removal() == 12
        for removal in range(7):
            assert reader.removed_since("clip", removal) is None
        assert reader.removed_since("clip", 7).tolist() == [7, 8, 9]  # type: ignore[union-attr]
        assert reader.removed_since("clip", 12).tolist() == []  # type: ignore[union-attr]
    monkeypatch.setattr(index_schema, "_KEPT_REMOVALS", 0)
    store.remove(["b"])
    assert count_rows(store, "removals") == 0
    with store.read() as reader:
        assert reader.last_removal() == 14
        assert reader.removed_since("clip", 13) is None
        assert reader.removed_since("clip", 14).tolist() == []  # type: ignore[union-attr]


def test_a_store_does_not_write_into_another_index_at_its_path(store: IndexStore) -> None:
    """A watcher that runs for days must not mix vectors of two encoders."""
    store.path.unlink()
    other = build_store(store.path, encoder_hash="f" * 16)
    for change in (
        lambda: store.add([build_video("c", [[1, 0]])]),
        lambda: store.remove(["a"]),
        lambda: store.reject([BROKEN]),
        lambda: store.update_metadata([("a", "", "", "x")]),
        lambda: list_ids(store),
    ):
        with pytest.raises(SearchError, match="has been replaced by another index; open it again"):
            change()
    assert list_ids(other) == []


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "reject"]), st.sampled_from("abc"), st.integers(1, 3)),
        max_size=8,
    )
)
def test_tables_agree_after_any_changes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str, int]]
) -> None:
    store = build_store(tmp_path_factory.mktemp("index") / "v.index")
    expected: dict[str, int] = {}
    for kind, name, count in changes:
        if kind == "add":
            store.add([build_video(name, np.ones((count, 2)))])
            expected[name] = count
        else:
            if kind == "remove":
                store.remove([name])
            else:
                store.reject([RejectedVideo(name, name, "broken", 1, 1)])
            expected.pop(name, None)
    with store.read() as reader:
        assert {video.id: video.num_clips for video in reader.find_videos()} == expected
        removed = reader.removed_since("clip", 0)
        assert len(removed) + sum(expected.values()) == reader.last_key("clip")
        assert not set(removed.tolist()) & set(reader.select_keys("clip", NO_FILTER).tolist())
    assert count_rows(store, "clips") == count_rows(store, "clip_vectors") == sum(expected.values())
    assert count_rows(store, "video_vectors") == len(expected)
