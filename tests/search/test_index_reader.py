import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search import index_reader
from unreel.search.filters import Filter
from unreel.search.index_reader import IndexReader
from unreel.search.index_rows import IndexedClip, IndexedVideo, RejectedVideo
from unreel.search.index_schema import UNITS
from unreel.search.index_store import IndexStore

VIDEOS = [
    build_video("c", [[1, 0], [0, 1]], label="run", split="train", group="x", seconds=9.0),
    build_video("a", [[3, 3]], path="z/a.mp4", label="dive", split="test", num_bytes=None, mtime_ns=None),
    build_video("b", [[1, 1], [2, 0], [0, 4]], label="run", group="x", mtime_ns=2**62),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> IndexStore:
    """Keys of videos are 1 to 3, of clips 1 to 6, in the order of arrival."""
    return build_store(tmp_path_factory.mktemp("index") / "v.index", VIDEOS)


@pytest.fixture
def changing(tmp_path: Path) -> IndexStore:
    return build_store(tmp_path / "v.index", VIDEOS)


def damage(store: IndexStore, statement: str) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement)


def test_a_video_comes_back_as_it_went_in(store: IndexStore) -> None:
    with store.read() as reader:
        assert reader.video("a") == IndexedVideo(
            key=2,
            id="a",
            path="z/a.mp4",
            file=store.path.parent / "z" / "a.mp4",
            seconds=1.5,
            label="dive",
            split="test",
            group="",
            num_bytes=None,
            mtime_ns=None,
            num_clips=1,
        )
        assert reader.video("A") is None


def test_clips_come_in_order_of_time(tmp_path: Path) -> None:
    times = np.array([5.0, 0.0, 5.0])
    video = build_video("a", [[1, 0], [0, 1], [1, 1]], start_sec_N=times, end_sec_N=times + 1)
    with build_store(tmp_path / "v.index", [video]).read() as reader:
        assert reader.clips("a") == [
            IndexedClip(key=2, clip_index=1, frame_index=4, start_sec=0.0, end_sec=1.0),
            IndexedClip(key=1, clip_index=0, frame_index=0, start_sec=5.0, end_sec=6.0),
            IndexedClip(key=3, clip_index=2, frame_index=8, start_sec=5.0, end_sec=6.0),
        ]
        assert reader.clips("b") == []


def test_videos_are_found_in_the_order_of_their_paths(store: IndexStore) -> None:
    with store.read() as reader:
        assert [video.path for video in reader.find_videos()] == ["b.mp4", "c.mp4", "z/a.mp4"]
        assert [video.id for video in reader.find_videos(offset=1, limit=1)] == ["c"]
        assert [video.id for video in reader.find_videos(Filter(labels=("run",)), limit=9)] == ["b", "c"]
        assert reader.find_videos(offset=3) == []
        assert reader.find_videos(limit=0) == []
        assert reader.find_path("z/a.mp4") == "a"
        assert reader.find_path("a.mp4") is None


def test_videos_are_counted(store: IndexStore) -> None:
    with store.read() as reader:
        assert (reader.count_keys("video"), reader.count_keys("clip")) == (3, 6)
        assert reader.count_videos() == 3
        assert reader.count_videos(Filter(groups=("x",))) == 2
        assert reader.count_videos(Filter(labels=("swim",))) == 0
        assert reader.count_values("label") == {"dive": 1, "run": 2}
        assert reader.count_values("split") == {"": 1, "test": 1, "train": 1}
        assert reader.count_values("group") == {"": 1, "x": 2}
        # c lasts 9 s, a 1.5 s and b 3.5 s
        assert (reader.longest_sec(), reader.total_sec()) == (9.0, 14.0)
        assert reader.stamps() == {"a": (None, None), "b": (100, 2**62), "c": (100, 1)}


def test_an_empty_index_answers_every_question(tmp_path: Path) -> None:
    with build_store(tmp_path / "v.index").read() as reader:
        for unit in UNITS:
            assert reader.count_keys(unit) == reader.last_key(unit) == 0
            assert reader.select_keys(unit, Filter()).tolist() == []
            assert reader.removed_since(unit, 0).tolist() == []
            assert list(reader.iterate_vectors(unit)) == []
            assert reader.locate(unit, []) == {}
        assert (reader.generation, reader.last_removal()) == (0, 0)
        assert (reader.longest_sec(), reader.total_sec()) == (0.0, 0.0)
        assert (reader.find_videos(), reader.rejected(), reader.stamps()) == ([], {}, {})
        assert reader.count_values("label") == {}


