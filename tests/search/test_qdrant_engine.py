import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.search.caches import draw_random
from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search import index_schema, qdrant_engine
from unreel.search.engine import NO_KEY, ExactEngine
from unreel.search.index_store import IndexStore
from unreel.search.qdrant_engine import API_KEY_VARIABLE, QdrantEngine

SIZE = 6
VECTORS = draw_random(40, SIZE)


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    videos = [build_video(f"v{row:02}", VECTORS[row : row + 2]) for row in range(20)]
    return build_store(tmp_path / "videos.index", videos, dimension=SIZE)


@pytest.fixture
def engine(store: IndexStore) -> Iterator[QdrantEngine]:
    engine = QdrantEngine(":memory:", store, "clip")
    yield engine
    engine.close()


def search_exactly(store: IndexStore, queries: np.ndarray, top_k: int, allowed: Any = None) -> Any:
    with store.read() as reader:
        blocks = list(reader.iterate_vectors("clip"))
    keys, vectors = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return ExactEngine(keys, vectors).search(queries, top_k, allowed)


def expect_the_same(engine: QdrantEngine, store: IndexStore) -> None:
    """All vectors, best first, with their cosines; equal scores by key."""
    with store.read() as reader:
        count = reader.count_keys("clip")
    scores, keys = engine.search(VECTORS[:4], count + 2)
    expected_scores, expected_keys = search_exactly(store, VECTORS[:4], count + 2)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    assert np.sort(keys, axis=1).tolist() == np.sort(expected_keys, axis=1).tolist()
    assert keys[:, 0].tolist() == expected_keys[:, 0].tolist()
    assert (keys[:, count:] == NO_KEY).all()


def test_what_is_mirrored_is_found_as_by_exact_search(engine: QdrantEngine, store: IndexStore) -> None:
    told: list[tuple[int, int]] = []
    assert engine.sync(lambda done, total, note: told.append((done, total))) == (40, 0)
    assert told == [(40, 40)]
    expect_the_same(engine, store)


def test_only_allowed_keys_are_found(engine: QdrantEngine, store: IndexStore) -> None:
    engine.sync()
    allowed = np.array([3, 9, 31])
    scores, keys = engine.search(VECTORS[:2], 4, allowed)
    expected = search_exactly(store, VECTORS[:2], 4, allowed)
    np.testing.assert_array_equal(keys, expected[1])
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)
    nothing = engine.search(VECTORS[:1], 2, np.empty(0, dtype=np.int64))
    assert nothing[1].tolist() == [[NO_KEY, NO_KEY]]


def test_a_query_need_not_be_normalised(engine: QdrantEngine) -> None:
    engine.sync()
    plain, longer = (engine.search(scale * VECTORS[:3], 5) for scale in (1, 100))
    np.testing.assert_array_equal(plain[1], longer[1])
    np.testing.assert_allclose(plain[0], longer[0], atol=1e-5)


def test_a_change_of_the_index_is_followed(engine: QdrantEngine, store: IndexStore) -> None:
    engine.sync()
    store.remove(["v03", "v19"])
    store.add([build_video("v05", VECTORS[30:33]), build_video("new", VECTORS[35:36])])
    told: list[tuple[int, int]] = []
    assert engine.sync(lambda done, total, note: told.append((done, total))) == (4, 6)
    assert told == [(4, 4)]
    expect_the_same(engine, store)
    assert engine.sync() == (0, 0)


# The client leaves the file open by which it found that the folder is in use.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_folder_is_used_again_after_a_restart(store: IndexStore, tmp_path: Path) -> None:
    folder = str(tmp_path / "qdrant")
    engine = QdrantEngine(folder, store, "clip")
    engine.sync()
    with pytest.raises(SearchError, match="end the process that uses it, or run a Qdrant server"):
        QdrantEngine(folder, store, "clip")
    engine.close()
    store.remove(["v00"])
    again = QdrantEngine(folder, store, "clip")
    assert again.sync() == (0, 2)
    expect_the_same(again, store)
    again.close()


