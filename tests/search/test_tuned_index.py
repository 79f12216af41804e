import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.search.caches import draw_clustered
from tests.search.small_indexes import build_store, build_video
from unreel.search.approximate import ApproximateEngine
from unreel.search.codes import Codes
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import (
    FLAT,
    TunedIndex,
    find_tuned_file,
    open_approximate,
    read_tuned,
    save_tuned,
)
from unreel.search.vector_cache import VectorCache

ROWS, SIZE = 60, 16
VECTORS = draw_clustered(2 * ROWS, SIZE)
TUNED = TunedIndex(kind=FLAT, num_candidates=40, num_rows=ROWS, index_recall_at_k=0.97, num_queries=30)


def add(store: IndexStore, rows: range) -> None:
    store.add([build_video(f"v{row:03}", VECTORS[row : row + 1]) for row in rows])


def build(store: IndexStore) -> VectorCache:
    with store.read() as reader:
        return VectorCache.build(store, "video", reader)


def encode(cache: VectorCache) -> Codes:
    codes = Codes.train(cache.vectors, cache.scales)
    codes.add(cache.keys, cache.vectors, cache.scales)
    return codes


def reopen(store: IndexStore, cache: VectorCache) -> ApproximateEngine | None:
    with store.read() as reader:
        return open_approximate(store, "video", cache, reader)


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    store = build_store(tmp_path / "videos.index", dimension=SIZE)
    add(store, range(ROWS))
    return store


@pytest.fixture
def tuned(store: IndexStore) -> VectorCache:
    cache = build(store)
    save_tuned(store, TUNED, cache.stamp, encode(cache))
    return cache


def test_what_was_found_out_is_read_again(store: IndexStore, tuned: VectorCache) -> None:
    assert read_tuned(store, "video") == TUNED
    assert read_tuned(store, "clip") is None
    engine = reopen(store, tuned)
    assert engine is not None
    assert engine.name == "approximate (RaBitQ)"
    found = engine.search(tuned.vectors[:9], 1)[1]
    assert found[:, 0].tolist() == tuned.keys[:9].tolist()


def test_an_index_that_was_not_tuned_is_searched_exactly(store: IndexStore) -> None:
    assert read_tuned(store, "video") is None
    assert reopen(store, build(store)) is None


def test_exact_search_may_be_what_tuning_chose(store: IndexStore) -> None:
    cache = build(store)
    save_tuned(store, TunedIndex(num_rows=ROWS), cache.stamp, None)
    assert read_tuned(store, "video") == TunedIndex(num_rows=ROWS)
    assert reopen(store, cache) is None


def test_new_vectors_are_encoded_and_kept(store: IndexStore, tuned: VectorCache) -> None:
    before = find_tuned_file(store, "video").stat().st_size
    add(store, range(ROWS, 2 * ROWS))
    cache = build(store)
    for _ in range(2):
        engine = reopen(store, cache)
        assert engine is not None
        assert engine.search(VECTORS[ROWS:], 1)[1][:, 0].tolist() == cache.keys[ROWS:].tolist()
    # Of each vector there are 8 bytes of key, 2 of code and 8 of factors.
    assert find_tuned_file(store, "video").stat().st_size == before + ROWS * 18
    assert read_tuned(store, "video") == TUNED


def test_vectors_that_are_gone_or_replaced_are_followed(store: IndexStore, tuned: VectorCache) -> None:
    store.remove([f"v{row:03}" for row in range(20)])
    store.add([build_video("v030", VECTORS[100:101])])
    cache = build(store)
    engine = reopen(store, cache)
    assert engine is not None
    found = engine.search(VECTORS[[5, 40, 100]], 1)[1][:, 0]
    assert found.tolist()[1:] == [41, ROWS + 1]
    assert found[0] in cache.keys


def test_codes_are_encoded_without_a_file_when_none_can_be_written(
    store: IndexStore, tuned: VectorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, range(ROWS, ROWS + 5))
    cache = build(store)

    def refuse(*_: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr("unreel.search.tuned_index.save_tuned", refuse)
    engine = reopen(store, cache)
    assert engine is not None
    assert engine.search(VECTORS[ROWS : ROWS + 5], 1)[1][:, 0].tolist() == cache.keys[ROWS:].tolist()


def test_a_damaged_file_is_passed_over_before_faiss_sees_it(
    store: IndexStore, tuned: VectorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_tuned_file(store, "video")
    whole = path.read_bytes()
    monkeypatch.setattr(Codes, "read", lambda *_: pytest.fail("faiss was given damaged bytes"))
    flipped = bytearray(whole)
    flipped[-40] ^= 1
    for damaged in (
        whole[:-1],
        whole[:4200],
        whole[:4096],
        whole + b"x",
        bytes(flipped),
        b"",
        b"{}",
        whole[::-1],
    ):
        path.write_bytes(damaged)
        assert reopen(store, tuned) is None


def change_header(path: Path, **changes: object) -> None:
    data = path.read_bytes()
    values = json.loads(data[:4096].rstrip(b"\0"))
    for name, value in changes.items():
        group, _, key = name.partition("__")
        if key:
            values[group][key] = value
        else:
            values[group] = value
    path.write_bytes(json.dumps(values).encode().ljust(4096, b"\0") + data[4096:])


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 2},
        {"checksum": 5},
        {"num_codes": -1},
        {"num_codes": "60"},
        {"num_codes": ROWS + 1},
        {"stamp__dimension": SIZE + 1},
        {"stamp__identity": "another"},
        {"stamp__token": "a past that never was"},
        {"stamp__colour": "red"},
        {"tuned__unit": "clip"},
        {"tuned__top_k": 0},
        {"tuned__num_candidates": "many"},
        {"tuned": []},
        {"stamp": None},
    ],
)
def test_a_file_of_something_else_is_passed_over(
    store: IndexStore, tuned: VectorCache, changes: dict[str, object]
) -> None:
    change_header(find_tuned_file(store, "video"), **changes)
    assert reopen(store, tuned) is None


def test_the_tuning_of_another_index_is_not_read(
    store: IndexStore, tuned: VectorCache, tmp_path: Path
) -> None:
    other = build_store(tmp_path / "other.index", dimension=SIZE)
    add(other, range(ROWS))
    path = find_tuned_file(other, "video")
    path.parent.mkdir()
    path.write_bytes(find_tuned_file(store, "video").read_bytes())
    assert read_tuned(other, "video") is None
    assert reopen(other, build(other)) is None


def test_codes_that_lack_a_vector_are_not_used(store: IndexStore, tuned: VectorCache) -> None:
    """Another process wrote them for another state: what has no code would never be found."""
    codes = Codes.train(tuned.vectors, tuned.scales)
    codes.add(tuned.keys[1:], tuned.vectors[1:], tuned.scales[1:])
    save_tuned(store, TUNED, tuned.stamp, codes)
    assert reopen(store, tuned) is None


def test_a_write_that_fails_leaves_the_file_as_it_was(
    store: IndexStore, tuned: VectorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Codes, "write", fail)
    with pytest.raises(OSError, match="no space left"):
        save_tuned(store, replace(TUNED, num_candidates=1), tuned.stamp, encode(tuned))
    assert read_tuned(store, "video") == TUNED
    assert [path.name for path in store.cache_folder.glob("*.tmp")] == []


def test_the_effort_is_that_of_the_tuning() -> None:
    effort = replace(TUNED, num_probes=3, top_k=7).effort
    assert (effort.num_candidates, effort.num_probes, effort.top_k) == (40, 3, 7)
    assert np.isclose(TunedIndex().index_recall_at_k, 1.0)
