import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.runs import atomic_path
from unreel.search import index_reader, vector_cache
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_store import IndexStore
from unreel.search.vector_cache import CacheStamp, VectorCache, find_cache_file

VIDEOS = [build_video("a", [[3, 4], [0, 2]]), build_video("b", [[0, 0]]), build_video("c", [[1, 0]])]


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return build_store(tmp_path / "v.index", VIDEOS)


def build(store: IndexStore, unit: Unit = "clip") -> VectorCache:
    with store.read() as reader:
        return VectorCache.build(store, unit, reader)


def test_the_cache_holds_keys_vectors_and_scales(store: IndexStore) -> None:
    """|(3, 4)| = 5 and |(0, 2)| = 2; zero stands for the vector of zeros."""
    cache = build(store)
    assert cache.keys.tolist() == [1, 2, 3, 4]
    assert cache.vectors.tolist() == [[3, 4], [0, 2], [0, 0], [1, 0]]
    np.testing.assert_allclose(cache.scales, [0.2, 0.5, 0.0, 1.0])
    assert cache.vectors.dtype == cache.scales.dtype == np.float32
    assert build(store, "video").vectors.tolist() == [[1.5, 3], [0, 0], [1, 0]]


def test_the_stamp_tells_the_state(store: IndexStore) -> None:
    store.remove(["c"])
    stamp = build(store).stamp
    with store.read() as reader:
        assert stamp == CacheStamp(store.identity, reader.generation, reader.token, 4, 2, 3, 2)


def test_what_was_built_is_loaded_without_the_index(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(store)
    monkeypatch.setattr(IndexStore, "read", None)
    loaded = VectorCache.load(store, "clip")
    assert loaded is not None
    assert loaded.stamp == built.stamp
    assert loaded.path == built.path == store.path.with_name("v.index.cache") / "clip.vectors"
    for name in ("keys", "vectors", "scales"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(built, name))
    assert VectorCache.load(store, "video") is None


def test_the_vectors_are_mapped_and_write_protected(store: IndexStore) -> None:
    cache = build(store)
    assert cache.path is not None
    size = cache.path.stat().st_size
    assert size == vector_cache._HEADER_BYTES + 4 * (8 + 4 + 2 * 4)
    with pytest.raises(ValueError, match="read-only"):
        cache.vectors[0, 0] = 7


def test_a_cache_outlives_its_file_and_folder(store: IndexStore) -> None:
    cache = build(store)
    assert cache.path is not None
    cache.path.unlink()
    store.cache_folder.rmdir()
    assert cache.vectors.tolist() == [[3, 4], [0, 2], [0, 0], [1, 0]]
    assert build(store).path == cache.path


@pytest.mark.parametrize("block_bytes", [1, 20, 2**24])
@pytest.mark.parametrize("unit", UNITS)
def test_blocks_change_nothing(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch, unit: Unit, block_bytes: int
) -> None:
    expected = build(store, unit).vectors.tolist()
    monkeypatch.setattr(index_reader, "_BLOCK_BYTES", block_bytes)
    assert build(store, unit).vectors.tolist() == expected


def test_an_empty_index_has_an_empty_cache(tmp_path: Path) -> None:
    store = build_store(tmp_path / "v.index", dimension=7)
    build(store)
    cache = VectorCache.load(store, "clip")
    assert cache is not None
    assert (cache.keys.shape, cache.vectors.shape, cache.scales.shape) == ((0,), (0, 7), (0,))


def rewrite_header(path: Path, **changes: object) -> None:
    content = path.read_bytes()
    size = vector_cache._HEADER_BYTES
    values = {**json.loads(content[:size].rstrip(b"\0")), **changes}
    path.write_bytes(json.dumps(values).encode().ljust(size, b"\0") + content[size:])


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": "of another index"},
        {"identity": None},
        {"token": ["x"]},
        {"dimension": 1},
        {"dimension": 2.0},
        {"rows": 3},
        {"rows": -1},
        {"rows": 10**30},
        {"rows": True},
        {"generation": "1"},
        {"last_key": None},
        {"format_version": 2},
        {"surplus": 1},
    ],
)
def test_a_cache_of_something_else_is_none(store: IndexStore, changes: dict[str, object]) -> None:
    path = build(store).path
    assert path is not None
    rewrite_header(path)
    assert VectorCache.load(store, "clip") is not None
    rewrite_header(path, **changes)
    assert VectorCache.load(store, "clip") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\0" * 5000,
        b"{" * 5000,
        b"[" * 4096,
        b"[1, 2]".ljust(4096, b"\0"),
        b"\xff\xfe" * 3000,
        b"{}".ljust(4096, b"\0"),
    ],
)
def test_foreign_bytes_are_no_cache(store: IndexStore, content: bytes) -> None:
    path = find_cache_file(store, "clip")
    path.parent.mkdir()
    path.write_bytes(content)
    assert VectorCache.load(store, "clip") is None


