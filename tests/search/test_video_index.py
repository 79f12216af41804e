import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search import layers
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.hits import Hit
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_store import IndexStore
from unreel.search.vector_cache import VectorCache, find_cache_file
from unreel.search.video_index import VideoIndex

VIDEOS = [
    build_video("a", [[1, 0], [0, 1]], label="run", split="train"),
    build_video("b", [[2, 0], [2, 0], [-1, 0]], label="dive", split="train", group="x"),
    build_video("c", [[0, -1]], label="run", split="test"),
]


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return build_store(tmp_path / "v.index", VIDEOS)


def find(index: VideoIndex, query: list[float], **others: object) -> list[str]:
    return [hit.video_id for hit in index.search(query, **others)]  # type: ignore[arg-type]


def test_a_hit_says_everything_about_a_video_and_its_best_clip(store: IndexStore) -> None:
    """The mean of a is (1/2, 1/2), of b (1, 0); of its clips the second, (0, 1), is most like (1, 2)."""
    hits = VideoIndex.open(store.path).search([1, 2], top_k=2)
    assert hits[0] == Hit(
        video_id="a",
        path="a.mp4",
        score=pytest.approx(3 / 10**0.5, rel=1e-6),
        start_sec=1.0,
        end_sec=2.5,
        label="run",
        split="train",
        group="",
        seconds=2.5,
    )
    assert (hits[1].video_id, hits[1].group) == ("b", "x")
    assert hits[1].score == pytest.approx(1 / 5**0.5, rel=1e-6)
    assert (hits[1].start_sec, hits[1].end_sec) == (0.0, 1.5)


def test_clips_are_found_by_themselves(store: IndexStore) -> None:
    hits = VideoIndex.open(store.path).search([1, 0], unit="clip", top_k=4)
    places = [(hit.video_id, hit.start_sec, hit.end_sec, round(hit.score, 4)) for hit in hits]
    assert places == [("a", 0.0, 1.5, 1.0), ("b", 0.0, 1.5, 1.0), ("b", 1.0, 2.5, 1.0), ("a", 1.0, 2.5, 0.0)]


def test_fewer_hits_than_asked_for_are_all(store: IndexStore) -> None:
    index = VideoIndex.open(store.path)
    assert find(index, [1, 0], top_k=500) == ["b", "a", "c"]
    assert len(index.search([1, 0], top_k=10**15, unit="clip")) == 6
    assert find(index, [1, 0], wanted=Filter(labels=("swim",))) == []
    assert find(index, [1, 0], wanted=Filter(labels=("run",)), exclude="a") == ["c"]


@pytest.mark.parametrize("unit", UNITS)
def test_an_empty_index_finds_nothing(tmp_path: Path, unit: Unit) -> None:
    store = build_store(tmp_path / "v.index")
    index = VideoIndex.open(store.path)
    assert index.search([1, 0], unit=unit) == []
    store.add(VIDEOS)
    assert find(index, [1, 0], unit=unit, top_k=1) == [{"video": "b", "clip": "a"}[unit]]
    store.remove(["a", "b", "c"])
    assert index.search([1, 0], unit=unit, wanted=Filter(min_sec=1)) == []


def test_the_video_of_the_query_is_left_out_with_all_its_clips(store: IndexStore) -> None:
    index = VideoIndex.open(store.path)
    assert find(index, [1, 0], top_k=1, exclude="b") == ["a"]
    assert find(index, [1, 0], top_k=3, exclude="b", unit="clip") == ["a", "a", "c"]
    assert find(index, [1, 0], top_k=3, exclude="absent") == ["b", "a", "c"]


def test_vectors_of_zeros_and_of_one_number_are_searched(tmp_path: Path) -> None:
    videos = [build_video("a", [[0]]), build_video("b", [[-2]]), build_video("c", [[0.5]])]
    index = VideoIndex(build_store(tmp_path / "v.index", videos, dimension=1))
    assert [(hit.video_id, hit.score) for hit in index.search([3])] == [("c", 1), ("a", 0), ("b", -1)]
    assert find(index, [0]) == ["a", "b", "c"]


