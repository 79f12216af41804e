"""Commands killed at any moment lose nothing that was in the files; the next call ends as one would have."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.corpus import build_corpus
from tests.features.tiny import build_encoder
from tests.search.killing import Forker, draw_moments, kill_after, read_index
from tests.search.small_indexes import build_store, build_video
from unreel.search.tuned_index import find_tuned_file, open_approximate, read_tuned, save_tuned
from unreel.search.vector_cache import VectorCache
from unreel.search.video_index import VideoIndex

VIDEOS = 24
FEW, MANY = 2, 20
SMALL_PARTS = "from unreel.features import parts; parts._VIDEOS_PER_PART = 4"


@dataclass(frozen=True)
class Files:
    """What the commands work on.

    Attributes:
        encoder: folder of an encoder.
        catalog: of the videos.
        videos: their folder, without anything else.
        place: where results may go.
        forker: runs the commands.
    """

    encoder: Path
    catalog: Path
    videos: Path
    place: Path
    forker: Forker

    def words(self, command: str, out: Path, *, workers: int = 0) -> list[str]:
        """Return a command that embeds all videos, one in each pass."""
        source = ["--watch", str(self.videos)] if command == "watch" else ["--catalog", str(self.catalog)]
        more = ["--settle-sec", "0", "--interval-sec", "0.05", "--once"] if command == "watch" else []
        reading = ["--clips-per-video", "2", "--batch-size", "2", "--num-workers", str(workers)]
        name = "extract" if command == "extract" else "index"
        settings = ["--encoder", str(self.encoder), "--out", str(out), "--device", "cpu", *reading]
        return [name, *source, *settings, *more]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    folder = tmp_path_factory.mktemp("killed")
    build_encoder().save(folder / "encoder")
    catalog = build_corpus(folder / "corpus", num_videos=VIDEOS)
    (folder / "videos").mkdir()
    for path in (folder / "corpus").glob("*.mp4"):
        shutil.copy(path, folder / "videos")
    with Forker(folder) as forker:
        yield Files(folder / "encoder", catalog, folder / "videos", folder, forker)


@pytest.mark.parametrize(
    "count", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("command", ["index", "watch"])
def test_a_killed_indexing_goes_on_and_ends_with_the_same_vectors(
    files: Files, tmp_path: Path, command: str, count: int
) -> None:
    whole = tmp_path / "whole" / "videos.index"
    first = files.forker.run(files.words(command, whole))
    assert first.code == 0, first.output
    expected = read_index(whole)
    assert len(expected) == VIDEOS
    left = sorted(path.name for path in whole.parent.iterdir())
    found = set()
    for number, moment in enumerate(draw_moments(7, count, first.seconds)):
        out = tmp_path / f"{number}" / "videos.index"
        out.parent.mkdir()
        words = files.words(command, out, workers=number % 2)
        # Half of the moments lie anywhere, half in the time of embedding.
        wait = kill_after(moment) if number % 4 < 2 else kill_after(moment / 2, once=out.exists)
        ended = files.forker.run(words, wait)
        state = read_index(out) if out.exists() else None
        found.add(None if state is None else len(state))
        assert ended.code in (0, -signal.SIGKILL), ended.output
        assert (state or {}).items() <= expected.items()
        again = files.forker.run(words)
        assert again.code == 0, again.output
        assert read_index(out) == expected
        assert sorted(path.name for path in out.parent.iterdir()) == left
        shutil.rmtree(out.parent)
    assert count == FEW or len(found) > 3


@pytest.mark.parametrize(
    "count", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)]
)
def test_a_killed_extraction_goes_on_and_ends_in_the_same_bytes(
    files: Files, tmp_path: Path, count: int
) -> None:
    whole = tmp_path / "whole" / "f.parquet"
    first = files.forker.run(files.words("extract", whole), code=SMALL_PARTS)
    assert first.code == 0, first.output
    found = set()
    for number, moment in enumerate(draw_moments(8, count, first.seconds)):
        out = tmp_path / f"{number}" / "f.parquet"
        words = files.words("extract", out, workers=number % 2)
        # Half of the moments lie anywhere, half in the time from the first part on disk to the end.
        parts = out.with_name("f.parquet.parts")
        wait = kill_after(moment) if number % 4 < 2 else kill_after(moment / 2, once=parts.exists)
        ended = files.forker.run(words, wait, code=SMALL_PARTS)
        found.add(-1 if out.exists() else len(list(parts.glob("part-*"))))
        assert ended.code in (0, -signal.SIGKILL), ended.output
        assert not out.exists() or out.read_bytes() == whole.read_bytes()
        again = files.forker.run(words, code=SMALL_PARTS)
        assert again.code == 0, again.output
        assert out.read_bytes() == whole.read_bytes()
        assert [path.name for path in out.parent.iterdir()] == ["f.parquet"]
        shutil.rmtree(out.parent)
    assert count == FEW or len(found) > 3


BUILD = """
from pathlib import Path
import numpy as np
from unreel.search.video_index import VideoIndex
while True:
    for path in Path({cache!r}).glob("*.vectors"):
        path.unlink()
    VideoIndex.open(Path({index!r})).search(np.ones({dimension}), unit="clip")
