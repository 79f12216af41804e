import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.caches import draw_random
from tests.search.small_indexes import build_store, build_video
from unreel.search import index_schema, layers
from unreel.search.index_reader import IndexReader
from unreel.search.index_schema import Unit
from unreel.search.index_store import IndexStore
from unreel.search.layers import Layers, RecentVectors, build_layers
from unreel.search.tuned_index import find_tuned_file
from unreel.search.vector_cache import VectorCache

SIZE = 4
VECTORS = draw_random(60, SIZE)


def add(store: IndexStore, *rows: int) -> None:
    store.add([build_video(f"v{row}", VECTORS[row : row + 1]) for row in rows])


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    store = build_store(tmp_path / "v.index", dimension=SIZE)
    add(store, *range(20))
    return store


def follow(store: IndexStore, before: Layers | None = None) -> Layers:
    with store.read() as reader:
        return build_layers(store, "video", reader, before.cache if before else None, before)


def find_all(found: Layers) -> list[int]:
    """Return every key that is found, ascending."""
    query = np.ones((1, SIZE), dtype=np.float32)
    keys = [engine.search(query, found.rows, found.alive)[1] for engine in found.engines]
    together = np.concatenate(keys, axis=1)
    return sorted(together[together > 0].tolist())


def test_what_is_new_lies_beside_the_cache_and_what_is_gone_is_masked(store: IndexStore) -> None:
    first = follow(store)
    assert (first.rows, len(first.engines), first.alive) == (20, 1, None)
    add(store, 20, 21)
    second = follow(store, first)
    assert second.cache is first.cache
    assert second.main is first.main
    assert second.recent.keys.tolist() == [21, 22]
    np.testing.assert_array_equal(second.recent.vectors, VECTORS[20:22])
    assert second.alive is None
    store.remove(["v3", "v20", "v7"])
    third = follow(store, second)
    assert third.removed.tolist() == [4, 8, 21]
    assert find_all(third) == sorted({*range(1, 23)} - {4, 8, 21})
    assert find_all(second) == list(range(1, 23))  # a search that is under way keeps what it has


def test_only_what_is_new_is_read(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    found = follow(store)
    add(store, 20)
    found = follow(store, found)
    add(store, 21)
    asked: list[int] = []
    iterate = IndexReader.iterate_vectors

    def note(reader: IndexReader, unit: Unit, after_key: int = 0) -> Iterator[tuple[Any, Any]]:
        asked.append(after_key)
        return iterate(reader, unit, after_key)

    monkeypatch.setattr(IndexReader, "iterate_vectors", note)
    follow(store, found)
    assert asked == [21]


def test_a_video_that_came_and_went_between_two_searches_is_nowhere(store: IndexStore) -> None:
    found = follow(store)
    add(store, 30)
    store.remove(["v30"])
    found = follow(store, found)
    assert found.alive is None
    add(store, 31)
    assert find_all(follow(store, found)) == [*range(1, 21), 22]


def test_layers_are_current_until_the_index_or_its_codes_change(store: IndexStore) -> None:
    def ask(found: Layers) -> bool:
        with store.read() as reader:
            return found.are_current(store, "video", reader)

    found = follow(store)
    assert ask(found)
    store.update_metadata([("v3", "x", "", "")])
    assert not ask(found)
    found = follow(store, found)
    assert ask(found)
    find_tuned_file(store, "video").write_bytes(b"codes of another process")
    assert not ask(found)
    assert ask(follow(store, found))


@pytest.mark.parametrize(("kind", "steps"), [("added", 7), ("removed", 7), ("replaced again and again", 4)])
def test_much_change_makes_the_cache_anew(
    store: IndexStore, kind: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So neither the recent vectors nor the keys that are gone grow beyond all bounds."""
    monkeypatch.setattr(layers, "_MAX_STALE_ROWS", 6)
    found = first = follow(store)
    for number in range(steps):
        assert found.cache is first.cache
        if kind == "added":
            add(store, 20 + number)
        elif kind == "removed":
            store.remove([f"v{number}"])
        else:
            add(store, 5)
        found = follow(store, found)
    assert found.cache is not first.cache
    assert len(found.recent.keys) + len(found.removed) == 0
    with store.read() as reader:
        assert find_all(found) == sorted(key for keys, _ in reader.iterate_vectors("video") for key in keys)


def test_layers_of_another_past_are_passed_over(store: IndexStore, tmp_path: Path) -> None:
    """A backup is put back under a running search, and its keys are given to other vectors."""
    found = follow(store)
    shutil.copy(store.path, tmp_path / "backup")
    add(store, 40, 41)
    found = follow(store, found)
    shutil.copy(tmp_path / "backup", store.path)
    add(store, 50, 51, 52)
    again = follow(store, found)
    np.testing.assert_array_equal(again.recent.vectors, VECTORS[50:53])
    assert again.cache is found.cache  # which is of before the backup


def test_removals_that_are_forgotten_make_the_cache_anew(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_schema, "_KEPT_REMOVALS", 4)  # notes of two videos with a clip each
    found = first = follow(store)
    store.remove(["v0", "v1"])
    found = follow(store, found)
    assert found.cache is first.cache
    store.remove(["v2", "v3", "v4"])
    found = follow(store, found)
    assert found.cache is not first.cache
    assert find_all(found) == list(range(6, 21))
    assert VectorCache.load(store, "video").stamp == found.cache.stamp  # type: ignore[union-attr]


@given(st.lists(st.integers(1, 7), max_size=8))
def test_recent_vectors_are_those_that_were_put_in(sizes: list[int]) -> None:
    recent, seen = RecentVectors.start(SIZE), [RecentVectors.start(SIZE)]
    for size in sizes:
        start = len(recent.keys)
        recent = recent.extend(np.arange(start, start + size), VECTORS[start : start + size])
        seen.append(recent)
    for part in seen:
        rows = len(part.keys)
        assert part.keys.tolist() == list(range(rows))
        np.testing.assert_array_equal(part.vectors, VECTORS[:rows])
        np.testing.assert_allclose(part.scales, 1 / np.linalg.norm(VECTORS[:rows], axis=1), rtol=1e-6)
