"""Turn the videos of a catalog into a table of features, in parts that survive an interruption."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling
from unreel.errors import FeaturesError
from unreel.features.parts import PartFiles
from unreel.features.pooling import Pooling, check_poolings
from unreel.features.reading import ClipEmbedder, EmbeddedVideo, ReadConfig, embed_videos
from unreel.features.rows import build_table
from unreel.features.table_info import FeatureInfo
from unreel.progress import Progress, ignore_progress
from unreel.seeding import build_generator

# N clips, R rows per clip, T frames, D features, V videos


@dataclass(frozen=True)
class ExtractSummary:
    """What an extraction did.

    Attributes:
        out: the table.
        videos: videos of the catalog that were asked for; embedded and rejected ones together.
        embedded: videos that are in the table.
        reused: videos, embedded or rejected, that an interrupted extraction had done before.
        rejected: videos that could not be used.
        rejected_path: where those are listed, None when there are none.
        vectors: rows of the table.
        dimension: length of a vector.
        seconds: duration of this call.
        sampling: rule by which clips were chosen, such as "UniformClips".
        repeating: videos so short that clips, or frames within a clip, come more than once.
    """

    out: Path
    videos: int
    embedded: int
    reused: int
    rejected: int
    rejected_path: Path | None
    vectors: int
    dimension: int
    seconds: float
    sampling: str
    repeating: int


class PartMaker(Protocol):
    """What writes the missing parts of an extraction, all of them, on this machine or others."""

    def __call__(
        self,
        embedder: ClipEmbedder,
        videos: Catalog,
        parts: PartFiles,
        missing: Sequence[int],
        *,
        pooling: Pooling,
        read: ReadConfig,
        progress: Progress,
    ) -> None:
        """Return when all are there."""


def extract_features(
    embedder: ClipEmbedder,
    catalog: Catalog,
    out: Path,
    *,
    pooling: Pooling = "average",
    split: str = "",
    read: ReadConfig | None = None,
    max_rejected_fraction: float = 0.05,
    is_restart: bool = False,
    make_parts: PartMaker | None = None,
    progress: Progress = ignore_progress,
) -> ExtractSummary:
    """Embed every video of a catalog and write the vectors as one table.

    Finished parts lie in ``<out>.parts`` until all are done. An extraction that was interrupted goes on
    from there when it is called again with the same settings, and the file it writes is the same to the
    byte on the CPU, as it is for any number of workers. An older table at ``out`` is replaced.

    A video that fails is never replaced by another one: it is listed in ``<out stem>.rejected.csv``.

    Args:
        embedder: an encoder, or a baseline.
        catalog: the videos.
        out: the Parquet file to write.
        pooling: form of the features.
        split: part of the catalog, "" for all.
        read: clips per video, batch and workers; None for the defaults.
        max_rejected_fraction: share of the videos that may fail.
        is_restart: whether to throw away the parts of an interrupted extraction, of whatever settings.
        make_parts: such as a `RayPartMaker`; None computes here, one part after the other.
        progress: is told the number of videos done.

    Raises:
        CatalogError: the catalog has no such split.
        FeaturesError: there are parts of other settings, or too many videos fail (known only after all
            were tried).
        ValueError: a setting is out of range, or the pooling does not suit the embedder.
    """
    started = time.monotonic()
    check_poolings([pooling])
    read = read or ReadConfig()
    videos = catalog.select(split)
    if not 0 <= max_rejected_fraction <= 1:
        raise ValueError(f"max_rejected_fraction must be between 0 and 1, got {max_rejected_fraction}")
    if not len(videos):
        raise FeaturesError("the catalog holds no video; scan a folder that does")
    sampling = embedder.spec.build_sampling(read.clips_per_video)
    info = FeatureInfo(
        encoder_hash=embedder.hash,
        encoder=embedder.name,
        pooling=pooling,
        dimension=count_numbers(embedder, pooling),
        clips_per_video=read.clips_per_video,
        sampling=type(sampling).__name__,
        batch_size=read.batch_size,
        precision=embedder.precision,
        catalog_hash=catalog.hash,
        split=split,
        root=str(catalog.root),
    )
    parts = PartFiles(Path(out), info, num_videos=len(videos), videos_per_batch=read.videos_per_batch)
    if is_restart:
        parts.remove()
    missing = parts.find_missing()
    reused = len(videos) - sum(len(parts.rows(part)) for part in missing)
    make_parts = make_parts or _make_parts_here
    make_parts(embedder, videos, parts, missing, pooling=pooling, read=read, progress=progress)
    repeating = count_repeating(sampling, videos.num_frames_array)
    return finish_extraction(
        parts, videos, max_rejected_fraction, reused, repeating=repeating, started=started
    )


def count_numbers(embedder: ClipEmbedder, pooling: Pooling) -> int:
    """Return the length of a vector, found by embedding one black clip.

    Raises:
        ValueError: the pooling does not suit the embedder.
    """
    side = embedder.spec.crop_px
    clip_BTHWC = torch.zeros((1, embedder.spec.num_frames, side, side, 3), dtype=torch.uint8)
    return int(embedder.embed_clips(clip_BTHWC, [pooling])[pooling].shape[-1])


def count_repeating(sampling: ClipSampling, frames_V: NDArray[np.int64]) -> int:
    """Count the videos too short for what is asked of them: a clip, or a frame in one, comes more than once.

    Args:
        sampling: a rule without chance.
        frames_V: frames per video.
    """
    total = 0
    for num_frames, count in zip(*np.unique(frames_V, return_counts=True), strict=True):
        frames_NT = sampling.sample(int(num_frames), build_generator("no chance in testing")).frames_NT
        is_within = (np.diff(np.sort(frames_NT, axis=1), axis=1) == 0).any()
        if is_within or len(np.unique(frames_NT, axis=0)) < len(frames_NT):
            total += int(count)
    return total


def _make_parts_here(
    embedder: ClipEmbedder,
    videos: Catalog,
    parts: PartFiles,
    missing: Sequence[int],
    *,
    pooling: Pooling,
    read: ReadConfig,
    progress: Progress,
) -> None:
    rows = [row for part in missing for row in parts.rows(part)]
    done, rejected = len(videos) - len(rows), 0
    progress(done, len(videos), "")
    if not rows:
        return
    stream = embed_videos(embedder, videos, rows, [pooling], read)
    for part in missing:
        embedded: list[EmbeddedVideo] = []
        for _ in parts.rows(part):
            embedded.append(next(stream))
            done += 1
            rejected += embedded[-1].rejection is not None
            progress(done, len(videos), f"{rejected} rejected" if rejected else "")
        rejections = [video.rejection for video in embedded if video.rejection is not None]
        parts.write(part, build_table(embedded, videos, pooling, parts.info), rejections)


def finish_extraction(
    parts: PartFiles,
    videos: Catalog,
    max_rejected_fraction: float,
    reused: int,
    *,
    repeating: int,
    started: float,
) -> ExtractSummary:
    """List the videos that failed, make one table of all parts, and remove these.

    Args:
        parts: all there.
        videos: that were asked for.
        max_rejected_fraction: share of them that may fail.
        reused: videos that had been done before.
        repeating: videos too short for what was asked of them.
        started: when the extraction began, by `time.monotonic`.

    Raises:
        FeaturesError: too many videos failed.
    """
    rejections = parts.read_rejections()
    rejected_path = parts.list_rejections(rejections)
    if len(rejections) > max_rejected_fraction * len(videos):
        first = rejections[0]
        raise FeaturesError(
            f"{len(rejections)} of {len(videos)} videos cannot be used, more than max_rejected_fraction = "
            f"{max_rejected_fraction:g} allows; the first: {first.path}: {first.reason}. All are listed in "
            f"{rejected_path}. Repair them, scan again and extract with --restart, or raise the limit: what "
            "is done is kept for the next call"
        )
    vectors = parts.merge()
    parts.remove()
    return ExtractSummary(
        out=parts.out,
        videos=len(videos),
        embedded=len(videos) - len(rejections),
        reused=reused,
        rejected=len(rejections),
        rejected_path=rejected_path,
        vectors=vectors,
        dimension=parts.info.dimension,
        seconds=time.monotonic() - started,
        sampling=parts.info.sampling,
        repeating=repeating,
    )
