"""Four readers while one writes: no lock errors, and every answer is of one moment of the index."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.search.small_indexes import build_store, build_video
from unreel.search.filters import Filter
from unreel.search.index_reader import IndexReader
from unreel.search.index_store import IndexStore
from unreel.search.video_index import VideoIndex

READERS, PER_BATCH, CLIPS = 4, 3, 2
ROUNDS = 40


def write_rounds(store: IndexStore, rounds: int) -> None:
    """Add batches of three videos with two clips each, replace one batch and remove another as a whole."""
    for number in range(rounds):
        store.add(make_batch(number, turn=0))
        if number % 3 == 1:
            store.add(make_batch(number - 1, turn=1))
        if number % 3 == 2:
            store.remove([video.id for video in make_batch(number - 2, turn=0)])


def make_batch(number: int, *, turn: int) -> list:  # type: ignore[type-arg]
    vectors = np.random.default_rng(number).normal(size=(CLIPS, 2)) + 10 * turn
    return [
        build_video(f"{number}-{part}", vectors, label=f"batch {number}", split=str(turn))
        for part in range(PER_BATCH)
    ]


def expected_ids(rounds: int) -> set[str]:
    numbers = [number for number in range(rounds) if number % 3 or number + 2 >= rounds]
    return {f"{number}-{part}" for number in numbers for part in range(PER_BATCH)}


def read_until(path: Path, is_over: Callable[[], bool]) -> int:
    """Ask all kinds of questions until told to end; return how often."""
    index, times, query = VideoIndex.open(path), 0, np.array([1.0, 0.5])
    last = -1
    while not is_over() or times == 0:
        with index.store.read() as reader:
            labels = reader.count_values("label")
            assert set(labels.values()) <= {PER_BATCH}, labels
            videos = reader.find_videos()
            assert len(videos) == sum(labels.values()) == reader.count_keys("video") == len(reader.stamps())
            assert reader.count_keys("clip") == CLIPS * len(videos)
            assert reader.generation >= last
            last = reader.generation
            for video in videos[-2:]:
                assert len(reader.clips(video.id)) == CLIPS
                assert reader.vectors("clip", reader.keys_of("clip", video.id)).shape == (CLIPS, 2)
            if videos:
                time.sleep(0.002)  # what is asked later is still of the same moment
                assert [video.id for video in reader.find_videos()] == [video.id for video in videos]
        for unit in ("video", "clip"):
            hits = index.search(query, top_k=10, unit=unit)  # type: ignore[arg-type]
            assert all(hit.label == f"batch {hit.video_id.split('-')[0]}" for hit in hits)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        if labels:
            label = sorted(labels)[0]
            hits = index.search(query, top_k=10, wanted=Filter(labels=(label,)))
            assert {hit.label for hit in hits} <= {label}
            assert len(hits) in (0, PER_BATCH)
        times += 1
    return times


def test_threads_read_while_one_writes(tmp_path: Path) -> None:
    store = build_store(tmp_path / "i")
    is_done, failures, counts = threading.Event(), [], []

    def read() -> None:
        try:
            counts.append(read_until(store.path, is_done.is_set))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        write_rounds(store, ROUNDS)
    finally:
        is_done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert min(counts) >= 2
    with store.read() as reader:
        assert reader.stamps().keys() == expected_ids(ROUNDS)


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    store = build_store(tmp_path / "i")
    others = [
        threading.Thread(
            target=lambda first=first: [  # type: ignore[misc]
                store.add([build_video(f"{first}-{number}", [[1, 2]])]) for number in range(20)
            ]
        )
        for first in range(3)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join()
    with store.read() as reader:
        assert (reader.count_keys("video"), reader.generation) == (60, 60)


READ = """
import sys
from pathlib import Path
from tests.search.test_index_store_readers import read_until
print("ready", flush=True)
print(read_until(Path(sys.argv[1]), Path(sys.argv[2]).exists))
"""


@pytest.mark.slow
def test_processes_read_while_one_writes(tmp_path: Path) -> None:
    store = build_store(tmp_path / "i")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READ, str(store.path), str(tmp_path / "done")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(READERS)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    write_rounds(store, 5 * ROUNDS)
    (tmp_path / "done").touch()
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert (reader.returncode, err) == (0, "")
        assert int(out) >= 2
    with store.read() as found:
        assert found.stamps().keys() == expected_ids(5 * ROUNDS)
    assert not Path(f"{store.path}-wal").exists()


def test_looking_for_videos_in_another_folder_ends_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not hold them all in memory."""
    store = build_store(tmp_path / "v.index", [build_video(name, [[1, 2]]) for name in "abcd"])
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "b.mp4").touch()
    looked_at: list[str] = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: (looked_at.append(path.name), is_file(path))[1])
    monkeypatch.delattr(IndexReader, "find_videos")
    store.set_root(tmp_path / "moved")
    assert [name for name in looked_at if name != "v.index"] == ["a.mp4", "b.mp4"]
