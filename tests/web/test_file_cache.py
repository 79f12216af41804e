import os
import time
from pathlib import Path

import pytest

from unreel.web.file_cache import FileCache

MB = 1 << 20


def put(cache: FileCache, name: str, size: int, *, age_sec: float = 0.0) -> None:
    with cache.make(name) as path:
        path.write_bytes(bytes(size))
    found = cache.find(name)
    assert found is not None
    then = time.time() - age_sec
    os.utime(found, (then, then))


def test_what_was_made_is_found(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", limit_mb=1)
    assert cache.find("a") is None
    put(cache, "a", 3)
    found = cache.find("a")
    assert found is not None
    assert found.read_bytes() == bytes(3)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, limit_mb=1)

    def fail() -> None:
        with cache.make("a") as path:
            path.write_bytes(b"half of it")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, limit_mb=2)
    put(cache, "a", MB, age_sec=300)
    put(cache, "b", MB, age_sec=200)
    assert cache.find("a") is not None  # which is a use
    put(cache, "c", MB, age_sec=100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_the_newest_stays_even_when_it_is_too_large_alone(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, limit_mb=1)
    put(cache, "a", 10, age_sec=100)
    put(cache, "b", 2 * MB)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_trimming_may_wait_for_several_files(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, limit_mb=1, trim_every=3)
    for number in range(2):
        put(cache, str(number), MB, age_sec=100 - number)
    assert len(list(tmp_path.iterdir())) == 2
    put(cache, "2", MB)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_a_smaller_limit_holds_from_the_start(tmp_path: Path) -> None:
    put(FileCache(tmp_path, limit_mb=9), "a", 3 * MB)
    FileCache(tmp_path, limit_mb=1)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_servers_were_writing_is_removed_when_it_is_old(tmp_path: Path) -> None:
    old, young = tmp_path / "old.part", tmp_path / "young.part"
    for path, age_sec in ((old, 2 * 86400), (young, 60)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_sec,) * 2)
    FileCache(tmp_path, limit_mb=1)
    assert (old.exists(), young.exists()) == (False, True)
