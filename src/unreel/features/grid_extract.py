"""Turn the videos of a catalog into vectors over time, a row per position of a grid."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.features.extract import ExtractSummary, count_numbers, finish_extraction
from unreel.features.grid_clips import GridSampling, choose_clip
from unreel.features.grid_reading import EmbeddedGrid, embed_grids
from unreel.features.parts import PartFiles
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.progress import Progress, ignore_progress


def extract_grids(
    embedder: ClipEmbedder,
    catalog: Catalog,
    out: Path,
    *,
    grid: GridSampling | None = None,
    split: str = "",
    read: ReadConfig | None = None,
    max_rejected_fraction: float = 0.05,
    is_restart: bool = False,
    progress: Progress = ignore_progress,
) -> ExtractSummary:
    """Embed a clip at every position of every video and write the vectors as one table.

    Row n of a video is the vector of the clip around the middle of its n-th stretch: ``frame_index`` is the
    middle frame, and ``start_sec`` to ``end_sec`` is the stretch. The stretches cover the video without gap.

    Parts, interruptions and rejected videos are as in `unreel.features.extract.extract_features`.

    Args:
        embedder: an encoder, a classifier, whose vectors are scores, or a baseline.
        catalog: the videos.
        out: the Parquet file to write.
        grid: where the clips lie; None for every 16th frame, from the eighth on.
        split: part of the catalog, "" for all.
        read: batch and workers; None for the defaults. Its number of clips plays no role.
        max_rejected_fraction: share of the videos that may fail.
        is_restart: whether to throw away the parts of an interrupted extraction, of whatever settings.
        progress: is told the number of videos done.

    Raises:
        CatalogError: the catalog has no such split.
        FeaturesError: there are parts of other settings, or too many videos fail (known only after all
            were tried).
        ValueError: a setting is out of range, or the embedder's clips cover whole videos.

    Reference: VCLR, section 4.5, and its released code: every 16th frame, from the eighth on.
    """
    started = time.monotonic()
    grid, read = grid or GridSampling(), read or ReadConfig()
    videos = catalog.select(split)
    if not 0 <= max_rejected_fraction <= 1:
        raise ValueError(f"max_rejected_fraction must be between 0 and 1, got {max_rejected_fraction}")
    if not len(videos):
        raise FeaturesError("the catalog holds no video; scan a folder that does")
    choose_clip(embedder.spec)
    info = describe_grid(embedder, videos, grid, read, catalog_hash=catalog.hash, split=split)
    parts = PartFiles(Path(out), info, num_videos=len(videos), videos_per_batch=1)
    if is_restart:
        parts.remove()
    missing = parts.find_missing()
    done = reused = len(videos) - sum(len(parts.rows(part)) for part in missing)
    progress(done, len(videos), "")
    stream = embed_grids(embedder, videos, [parts.rows(part) for part in missing], grid, read)
    rejected = 0
    for part in missing:
        embedded = []
        for video in _take(stream, len(parts.rows(part))):
            embedded.append(video)
            done += 1
            rejected += video.rejection is not None
            progress(done, len(videos), f"{rejected} rejected" if rejected else "")
        rejections = [video.rejection for video in embedded if video.rejection is not None]
        parts.write(part, build_grid_table(embedded, videos, grid, info), rejections)
    repeating = int((videos.num_frames_array <= grid.every_frames // 2).sum())
    return finish_extraction(
        parts, videos, max_rejected_fraction, reused, repeating=repeating, started=started
    )


def describe_grid(
    embedder: ClipEmbedder,
    videos: Catalog,
    grid: GridSampling,
    read: ReadConfig,
    *,
    catalog_hash: str,
    split: str,
) -> FeatureInfo:
    """Return what a table of vectors over time says of itself; its number of clips is 0, as it varies.

    Args:
        embedder: what the vectors come from.
        videos: that are embedded.
        grid: where the clips lie.
        read: how videos are read.
        catalog_hash: of the whole catalog.
        split: part of it, "" for all.
    """
    return FeatureInfo(
        encoder_hash=embedder.hash,
        encoder=embedder.name,
        pooling="average",
        dimension=count_numbers(embedder, "average"),
        clips_per_video=0,
        sampling=grid.name,
        batch_size=read.batch_size,
        precision=embedder.precision,
        catalog_hash=catalog_hash,
        split=split,
        root=str(videos.root),
    )


def build_grid_table(
    embedded: Sequence[EmbeddedGrid], videos: Catalog, grid: GridSampling, info: FeatureInfo
) -> FeatureTable:
    """Return the table of some embedded videos, those that were rejected left out.

    Args:
        embedded: vectors per position.
        videos: the catalog that their rows count in.
        grid: where the clips lie.
        info: goes into the table.
    """
    columns: dict[str, list[Any]] = {name: [] for name in FeatureTable.column_names()}
    for item in embedded:
        if item.rejection is not None:
            continue
        video = videos.video(item.row)
        seconds = video.index.timestamps_sec()
        bounds = np.append(seconds, max(video.seconds, seconds[-1]))
        edges_N, count = grid.find_edges(video.frames), len(item.vectors_ND)
        columns["clip_index"].extend(range(count))
        columns["frame_index"].extend(grid.find_centers(video.frames))
        columns["start_sec"].extend(bounds[edges_N[:-1]])
        columns["end_sec"].extend(bounds[edges_N[1:]])
        columns["path"].extend([videos.table["path"][item.row].as_py()] * count)
        for name in ("label", "split", "group"):
            columns[name].extend([getattr(video, name)] * count)
        columns["video_id"].extend([video.id] * count)
    none = np.empty((0, info.dimension), dtype=np.float32)
    return FeatureTable.from_columns(
        info, np.concatenate([none, *(item.vectors_ND for item in embedded)]), **columns
    )


def _take(stream: Iterator[EmbeddedGrid], count: int) -> Iterator[EmbeddedGrid]:
    for _ in range(count):
        yield next(stream)
