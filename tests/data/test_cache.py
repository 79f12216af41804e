from pathlib import Path

import numpy as np
import pytest

from unreel.data.cache import FrameCache
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.errors import VideoError

SIZE = FrameSize(12, 16)


def fill(catalog: Catalog, *, limit_mb: int = 100, told: list[int] | None = None) -> FrameCache:
    def progress(done: int, total: int, note: str) -> None:
        assert total == len(catalog)
        if told is not None:
            told.append(done)

    return FrameCache(catalog, SIZE, limit_mb=limit_mb, num_threads=2, time_limit_sec=10, progress=progress)


def test_frames_in_memory_are_those_of_the_file(corpus: Path) -> None:
    catalog, told = Catalog.load(corpus), list[int]()
    cache = fill(catalog, told=told)
    assert told == list(range(1, 13))
    plan = np.array([[3, 1], [0, 19]])
    for row in range(len(catalog)):
        video = catalog.video(row)
        expected = ClipDecoder(SIZE).decode(video.path, video.index, plan)
        assert np.array_equal(cache.decode(video.path, plan), expected)


def test_the_budget_is_checked_by_the_catalog_alone(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    # 12 videos of 20 frames of 12 x 16 x 3 bytes are 0.13 MiB
    fill(catalog, limit_mb=1)
    with pytest.raises(
        ValueError, match=r"needs 0 MiB for 12 videos, data.cache_limit_mb is 0; raise the limit"
    ):
        fill(catalog, limit_mb=0)


def test_a_video_that_changed_raises_when_it_is_asked_for(tmp_path: Path) -> None:
    from tests.corpus import build_corpus, write_video

    catalog = Catalog.load(build_corpus(tmp_path, num_videos=3))
    (tmp_path / "00.mp4").write_bytes(b"noise")
    write_video(tmp_path / "01.mp4", np.zeros((5, 24, 32, 3), dtype=np.uint8), fps=25)
    cache = fill(catalog)
    plan = np.array([[0]])
    with pytest.raises(VideoError, match=r"00.mp4: not a media file"):
        cache.decode(catalog.video(0).path, plan)
    with pytest.raises(
        VideoError, match=r"01.mp4 at frame 5: the catalog lists 20 frames, 5 decode; scan it again"
    ):
        cache.decode(catalog.video(1).path, plan)
    assert cache.decode(catalog.video(2).path, plan).shape == (1, 1, 12, 16, 3)