def test_keys_are_selected_ascending(store: IndexStore) -> None:
    run = Filter(labels=("run",))
    with store.read() as reader:
        assert reader.select_keys("video", run).tolist() == [1, 3]
        assert reader.select_keys("clip", run).tolist() == [1, 2, 4, 5, 6]
        assert reader.select_keys("clip", Filter()).dtype == np.int64
        assert reader.keys_of("video", "b").tolist() == [3]
        assert reader.keys_of("clip", "b").tolist() == [4, 5, 6]
        assert reader.keys_of("clip", "d").tolist() == []
        assert (reader.last_key("video"), reader.last_key("clip")) == (3, 6)


@given(st.integers(0, 7), st.integers(1, 100))
def test_vectors_come_by_ascending_key_whatever_the_block(
    store: IndexStore, after_key: int, block_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_reader, "_BLOCK_BYTES", block_bytes)
        with store.read() as reader:
            blocks = list(reader.iterate_vectors("clip", after_key))
    assert [int(key) for keys, _ in blocks for key in keys] == list(range(after_key + 1, 7))
    assert all(len(keys) == len(vectors) <= max(1, block_bytes // 8) for keys, vectors in blocks)
    rows = np.concatenate([np.empty((0, 2), np.float32), *[vectors for _, vectors in blocks]])
    assert rows.tolist() == [[1, 0], [0, 1], [3, 3], [1, 1], [2, 0], [0, 4]][after_key:]


def test_the_vector_of_a_video_is_the_mean_of_its_own(store: IndexStore) -> None:
    with store.read() as reader:
        ((keys, vectors),) = reader.iterate_vectors("video")
        assert keys.tolist() == [1, 2, 3]
        np.testing.assert_allclose(vectors, [[0.5, 0.5], [3, 3], [1, 5 / 3]], rtol=1e-6)
        assert reader.vectors("clip", [6, 1, 6]).tolist() == [[0, 4], [1, 0], [0, 4]]
        assert reader.vectors("video", np.array([], dtype=np.int64)).shape == (0, 2)


def test_keys_are_looked_up_in_parts(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_reader, "_MAX_VALUES", 2)
    with store.read() as reader:
        assert reader.vectors("clip", [5, 4, 3, 2, 1]).tolist() == [[2, 0], [1, 1], [3, 3], [0, 1], [1, 0]]
        assert reader.locate("clip", [1, 2, 3, 4, 5, 6]).keys() == {1, 2, 3, 4, 5, 6}


def test_a_key_tells_where_its_vector_is_from(store: IndexStore) -> None:
    with store.read() as reader:
        assert reader.locate("video", [1, 3, 99]) == {
            1: (reader.video("c"), 0.0, 9.0),
            3: (reader.video("b"), 0.0, 3.5),
        }
        assert reader.locate("clip", [5, 2]) == {
            5: (reader.video("b"), 1.0, 2.5),
            2: (reader.video("c"), 1.0, 2.5),
        }


def test_a_key_without_a_vector_is_named(store: IndexStore) -> None:
    with store.read() as reader, pytest.raises(SearchError, match="has no vector of clip 77; make the index"):
        reader.vectors("clip", [1, 77])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clip_vectors SET vector = x'0011' WHERE key = 2",
        "UPDATE clip_vectors SET vector = 'eight ch' WHERE key = 2",
        # The sum of all bytes is right, two vectors are not.
        "UPDATE clip_vectors SET vector = zeroblob(CASE key WHEN 1 THEN 4 ELSE 12 END) WHERE key < 3",
    ],
)
def test_damaged_vectors_are_not_read(changing: IndexStore, statement: str) -> None:
    damage(changing, statement)
    with changing.read() as reader, pytest.raises(SearchError, match="holds vectors that are not 8 bytes"):
        list(reader.iterate_vectors("clip"))
    with changing.read() as reader, pytest.raises(SearchError, match="make the index again"):
        reader.vectors("clip", [1, 2])


