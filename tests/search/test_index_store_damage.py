"""An index when the disk is full or lies: a clear error, and what was in it stays or is refused by name."""

import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.search.killing import read_index
from tests.search.small_indexes import build_store, build_video
from unreel.errors import SearchError
from unreel.search import index_schema
from unreel.search.index_rows import NewVideo
from unreel.search.index_store import IndexStore
from unreel.search.video_index import VideoIndex

DIMENSION = 64


def make_videos(first: int, count: int, *, clips: int = 4) -> list[NewVideo]:
    rng = np.random.default_rng(first)
    return [build_video(str(first + n), rng.normal(size=(clips, DIMENSION))) for n in range(count)]


class SmallDisk(sqlite3.Connection):
    """A database that may not grow beyond some pages."""

    pages = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute(f"PRAGMA max_page_count = {self.pages}")


def fill_disk(monkeypatch: pytest.MonkeyPatch, store: IndexStore, spare_pages: int) -> None:
    """Leave room for so many pages more."""
    with sqlite3.connect(store.path) as connection:
        SmallDisk.pages = connection.execute("PRAGMA page_count").fetchone()[0] + spare_pages
    connection.close()
    connect = sqlite3.connect
    monkeypatch.setattr(
        index_schema.sqlite3, "connect", lambda *a, **options: connect(*a, factory=SmallDisk, **options)
    )


def test_a_full_disk_is_named_and_the_index_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = build_store(tmp_path / "i", make_videos(0, 5), dimension=DIMENSION)
    before = read_index(store.path)
    with monkeypatch.context() as patch:
        fill_disk(patch, store, 3)
        with pytest.raises(SearchError, match=r"/i cannot be used: .*disk is full; see whether .* has room"):
            store.add(make_videos(100, 200))
        assert read_index(store.path) == before
        # The same change in smaller steps gets in as far as there is room, each step as a whole.
        fits = [make_videos(first, 1) for first in range(100, 300)]
        with pytest.raises(SearchError, match="disk is full"):
            list(map(store.add, fits))
        assert 5 < len(read_index(store.path)) < 205
        store.remove([str(number) for number in range(5)])
    store.add(make_videos(100, 200))
    assert len(read_index(store.path)) == 200


def test_a_search_while_the_disk_is_full_finds_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of the vectors cannot be written either."""
    store = build_store(tmp_path / "i", make_videos(0, 5), dimension=DIMENSION)
    fill_disk(monkeypatch, store, 0)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    query = make_videos(0, 5)[3].vectors_ND.mean(axis=0)
    assert VideoIndex.open(store.path).search(query, top_k=1)[0].video_id == "3"
    assert list(store.cache_folder.iterdir()) == []


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "i"
    build_store(path, make_videos(0, 40), dimension=DIMENSION)
    return path


def use(path: Path) -> None:
    """Read all that an index holds, and write to it."""
    index = VideoIndex.open(path)
    with index.store.read() as reader:
        videos = reader.find_videos()
        for video in videos:
            reader.clips(video.id)
        for unit in ("video", "clip"):
            for _ in reader.iterate_vectors(unit):  # type: ignore[arg-type]
                pass
    index.search(np.ones(DIMENSION), top_k=50)
    index.store.add(make_videos(500, 3))
    index.store.remove([video.id for video in videos])


def find_complaint(path: Path) -> str:
    """Use an index; return what it says of its damage, "" for nothing."""
    try:
        use(path)
    except SearchError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["bytes", "page", "cut", "zeros"])
def test_damage_anywhere_is_an_error_with_a_name_and_never_a_crash(
    sound: Path, tmp_path: Path, kind: str
) -> None:
    """What is damaged in a vector or a name may go unnoticed; anything else that is wrong is said."""
    rng, named = random.Random(kind), 0
    content = sound.read_bytes()
    for number in range(12):
        path = tmp_path / str(number)
        damaged, place = bytearray(content), rng.randrange(len(content))
        if kind == "bytes":
            for _ in range(50):
                damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == "page":
            start = place // 32768 * 32768
            damaged[start : start + 32768] = rng.randbytes(32768)
        elif kind == "zeros":
            damaged[place : place + 100_000] = bytes(len(damaged[place : place + 100_000]))
        else:
            del damaged[place:]
        path.write_bytes(damaged)
        message = find_complaint(path)
        named += str(path) in message
        assert message == "" or str(path) in message
    assert named >= (3 if kind == "bytes" else 8)


def test_a_damaged_cache_is_made_anew(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "i"
    shutil.copy(sound, path)
    query = np.ones(DIMENSION)
    expected = VideoIndex.open(path).search(query)
    (cache,) = (tmp_path / "i.cache").iterdir()
    content = cache.read_bytes()
    for damage in (b"", content[:100], content[:-1], b"x" + content[1:], content + b"more", b"\0" * 10_000):
        cache.write_bytes(damage)
        assert VideoIndex.open(path).search(query) == expected
        assert cache.read_bytes() == content
