"""Frames and clips of the same videos, embedded in one pass: what the cycle tasks compare."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.evaluate.failures import check_fraction, refuse_too_many
from unreel.features.pooling import Pooling
from unreel.features.reading import ClipEmbedder, EmbeddedVideo, ReadConfig, embed_videos
from unreel.features.rows import build_table
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.progress import Progress, ignore_progress

# N distinct clips of all query videos, R frame positions per clip, D features

_POOLINGS: tuple[Pooling, Pooling] = ("frame", "average")


@dataclass(frozen=True)
class CycleFeatures:
    """Features of frames and clips.

    Attributes:
        query_frames_NRD: frames of every distinct clip of the query videos.
        query_clips_ND: the clips themselves, in the same order.
        frames: the middle frame of every clip of all videos.
        clips: every clip of all videos, row by row the clip of ``frames``.
        rejected: videos that could not be used.
    """

    query_frames_NRD: NDArray[np.float32]
    query_clips_ND: NDArray[np.float32]
    frames: FeatureTable
    clips: FeatureTable
    rejected: list[Rejection]


def embed_cycle(
    embedder: ClipEmbedder,
    catalog: Catalog,
    *,
    query_split: str,
    gallery_split: str,
    read: ReadConfig,
    max_rejected_fraction: float,
    progress: Progress = ignore_progress,
) -> CycleFeatures:
    """Embed the videos of two splits, "" being all.

    All frames are kept for the query videos alone; for the others the middle frame of each clip is.

    Args:
        embedder: gives frame and video features in one pass.
        catalog: the videos.
        query_split: videos that are the queries.
        gallery_split: videos that are searched.
        read: clips per video, batch and workers.
        max_rejected_fraction: share of the videos that may fail.
        progress: is told the number of videos done.

    Raises:
        CatalogError: the catalog lacks a split.
        FeaturesError: too many videos fail.
        ValueError: ``max_rejected_fraction`` is no share.
    """
    check_fraction(max_rejected_fraction)
    videos = _select(catalog, query_split, gallery_split)
    is_query = [query_split in ("", split) for split in videos.splits]
    rejected: list[Rejection] = []
    accepted: list[EmbeddedVideo] = []
    frames, clips = [], []
    for video in embed_videos(embedder, videos, range(len(videos)), _POOLINGS, read):
        progress(video.row + 1, len(videos), f"{len(rejected)} rejected" if rejected else "")
        if video.rejection is not None:
            rejected.append(video.rejection)
            continue
        frames_NRD, clips_N1D = video.features["frame"], video.features["average"]
        if is_query[video.row]:
            distinct = np.sort(np.unique(video.frames_NT, axis=0, return_index=True)[1])
            frames.append(frames_NRD[distinct])
            clips.append(clips_N1D[distinct, 0])
        middle = frames_NRD.shape[1] // 2
        kept: dict[Pooling, NDArray[np.float32]] = {
            "frame": frames_NRD[:, middle : middle + 1].copy(),
            "average": clips_N1D.copy(),
        }
        accepted.append(EmbeddedVideo(video.row, video.frames_NT, kept))
    refuse_too_many(rejected, num_videos=len(videos), max_rejected_fraction=max_rejected_fraction)
    if not frames:
        raise FeaturesError(f"no video of the query split {query_split!r} can be used; scan again")
    info = FeatureInfo(encoder_hash=embedder.hash, encoder=embedder.name, dimension=embedder.num_features)
    return CycleFeatures(
        query_frames_NRD=np.concatenate(frames),
        query_clips_ND=np.concatenate(clips),
        frames=build_table(accepted, videos, "frame", info),
        clips=build_table(accepted, videos, "average", info),
        rejected=rejected,
    )


def _select(catalog: Catalog, query_split: str, gallery_split: str) -> Catalog:
    for split in (query_split, gallery_split):
        catalog.select(split)
    if "" in (query_split, gallery_split):
        return catalog
    wanted = [row for row, split in enumerate(catalog.splits) if split in (query_split, gallery_split)]
    return catalog.take(wanted)
