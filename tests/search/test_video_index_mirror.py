"""`VideoIndex` over a mirror in Qdrant's local mode."""

from pathlib import Path

import pytest

from tests.search.caches import draw_random
from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_store import IndexStore
from unreel.search.qdrant_engine import QdrantEngine
from unreel.search.video_index import VideoIndex

SIZE = 8
VECTORS = draw_random(80, SIZE)
# The client leaves the file open by which it found that a folder is in use.
leaves_file_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    videos = [
        build_video(f"v{row:02}", VECTORS[row : row + 2], label=f"l{row % 2}") for row in range(0, 40, 2)
    ]
    return build_store(tmp_path / "v.index", videos, dimension=SIZE)


def expect_as_exact(index: VideoIndex) -> None:
    exact = VideoIndex(index.store)
    for row in (0, 7, 50):
        for unit in UNITS:
            for wanted in (NO_FILTER, Filter(labels=("l0",)), Filter(labels=("absent",))):
                found, expected = (
                    which.search(VECTORS[row], unit=unit, wanted=wanted, top_k=50, exclude="v04")
                    for which in (index, exact)
                )
                assert [(hit.video_id, hit.start_sec) for hit in found] == [
                    (hit.video_id, hit.start_sec) for hit in expected
                ]
                assert [hit.score for hit in found] == pytest.approx(
                    [hit.score for hit in expected], abs=1e-5
                )


def change(store: IndexStore) -> None:
    store.remove(["v00"])
    store.add([build_video("v02", VECTORS[50:53], label="l0"), build_video("new", VECTORS[60:61])])


def test_a_mirror_in_memory_answers_as_the_index_and_follows_it(store: IndexStore) -> None:
    index = VideoIndex.open(store.path, qdrant=":memory:")
    expect_as_exact(index)
    assert index.describe_engine("clip").startswith("Qdrant (:memory:, collection unreel_")
    change(store)
    expect_as_exact(index)
    index.close()


@leaves_file_open
def test_a_mirror_in_a_folder_serves_both_units_and_the_next_process(
    store: IndexStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "mirror")
    index = VideoIndex.open(store.path, qdrant=folder)
    expect_as_exact(index)
    change(store)
    expect_as_exact(index)
    index.close()
    sent = []
    monkeypatch.setattr(QdrantEngine, "_upsert", lambda engine, keys, vectors: sent.append(keys))
    again = VideoIndex.open(store.path, qdrant=folder)
    expect_as_exact(again)
    again.close()
    assert sent == []


@leaves_file_open
def test_a_folder_in_use_is_named_and_free_again_once_closed(store: IndexStore, tmp_path: Path) -> None:
    first = VideoIndex.open(store.path, qdrant=str(tmp_path))
    first.search(VECTORS[0])
    with pytest.raises(SearchError, match="end the process that uses it, or run a Qdrant server"):
        VideoIndex.open(store.path, qdrant=str(tmp_path)).search(VECTORS[0])
    first.close()
    second = VideoIndex.open(store.path, qdrant=str(tmp_path))
    assert second.search(VECTORS[0])
    second.close()


@pytest.mark.parametrize("unit", UNITS)
def test_what_the_mirror_has_and_the_reader_does_not_is_left_out(
    store: IndexStore, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process adds a video, and brings the mirror in line with it, after this search began."""
    index = VideoIndex.open(store.path, qdrant=":memory:")
    sync = QdrantEngine.sync

    def sync_late(engine: QdrantEngine) -> tuple[int, int]:
        with store.read() as reader:
            is_there = reader.video("late") is not None
        if not is_there:
            store.add([build_video("late", [VECTORS[0]])])
        return sync(engine)

    monkeypatch.setattr(QdrantEngine, "sync", sync_late)
    first = index.search(VECTORS[0], unit=unit, top_k=5)
    assert "late" not in {hit.video_id for hit in first}
    assert index.search(VECTORS[0], unit=unit, top_k=1)[0].video_id == "late"


def test_a_mirror_is_asked_for_changes_only_when_there_are_some(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = VideoIndex.open(store.path, qdrant=":memory:")
    calls = []
    sync = QdrantEngine.sync

    def count_and_sync(engine: QdrantEngine) -> tuple[int, int]:
        calls.append(engine)
        return sync(engine)

    monkeypatch.setattr(QdrantEngine, "sync", count_and_sync)
    for _ in range(3):
        index.search(VECTORS[0])
    assert len(calls) == 1
    change(store)
    index.search(VECTORS[0])
    assert len(calls) == 2


def test_a_server_that_does_not_answer_is_named(store: IndexStore) -> None:
    index = VideoIndex.open(store.path, qdrant="http://127.0.0.1:9")
    with pytest.raises(SearchError, match=r"Qdrant at http://127\.0\.0\.1:9 cannot be reached"):
        index.search(VECTORS[0])
    assert index.embed_stored("v00") is not None