def test_a_break_loses_no_more_than_a_batch(
    engine: QdrantEngine, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of ten; the third is cut off after it was sent and before that was noted.

    Of the two videos that leave then, the vectors of one were never sent.
    """
    monkeypatch.setattr(qdrant_engine, "_BATCH", 10)
    note = engine._note

    def stop(mirrored: qdrant_engine.Mirrored) -> None:
        if mirrored.last_key == 30:
            raise KeyboardInterrupt
        note(mirrored)

    monkeypatch.setattr(engine, "_note", stop)
    with pytest.raises(KeyboardInterrupt):
        engine.sync()
    monkeypatch.setattr(engine, "_note", note)
    store.remove(["v02", "v19"])
    assert engine.sync() == (18, 2)
    expect_the_same(engine, store)


def test_units_and_indexes_have_collections_of_their_own(store: IndexStore) -> None:
    names = {QdrantEngine(":memory:", store, unit).collection for unit in ("video", "clip")}
    assert names == {f"unreel_{store.identity[:12]}_video", f"unreel_{store.identity[:12]}_clip"}
    assert QdrantEngine(":memory:", store, "video", "mine").name == "Qdrant (:memory:, collection mine)"


def test_a_collection_of_something_else_is_refused_by_name(engine: QdrantEngine, tmp_path: Path) -> None:
    engine.sync()

    def share(name: str, unit: Any, **info: Any) -> QdrantEngine:
        other_store = build_store(tmp_path / name, [build_video("a", VECTORS[:1])], dimension=SIZE, **info)
        other = QdrantEngine(":memory:", other_store, unit, engine.collection)
        other._client = engine._client
        return other

    encoder = share("encoder.index", "clip", encoder="big", encoder_hash="1" * 16)
    with pytest.raises(SearchError, match=r"holds vectors of encoder 'tiny' \(hash 0+\).*'big' \(hash 1+\)"):
        encoder.sync()
    with pytest.raises(
        SearchError, match=r"mirrors the clips of another index, not the clips of .*same.index"
    ):
        share("same.index", "clip").sync()
    with pytest.raises(SearchError, match="mirrors the clips of another index, not the videos of"):
        share("video.index", "video").sync()
    assert engine.sync() == (0, 0)


def test_a_collection_that_is_not_ours_is_left_alone(engine: QdrantEngine) -> None:
    models = engine._models
    shape = models.VectorParams(size=2, distance=models.Distance.DOT)
    engine._client.create_collection(engine.collection, vectors_config=shape)
    engine._client.upsert(engine.collection, [models.PointStruct(id=0, vector=[1.0, 0.0], payload={"a": 1})])
    with pytest.raises(SearchError, match="was not made by unreel; give the name of another collection"):
        engine.sync()
    assert engine._client.count(engine.collection).count == 1


def test_a_collection_of_another_past_is_made_anew(
    engine: QdrantEngine, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index was restored from a copy: keys have been given twice, so the vectors there may be others."""
    engine.sync()
    state = engine._read_state()
    assert state is not None
    engine._note(qdrant_engine.replace(state, token="a state that was undone"))
    assert engine.sync() == (40, 0)
    expect_the_same(engine, store)


def test_a_collection_whose_removals_are_forgotten_is_made_anew(
    engine: QdrantEngine, store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.sync()
    monkeypatch.setattr(index_schema, "_KEPT_REMOVALS", 3)
    store.remove(["v00", "v01"])
    assert engine.sync() == (36, 0)
    expect_the_same(engine, store)
    store.remove(["v02"])
    assert engine.sync() == (0, 2)
    fresh = QdrantEngine(":memory:", store, "clip")
    assert fresh.sync() == (34, 0)
    fresh.close()


def test_threads_search_while_another_follows(engine: QdrantEngine, store: IndexStore) -> None:
    """Local mode enlarges and compacts its arrays while it takes vectors in."""
    engine.sync()
    wrong: list[object] = []
    is_done = threading.Event()

    def look() -> None:
        while not is_done.is_set():
            try:
                keys = engine.search(VECTORS[:2], 30)[1]
                if (keys == NO_KEY).any():
                    wrong.append(keys)
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_number in range(12):
        store.add([build_video(f"more{round_number}-{row}", VECTORS[row : row + 2]) for row in range(20)])
        engine.sync()
    is_done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("location", ["localhost:6333", "10.0.0.7:6333/", "grpc://desk:6334", "ftp://x"])
def test_an_address_without_its_scheme_is_not_taken_for_a_folder(
    store: IndexStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"qdrant must be an address that begins with http:// or https://"):
        QdrantEngine(location, store, "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["videos.index"]


def test_a_server_that_does_not_answer_is_named_with_a_remedy(store: IndexStore) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        engine = QdrantEngine(address, store, "clip")
        message = f"Qdrant at {address} cannot be reached or refuses .*check that it runs, its address, and"
        with pytest.raises(SearchError, match=message):
            engine.sync()
        with pytest.raises(SearchError, match=message):
            engine.search(VECTORS[:1], 1)
        engine.close()


def test_the_key_comes_from_the_environment_and_stays_there(
    monkeypatch: pytest.MonkeyPatch, store: IndexStore
) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    assert qdrant_engine._choose_location("https://example.com", "c")["api_key"] is None
    monkeypatch.setenv(API_KEY_VARIABLE, "secret-7")
    assert qdrant_engine._choose_location("https://example.com", "c")["api_key"] == "secret-7"
    assert "api_key" not in qdrant_engine._choose_location(":memory:", "c")
    assert "api_key" not in qdrant_engine._choose_location("folder", "c")
    engine = QdrantEngine("https://example.com", store, "clip")
    assert "secret-7" not in engine.name + repr(vars(engine))
    engine.close()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, store: IndexStore) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    monkeypatch.setitem(sys.modules, "qdrant_client.models", None)
    with pytest.raises(
        SearchError, match=r"needs the package qdrant-client .*pip install 'unreel\[qdrant\]'"
    ):
        QdrantEngine(":memory:", store, "clip")
