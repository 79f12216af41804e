"""A small collection with an index: sample videos, and one that browsers cannot play."""

import dataclasses
from pathlib import Path

import numpy as np

from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.data.sample_videos import make_sample_videos, write_video
from unreel.data.scan import scan_videos
from unreel.features.reading import ReadConfig
from unreel.search.index_info import IndexInfo
from unreel.search.index_store import IndexStore
from unreel.search.indexing import update_index


@dataclasses.dataclass(frozen=True)
class Collection:
    """Where the parts lie."""

    index: Path
    encoder: Path
    videos: Path


def build_collection(
    folder: Path, *, num_videos: int = 30, num_frames: tuple[int, int] = (50, 75)
) -> Collection:
    """Make videos, one of them MPEG-4 ASP in AVI, which no browser plays, an encoder and an index."""
    made = make_sample_videos(folder, num_videos=num_videos, num_frames=num_frames, num_workers=1)
    frames = np.zeros((50, 72, 96, 3), dtype=np.uint8)
    for time in range(50):
        frames[time, 20:50, time : time + 30] = (230, 120, 30)
    write_video(folder / "videos" / "old.avi", frames, codec="mpeg4")
    with made.table.open("a") as table:
        table.write("videos/old.avi,old,train,archive\n")
    scan_videos([made.table], folder / "catalog.parquet", num_workers=1)
    encoder = build_encoder()
    encoder.save(folder / "encoder")
    update_index(
        folder / "videos.index",
        Catalog.load(folder / "catalog.parquet"),
        encoder,
        encoder_folder=str(folder / "encoder"),
        read=ReadConfig(clips_per_video=3, num_workers=0),
    )
    return Collection(folder / "videos.index", folder / "encoder", folder / "videos")


def empty_index(path: Path, like: Path) -> Path:
    """Make an index without videos, of the same encoder as another."""
    IndexStore.create(path, IndexInfo(**vars(IndexStore.open(like).info)))
    return path