"""


@pytest.mark.parametrize(
    "count", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)]
)
def test_a_search_that_is_killed_while_it_makes_the_cache_leaves_none_that_is_believed(
    files: Files, tmp_path: Path, count: int
) -> None:
    path, dimension = tmp_path / "i", 256
    rng = np.random.default_rng(0)
    videos = [build_video(str(number), rng.normal(size=(200, dimension))) for number in range(30)]
    cache = build_store(path, videos, dimension=dimension).cache_folder
    expected = VideoIndex.open(path).search(np.ones(dimension), unit="clip")
    code = BUILD.format(cache=str(cache), index=str(path), dimension=dimension)
    for moment in draw_moments(9, count, 0.5):
        ended = files.forker.run([], kill_after(moment), code=code)
        assert ended.code == -signal.SIGKILL, ended.output
        assert VideoIndex.open(path).search(np.ones(dimension), unit="clip") == expected
        for left in cache.glob(".*.tmp"):
            os.utime(left, (0, 0))
    (cache / "clip.vectors").unlink()
    VideoIndex.open(path).search(np.ones(dimension), unit="clip")
    assert [left.name for left in cache.iterdir()] == ["clip.vectors"]
    read_index(path)


TUNE = """
from pathlib import Path
from unreel.search.tuned_index import save_tuned
from unreel.search.vector_cache import VectorCache
from unreel.search.video_index import VideoIndex
from unreel.search.tuned_index import TunedIndex
from unreel.search.codes import Codes
from unreel.search.index_store import IndexStore
store = IndexStore.open(Path({index!r}))
VideoIndex.open(Path({index!r})).search([1.0] * 64)
cache = VectorCache.load(store, "video")
codes = Codes.train(cache.vectors, cache.scales, num_lists=16, seed=0)
codes.add(cache.keys, cache.vectors, cache.scales, lambda *_: None)
tuned = TunedIndex(kind="IVF,RaBitQ", num_lists=16, num_probes=16, num_candidates=200)
print("ready", flush=True)
while True:
    save_tuned(store, tuned, cache.stamp, codes)
"""


@pytest.mark.parametrize(
    "count", [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.slow)]
)
def test_tuning_that_is_killed_while_it_writes_leaves_what_was_there_or_all_of_the_new(
    files: Files, tmp_path: Path, count: int
) -> None:
    path, dimension = tmp_path / "i", 64
    vectors = np.random.default_rng(0).normal(size=(2000, dimension)).astype(np.float32)
    videos = [build_video(str(number), vector[None]) for number, vector in enumerate(vectors)]
    store = build_store(path, videos, dimension=dimension)
    tuned = find_tuned_file(store, "video")
    for number, moment in enumerate(draw_moments(10, count, 0.2)):
        ended = files.forker.run([], kill_after(moment, once=tuned.exists), code=TUNE.format(index=str(path)))
        assert ended.code == -signal.SIGKILL, ended.output
        found = read_tuned(store, "video")
        assert found is not None
        assert found.num_candidates == 200
        index = VideoIndex.open(path)
        with store.read() as reader:
            cache = VectorCache.load(store, "video")
            assert cache is not None
            engine = open_approximate(store, "video", cache, reader)
            assert engine is not None
            _, keys = engine.search(vectors[number : number + 1], 1)
            assert keys[0, 0] == cache.keys[number]
        assert index.search(vectors[number], top_k=1)[0].video_id == str(number)
        for left in store.cache_folder.glob(".*.tmp"):
            os.utime(left, (0, 0))
        tuned.unlink()
    save_tuned(store, found, cache.stamp, None)
    assert sorted(left.name for left in store.cache_folder.iterdir()) == ["video.codes", "video.vectors"]


def test_making_an_index_removes_what_others_left_that_were_killed_at_it(tmp_path: Path) -> None:
    """And not what another is making at this moment."""
    with subprocess.Popen(["sleep", "60"]) as living:
        names = [
            f".i.{process}.abc.tmp{suffix}"
            for process in (living.pid, 2**22 + 1)
            for suffix in ("", "-journal")
        ]
        for name in [*names, ".i.notes.tmp"]:
            (tmp_path / name).touch()
        build_store(tmp_path / "i")
        living.kill()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[:2], ".i.notes.tmp", "i"])