@pytest.mark.parametrize("change", [-1, 1, -60])
def test_a_cache_of_another_size_is_none(store: IndexStore, change: int) -> None:
    path = build(store).path
    assert path is not None
    os.truncate(path, path.stat().st_size + change)
    assert VectorCache.load(store, "clip") is None


def test_the_cache_of_an_index_that_was_here_before_is_none(store: IndexStore) -> None:
    build(store)
    store.path.unlink()
    assert VectorCache.load(build_store(store.path, VIDEOS), "clip") is None


def test_where_no_file_can_be_written_all_is_in_memory(store: IndexStore) -> None:
    store.cache_folder.write_text("a file at the place of the folder")
    cache = build(store)
    assert cache.path is None
    assert cache.vectors.tolist() == [[3, 4], [0, 2], [0, 0], [1, 0]]
    assert store.cache_folder.read_text() == "a file at the place of the folder"
    assert VectorCache.load(store, "clip") is None


def test_a_full_disk_is_seen_before_the_file_is_mapped(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that only has its size would kill the process, when it is written to as memory."""

    def refuse(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    cache = build(store)
    assert cache.path is None
    assert cache.keys.tolist() == [1, 2, 3, 4]
    assert list(store.cache_folder.iterdir()) == []


def test_room_is_taken_for_the_whole_file(store: IndexStore) -> None:
    store.add([build_video("many", np.ones((20_000, 2)))])
    path = build(store).path
    assert path is not None
    assert path.stat().st_blocks * 512 >= path.stat().st_size > 400_000


def test_a_damaged_vector_is_named_and_leaves_no_file(store: IndexStore) -> None:
    with store.read() as reader:
        reader._connection.execute("UPDATE clip_vectors SET vector = x'00' WHERE key = 3")
        with pytest.raises(SearchError, match="holds vectors that are not 8 bytes; make the index again"):
            VectorCache.build(store, "clip", reader)
    assert list(store.cache_folder.iterdir()) == []


def test_two_that_build_at_once_keep_each_what_it_has_built(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one's file takes the name between our last byte and our next look."""

    @contextmanager
    def put_another_in_its_place(path: Path) -> Iterator[Path]:
        with atomic_path(path) as temporary:
            yield temporary
        monkeypatch.undo()
        store.remove(["a"])
        store.add([build_video("d", [[8, 8], [9, 9]])])
        build(store)

    monkeypatch.setattr(vector_cache, "atomic_path", put_another_in_its_place)
    cache = build(store)
    assert cache.stamp.generation == 1
    assert cache.keys.tolist() == [1, 2, 3, 4]
    assert cache.vectors.tolist() == [[3, 4], [0, 2], [0, 0], [1, 0]]
    newest = VectorCache.load(store, "clip")
    assert newest is not None
    assert newest.keys.tolist() == [3, 4, 5, 6]
