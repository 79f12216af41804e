"""`VideoIndex` over codes: as right as exact search, whatever happens to the index."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.search.caches import draw_clustered
from tests.search.small_indexes import build_store, build_video
from unreel.search import layers
from unreel.search.codes import Codes
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import FLAT, LISTS, TunedIndex, find_tuned_file, read_tuned, save_tuned
from unreel.search.vector_cache import CacheStamp, VectorCache
from unreel.search.video_index import VideoIndex

ROWS, SIZE = 600, 16
VECTORS = draw_clustered(2 * ROWS, SIZE)


def add(store: IndexStore, rows: range, label: str = "") -> None:
    """One video per row, with a clip for it and one that is a little off."""
    store.add(
        [
            build_video(f"v{row:04}", [VECTORS[row], VECTORS[row] + 0.01], label=label or f"l{row % 3}")
            for row in rows
        ]
    )


def tune(store: IndexStore, unit: Unit, *, num_lists: int = 0) -> None:
    """Encode all vectors, and look at so many that nothing is missed."""
    with store.read() as reader:
        cache = VectorCache.build(store, unit, reader)
    codes = Codes.train(cache.vectors, cache.scales, num_lists=num_lists)
    codes.add(cache.keys, cache.vectors, cache.scales)
    tuned = TunedIndex(
        unit=unit,
        kind=LISTS if num_lists else FLAT,
        num_lists=num_lists,
        num_probes=num_lists,
        num_candidates=400,
        num_rows=len(cache.keys),
    )
    save_tuned(store, tuned, cache.stamp, codes)


@pytest.fixture(params=[0, 8], ids=["flat", "lists"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> IndexStore:
    store = build_store(tmp_path / "v.index", dimension=SIZE)
    add(store, range(ROWS))
    for unit in UNITS:
        tune(store, unit, num_lists=request.param)
    return store


def expect_as_exact(index: VideoIndex, tmp_path: Path, rows: list[int]) -> None:
    """The same index without its codes gives the same answers."""
    plain = IndexStore.open(index.store.path)
    plain.cache_folder = tmp_path / "plain.cache"
    exact = VideoIndex(plain)
    assert exact.describe_engine("clip") == "exact"
    for row in rows:
        for unit in UNITS:
            for wanted in (NO_FILTER, Filter(labels=("l1",)), Filter(labels=("rare",))):
                found, expected = (
                    which.search(VECTORS[row], unit=unit, wanted=wanted, top_k=6, exclude="v0001")
                    for which in (index, exact)
                )
                assert [hit.video_id for hit in found] == [hit.video_id for hit in expected]
                assert [hit.score for hit in found] == pytest.approx(
                    [hit.score for hit in expected], abs=1e-6
                )
                assert [hit.start_sec for hit in found] == [hit.start_sec for hit in expected]


def test_codes_are_used_for_the_unit_that_was_tuned(store: IndexStore, tmp_path: Path) -> None:
    index = VideoIndex.open(store.path)
    for unit in UNITS:
        assert index.describe_engine(unit).startswith("approximate (RaBitQ")
    expect_as_exact(index, tmp_path, [0, 1, 599])
    find_tuned_file(store, "clip").unlink()
    assert VideoIndex.open(store.path).describe_engine("clip") == "exact"
    assert VideoIndex.open(store.path).describe_engine("video") != "exact"


def test_every_change_is_seen_beside_the_codes(store: IndexStore, tmp_path: Path) -> None:
    index = VideoIndex.open(store.path)
    index.search(VECTORS[0])
    changes: list[Callable[[], object]] = [
        lambda: add(store, range(600, 640), label="rare"),
        lambda: store.remove(["v0000", "v0610"]),
        lambda: store.add([build_video("v0599", [VECTORS[700]], label="l1")]),
        lambda: store.add([build_video("v0599", [VECTORS[701]], label="rare")]),
        lambda: store.update_metadata([("v0005", "rare", "", "")]),
        lambda: store.remove([f"v{row:04}" for row in range(1, 60)]),
    ]
    for change in changes:
        change()
        expect_as_exact(index, tmp_path, [0, 5, 599, 610, 700, 701])
        assert index.describe_engine("clip") != "exact"
    assert all(hit.video_id != "v0000" for hit in index.search(VECTORS[0], top_k=700))
    assert len(index.search(VECTORS[0], top_k=700)) == 579


def test_a_cache_that_is_made_anew_takes_the_codes_along(
    store: IndexStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_MAX_STALE_ROWS", 10)
    index = VideoIndex.open(store.path)
    before = find_tuned_file(store, "clip").stat().st_size
    add(store, range(600, 700))
    store.remove(["v0003"])
    expect_as_exact(index, tmp_path, [3, 600, 699])
    assert index.describe_engine("clip") != "exact"
    assert find_tuned_file(store, "clip").stat().st_size > before
    expect_as_exact(VideoIndex.open(store.path), tmp_path, [3, 600, 699])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no codes"),
        lambda path: path.write_bytes(path.read_bytes()[:-9] + b"\x07" + path.read_bytes()[-8:]),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        Path.unlink,
    ],
    ids=["text", "a byte", "cut", "gone"],
)
def test_damaged_codes_are_passed_over(
    store: IndexStore, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    running = VideoIndex.open(store.path)
    assert running.describe_engine("clip") != "exact"
    damage(find_tuned_file(store, "clip"))
    for index in (running, VideoIndex.open(store.path)):
        assert index.describe_engine("clip") == "exact"
        assert index.describe_engine("video") != "exact"
        expect_as_exact(index, tmp_path, [0, 7])


def test_a_running_search_takes_what_is_tuned_meanwhile(tmp_path: Path) -> None:
    store = build_store(tmp_path / "v.index", dimension=SIZE)
    add(store, range(ROWS))
    index = VideoIndex.open(store.path)
    assert index.describe_engine() == "exact"
    tune(store, "video")
    assert index.describe_engine() == "approximate (RaBitQ)"
    save_tuned(store, TunedIndex(num_rows=ROWS), _stamp(store), None)
    assert read_tuned(store, "video") == TunedIndex(num_rows=ROWS)
    assert index.describe_engine() == "exact"


def _stamp(store: IndexStore) -> CacheStamp:
    cache = VectorCache.load(store, "video")
    assert cache is not None
    return cache.stamp


def test_codes_are_read_once_whatever_changes(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a hundred megabytes of an index of a million clips, and so are its keys."""
    index = VideoIndex.open(store.path)
    index.search(VECTORS[0], unit="clip")
    monkeypatch.setattr(layers, "open_approximate", None)
    monkeypatch.setattr(VectorCache, "build", None)
    for row in (600, 601):
        add(store, range(row, row + 1))
        assert index.search(VECTORS[row], unit="clip", top_k=1)[0].video_id == f"v{row:04}"
        store.remove([f"v{row - 600:04}"])
        assert index.search(VECTORS[row - 600], unit="clip", top_k=1)[0].video_id != f"v{row - 600:04}"


def test_threads_search_codes_while_videos_come_and_go(store: IndexStore) -> None:
    index = VideoIndex.open(store.path)
    wrong: list[object] = []
    is_done = threading.Event()

    def look(number: int) -> None:
        unit, row = UNITS[number % 2], 100 + number
        wanted = Filter(labels=(f"l{row % 3}",)) if number % 3 else NO_FILTER
        while not is_done.is_set():
            try:
                hits = index.search(VECTORS[row], unit=unit, wanted=wanted, top_k=20)
            except Exception as error:
                wrong.append(repr(error))
                return
            scores = [hit.score for hit in hits]
            is_sound = scores == sorted(scores, reverse=True) and len(hits) == 20
            if not is_sound or hits[0].video_id != f"v{row:04}":
                wrong.append(hits)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for row in range(15):
        add(store, range(600 + row, 601 + row))
        store.remove([f"v{row:04}"])
        add(store, range(300 + row, 301 + row))
    is_done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(index.search(VECTORS[0], top_k=10**6)) == 600