def test_removals_are_told_from_a_mark_on(changing: IndexStore) -> None:
    changing.remove(["a"])
    with changing.read() as reader:
        mark = reader.last_removal()
        assert reader.removed_since("video", 0).tolist() == [2]
        assert reader.removed_since("clip", 0).tolist() == [3]
        assert reader.removed_since("video", mark).tolist() == []
    changing.add([build_video("c", [[7, 7]])])
    with changing.read() as reader:
        assert reader.removed_since("video", mark).tolist() == [1]
        assert reader.removed_since("clip", mark).tolist() == [1, 2]
        assert reader.removed_since("clip", 0).tolist() == [1, 2, 3]


def test_an_index_knows_its_own_past_and_no_other(changing: IndexStore, tmp_path: Path) -> None:
    with changing.read() as reader:
        before = (reader.generation, reader.token)
    changing.remove(["a"])
    with changing.read() as reader:
        now = (reader.generation, reader.token)
        assert reader.has_been(*before)
        assert reader.has_been(*now)
        assert not reader.has_been(now[0] + 1, now[1])
        assert not reader.has_been(now[0], before[1])
    with build_store(tmp_path / "w.index", VIDEOS).read() as other:
        assert other.generation == before[0]
        assert not other.has_been(*before)


def test_rejected_videos_are_listed_by_path(changing: IndexStore) -> None:
    rows = [RejectedVideo("y", "b.mp4", "no frame", 5, 6), RejectedVideo("x", "a.mp4", "broken", None, None)]
    changing.reject(rows)
    with changing.read() as reader:
        assert list(reader.rejected().values()) == [rows[1], rows[0]]


@pytest.mark.parametrize(
    "name", ['it\'s "quoted"; DROP TABLE videos', "ünï çødé 🎬", "a\0b", "", "%_?*", "\n"]
)
def test_any_text_is_an_id_a_path_and_a_label(tmp_path: Path, name: str) -> None:
    video = build_video(name, [[1, 0]], path=name, label=name, split=name, group=name)
    with build_store(tmp_path / "v.index", [video]).read() as reader:
        found = reader.video(name)
        assert found is not None
        assert (found.id, found.path, found.label, found.split, found.group) == (name,) * 5
        assert reader.find_path(name) == name
        assert reader.count_values("label") == {name: 1}
        assert reader.keys_of("clip", name).tolist() == [1]


def test_what_is_no_text_is_refused_by_name(store: IndexStore) -> None:
    with store.read() as reader, pytest.raises(SearchError, match=r"texts in UTF-8, and 'x\\udcff' is none"):
        reader.video("x\udcff")


def test_paths_come_in_their_order_one_after_the_other(store: IndexStore) -> None:
    with store.read() as reader, closing(reader.iterate_paths()) as paths:
        assert next(paths) == (3, "b", "b.mp4")
        assert list(paths) == [(1, "c", "c.mp4"), (2, "a", "z/a.mp4")]


def test_what_a_page_asks_of_all_videos_is_read_once_in_every_state(
    changing: IndexStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    find = IndexReader._all
    monkeypatch.setattr(
        IndexReader,
        "_all",
        lambda reader, statement, *values: (asked.append(statement), find(reader, statement, *values))[1],
    )

    def look(store: IndexStore) -> tuple[dict[str, int], float, float, int]:
        asked.clear()
        with store.read() as reader:
            found = reader.count_values("label"), reader.longest_sec(), reader.total_sec()
        return (*found, sum("FROM videos" in statement for statement in asked))

    assert look(changing) == ({"dive": 1, "run": 2}, 9.0, 14.0, 3)
    assert look(changing) == ({"dive": 1, "run": 2}, 9.0, 14.0, 0)
    changing.remove(["c"])
    assert look(changing) == ({"dive": 1, "run": 1}, 3.5, 5.0, 3)
    other = build_store(tmp_path / "w.index", VIDEOS[:1])
    assert look(other) == ({"run": 1}, 9.0, 9.0, 3)
    assert look(changing)[-1] == 0
    for number in range(3):
        look(build_store(tmp_path / f"{number}.index", VIDEOS[:1]))
    assert look(changing)[-1] == 3
    assert len(index_reader._ANSWERS) == index_reader._KEPT_ANSWERS