def test_a_query_may_be_large_or_small_but_must_be_a_vector(store: IndexStore) -> None:
    index = VideoIndex.open(store.path)
    assert find(index, [1e38, 1e-38]) == find(index, [1e-38, 0]) == ["b", "a", "c"]
    for query in ([1, 0, 0], [1], [[1, 0]], [[1], [0]], [], 1.0):
        with pytest.raises(
            ValueError, match=r"query has shape \(.*\), the vectors of .*v\.index have 2 numbers"
        ):
            index.search(query)
    for value in (np.nan, np.inf, -1e39):
        with pytest.raises(ValueError, match="the query holds NaN or infinity; embed it again"):
            index.search([1, value])


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"unit": "frame"}, "unit must be 'video' or 'clip', got 'frame'"),
    ],
)
def test_what_cannot_be_asked_is_refused(store: IndexStore, others: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find(VideoIndex.open(store.path), [1, 0], **others)


# What a stored video stands for


def test_a_stored_video_is_a_query_whole_or_in_part(store: IndexStore) -> None:
    """The clips of b last from 0 to 1.5, 1 to 2.5 and 2 to 3.5 seconds."""
    index = VideoIndex.open(store.path)
    assert index.embed_stored("b").tolist() == [1, 0]
    assert index.embed_stored("b", 2.5, 9).tolist() == [-1, 0]
    assert index.embed_stored("b", 0, 1).tolist() == [2, 0]
    assert index.embed_stored("b", 1.5, 2).tolist() == [2, 0]
    assert index.embed_stored("b", 1.5, 2.01).tolist() == [0.5, 0]
    assert index.embed_stored("b", 3.49).tolist() == [-1, 0]
    with pytest.raises(SearchError, match=r"video 'b' has no vector between 3\.5 s and inf s; give another"):
        index.embed_stored("b", 3.5)
    with pytest.raises(SearchError, match=r"v\.index has no video 'd'; `unreel index --status` counts them"):
        index.embed_stored("d")


def test_a_vector_of_no_duration_stands_for_its_moment(tmp_path: Path) -> None:
    """So the last frame of a video, of which nobody knows how long it is shown."""
    times = np.array([0.0, 2.0])
    video = build_video("a", [[1, 0], [0, 1]], start_sec_N=times, end_sec_N=np.array([2.0, 2.0]))
    index = VideoIndex(build_store(tmp_path / "v.index", [video]))
    assert index.embed_stored("a", 2.0, 3.0).tolist() == [0, 1]
    assert index.embed_stored("a", 1.9, 3.0).tolist() == [0.5, 0.5]
    assert index.embed_stored("a", 0.5, 2.0).tolist() == [1, 0]


# The file changes while it is open


def test_changes_are_seen_by_the_next_search(store: IndexStore) -> None:
    index, other = VideoIndex.open(store.path), IndexStore.open(store.path)
    assert find(index, [1, 0], top_k=1) == ["b"]
    other.add([build_video("d", [[5, 0.1]], label="run")])
    assert find(index, [1, 0], wanted=Filter(labels=("run",)), top_k=1) == ["d"]
    other.remove(["b"])
    assert find(index, [1, 0]) == ["d", "a", "c"]
    other.update_metadata([("a", "swim", "", "")])
    assert find(index, [1, 0], wanted=Filter(labels=("run",))) == ["d", "c"]
    other.add([build_video("c", [[1, 0]])])
    assert find(index, [1, 0]) == ["c", "d", "a"]


def test_a_little_new_is_compared_beside_the_cache_and_much_makes_another(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_MAX_STALE_ROWS", 2)
    index = VideoIndex.open(store.path)
    index.search([1, 0], unit="clip")
    stamp = VectorCache.load(store, "clip").stamp  # type: ignore[union-attr]
    store.add([build_video("d", [[0, 3]])])
    store.remove(["c"])
    assert find(index, [0, 1], unit="clip", top_k=1) == ["a"]
    assert find(index, [0, -1], unit="clip", top_k=9)[-1] != "c"
    assert VectorCache.load(store, "clip").stamp == stamp  # type: ignore[union-attr]
    store.add([build_video("e", [[0, 3]])])
    assert find(index, [0, 1], unit="clip", top_k=3) == ["a", "d", "e"]
    assert VectorCache.load(store, "clip").stamp.rows == 7  # type: ignore[union-attr]


def test_the_cache_of_one_process_serves_the_next(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    VideoIndex.open(store.path).search([1, 0])
    store.add([build_video("d", [[5, 0.1]])])
    monkeypatch.setattr(VectorCache, "build", None)
    assert find(VideoIndex.open(store.path), [1, 0.02], top_k=1) == ["d"]


def test_a_damaged_cache_is_made_again(store: IndexStore) -> None:
    expected = VideoIndex.open(store.path).search([1, 0])
    for damage in (
        lambda path: path.write_bytes(b"no cache"),
        lambda path: os.truncate(path, 4100),
        Path.unlink,
    ):
        damage(find_cache_file(store, "video"))
        assert VideoIndex.open(store.path).search([1, 0]) == expected
        assert VectorCache.load(store, "video") is not None


def test_an_index_is_searched_where_no_cache_can_be_written(store: IndexStore) -> None:
    store.cache_folder.write_text("in the way")
    index = VideoIndex.open(store.path)
    assert find(index, [1, 0]) == ["b", "a", "c"]
    assert index.describe_engine() == "exact"


def test_a_backup_that_is_put_back_is_searched_as_it_is(store: IndexStore, tmp_path: Path) -> None:
    """It has the identity of the cache, and gives the keys of lost videos to others."""
    shutil.copy(store.path, tmp_path / "backup")
    store.add([build_video("lost", [[0, 9]])])
    store.remove(["a"])
    assert find(VideoIndex.open(store.path), [0, 1], top_k=1) == ["lost"]
    shutil.copy(tmp_path / "backup", store.path)
    assert find(VideoIndex.open(store.path), [0, 1]) == ["a", "b", "c"]
    assert find(VideoIndex.open(store.path), [0, 1], unit="clip", top_k=1) == ["a"]
    shutil.copytree(store.cache_folder, tmp_path / "cache")
    store.add([build_video("lost", [[0, 9]])])
    VideoIndex.open(store.path).search([0, 1])
    shutil.copy(tmp_path / "backup", store.path)
    store.add([build_video("new", [[9, 0]])])
    hits = VideoIndex.open(store.path).search([0, 1])
    assert [(hit.video_id, round(hit.score, 3)) for hit in hits] == [
        ("a", 0.707),
        ("b", 0.0),
        ("new", 0.0),
        ("c", -1.0),
    ]


@pytest.mark.parametrize("ask", [lambda index: index.search([1, 0]), lambda index: index.embed_stored("a")])
def test_an_index_that_was_replaced_or_deleted_says_so(
    store: IndexStore, ask: Callable[[VideoIndex], object]
) -> None:
    index = VideoIndex.open(store.path)
    ask(index)
    store.path.unlink()
    with pytest.raises(SearchError, match=r"v\.index does not exist"):
        ask(index)
    build_store(store.path, [build_video("z", [[1, 0, 0]])], dimension=3)
    with pytest.raises(SearchError, match=r"v\.index has been replaced by another index; open it again"):
        ask(index)
    assert find(VideoIndex.open(store.path), [1, 0, 0]) == ["z"]


def test_damaged_vectors_are_named(store: IndexStore) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE video_vectors SET vector = x'00' WHERE key = 2")
    with pytest.raises(SearchError, match="holds vectors that are not 8 bytes; make the index again"):
        VideoIndex.open(store.path).search([1, 0])


def test_a_reader_is_never_older_than_the_cache(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process adds a video and makes the cache between our two looks; its key must be known to us."""
    index = VideoIndex.open(store.path)
    load = VectorCache.load.__func__  # type: ignore[attr-defined]

    def load_late(owner: type[VectorCache], store: IndexStore, unit: Unit) -> VectorCache | None:
        store.add([build_video("late", [[1, 0]])])
        with store.read() as reader:
            VectorCache.build(store, unit, reader)
        found = load(owner, store, unit)
        assert found is not None
        return found  # type: ignore[no-any-return]

    monkeypatch.setattr(VectorCache, "load", classmethod(load_late))
    assert find(index, [1, 0], top_k=2) == ["b", "late"]


def test_threads_search_while_another_adds(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_MAX_STALE_ROWS", 3)
    index = VideoIndex.open(store.path)
    errors: list[str] = []
    is_done = threading.Event()

    def look(number: int) -> None:
        unit = UNITS[number % 2]
        wanted = Filter(labels=("run",)) if number % 3 else NO_FILTER
        seen = 0
        while not is_done.is_set():
            try:
                hits = index.search([1, 0], unit=unit, wanted=wanted, top_k=50)
            except Exception as error:
                errors.append(repr(error))
                return
            scores = [hit.score for hit in hits]
            added = sum(hit.video_id.startswith("new") for hit in hits)
            if (
                scores != sorted(scores, reverse=True)
                or added < seen
                or "a" not in {h.video_id for h in hits}
            ):
                errors.append(f"{scores}, {added} after {seen}")
            seen = added

    threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for number in range(12):
        store.add([build_video(f"new{number}", [[1, number]], label="run")])
        store.add([build_video("b", [[1, number], [2, 2]])])
    is_done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(index.search([1, 0], top_k=50)) == 15


# Any changes, any question: the same as a plain list that is sorted


@dataclass(frozen=True)
class Row:
    video_id: str
    label: str
    start_sec: float
    vector: NDArray[np.float64]


class Model:
    """An index as a dictionary: id to label and vectors, in order of arrival."""

    def __init__(self) -> None:
        self.videos: dict[str, tuple[str, NDArray[np.float64]]] = {}

    def search(
        self, query: NDArray[np.float64], unit: Unit, labels: tuple[str, ...], exclude: str, top_k: int
    ) -> list[tuple[str, float, float]]:
        rows = []
        for video_id, (label, vectors) in self.videos.items():
            if video_id == exclude or (labels and label not in labels):
                continue
            if unit == "clip":
                rows += [Row(video_id, label, float(n), vector) for n, vector in enumerate(vectors)]
            else:
                best = max(range(len(vectors)), key=lambda n: (cosine(query, vectors[n]), -n))
                rows.append(Row(video_id, label, float(best), vectors.mean(axis=0)))
        rows.sort(key=lambda row: -cosine(query, row.vector))  # stable: ties in order of arrival
        return [(row.video_id, row.start_sec, cosine(query, row.vector)) for row in rows[:top_k]]


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


# Vectors along the axes, and their halves: all cosines but those of means are exact, and ties abound.
axes = st.sampled_from([(1, 0, 0), (0, 2, 0), (0, 0, -1), (-4, 0, 0), (0, 0, 0)])
names, words = st.sampled_from("abcdef"), st.sampled_from(["run", "dive", ""])
changes = st.one_of(
    st.tuples(
        st.just("add"), st.lists(st.tuples(names, words, st.lists(axes, min_size=1, max_size=3)), max_size=4)
    ),
    st.tuples(st.just("remove"), st.lists(names, max_size=3)),
    st.tuples(st.just("relabel"), st.lists(st.tuples(names, words), max_size=3)),
    st.tuples(
        st.just("ask"),
        st.tuples(st.sampled_from(UNITS), axes, st.lists(words, max_size=2), st.integers(1, 9), names),
    ),
)


@settings(max_examples=20)
@given(st.lists(changes, min_size=2, max_size=12), st.sampled_from([0, 2, 1000]))
def test_any_changes_and_any_question_give_what_a_sorted_list_gives(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]], max_stale_rows: int
) -> None:
    store = build_store(tmp_path_factory.mktemp("index") / "v.index", dimension=3)
    index, model = VideoIndex.open(store.path), Model()
    with pytest.MonkeyPatch.context() as patch, closing(sqlite3.connect(store.path)) as holder:
        holder.execute("SELECT * FROM videos").fetchall()  # spares a flush of the disk at every close
        patch.setattr(layers, "_MAX_STALE_ROWS", max_stale_rows)
        patch.setattr(layers, "_MAX_STALE_SHARE", 0)
        for kind, step in [*steps, *FINAL_QUESTIONS]:
            apply(kind, step, store, index, model)


FINAL_QUESTIONS: list[tuple[str, object]] = [
    ("ask", (unit, (1, 0, 0), labels, top_k, exclude))
    for unit in UNITS
    for labels in ([], ["run"], ["dive", ""])
    for top_k, exclude in ((3, "f"), (50, "absent"))
]


def apply(kind: str, step: object, store: IndexStore, index: VideoIndex, model: Model) -> None:
    if kind == "add":
        store.add([build_video(name, vectors, label=label) for name, label, vectors in step])  # type: ignore[attr-defined]
        for name, label, vectors in step:  # type: ignore[attr-defined]
            model.videos.pop(name, None)
            model.videos[name] = (label, np.array(vectors, dtype=np.float64))
    elif kind == "remove":
        present = {name for name in step if model.videos.pop(name, None)}  # type: ignore[attr-defined]
        assert store.remove(step) == len(present)  # type: ignore[arg-type]
    elif kind == "relabel":
        store.update_metadata((name, label, "", "") for name, label in step)  # type: ignore[attr-defined]
        for name, label in step:  # type: ignore[attr-defined]
            if name in model.videos:
                model.videos[name] = (label, model.videos[name][1])
    else:
        unit, query, labels, top_k, exclude = step  # type: ignore[misc]
        hits = index.search(
            query, unit=unit, wanted=Filter(labels=tuple(labels)), top_k=top_k, exclude=exclude
        )
        expected = model.search(np.array(query, dtype=np.float64), unit, tuple(labels), exclude, top_k)
        assert_same([(hit.video_id, hit.start_sec, hit.score) for hit in hits], expected)


def assert_same(found: list[tuple[str, float, float]], expected: list[tuple[str, float, float]]) -> None:
    np.testing.assert_allclose([score for *_, score in found], [score for *_, score in expected], atol=1e-6)
    # Means of equal cosine may differ in their last bit, so their order is compared where it is certain.
    exact = [score in (-1.0, 0.0, 1.0) for *_, score in found]
    if all(exact):
        assert [place[:2] for place in found] == [place[:2] for place in expected]
