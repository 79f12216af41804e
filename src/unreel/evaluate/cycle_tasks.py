"""Do frames find their video, and videos their frames? The three retrieval tasks of CCL."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.evaluate.cycle_features import embed_cycle
from unreel.evaluate.ranking import Level, RankingConfig
from unreel.evaluate.retrieval import LevelRecall, chance_at_k, evaluate_retrieval
from unreel.features.reading import ClipEmbedder, ReadConfig
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress
from unreel.search.exact import ExactIndex

# Q queries, G gallery, K neighbours, D features

CYCLE_KS = (1, 5, 10)
CLASS_KS = (1, 5, 10, 20, 50)


@dataclass(frozen=True)
class CycleRecall:
    """Recall of a task in which one clip is right; shares are in [0, 1].

    Attributes:
        queries: vectors that asked.
        gallery: vectors that were searched.
        recall: share of queries with a right neighbour among the nearest k, by k.
        chance: the same if neighbours were drawn at random.
        impossible_ks: ks that were asked for and are larger than the gallery; they have no value.
    """

    queries: int
    gallery: int
    recall: dict[int, float]
    chance: dict[int, float]
    impossible_ks: list[int]


@dataclass(frozen=True)
class CycleResult:
    """All tasks, with all that is needed to repeat them.

    Attributes:
        frame_to_video: task A.
        video_to_frame: task B.
        frame_to_frame: task C on frames, None when no video has the target.
        video_to_video: task C on clips, None when no video has the target.
        frames_per_clip: time positions that the network leaves of a clip; with one, frame and clip are
            the same.
        videos: videos that took part.
        rejected: videos that could not be used, with the reason.
        settings: what was compared, and how.
        seconds: duration.
    """

    frame_to_video: CycleRecall
    video_to_frame: CycleRecall
    frame_to_frame: LevelRecall | None
    video_to_video: LevelRecall | None
    frames_per_clip: int
    videos: int
    rejected: list[Rejection]
    settings: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        values = config_to_dict(self)
        tasks = ("frame_to_video", "video_to_frame", "frame_to_frame", "video_to_video")
        return {
            "protocol": "cycle",
            "settings": values["settings"],
            "frames_per_clip": values["frames_per_clip"],
            "videos": values["videos"],
            "rejected": values["rejected"],
            "tasks": {name: values[name] for name in tasks},
            "seconds": values["seconds"],
        }


def evaluate_cycle(
    embedder: ClipEmbedder,
    catalog: Catalog,
    *,
    read: ReadConfig | None = None,
    cycle_ks: Sequence[int] = CYCLE_KS,
    class_ks: Sequence[int] = CLASS_KS,
    is_averaged: bool = False,
    config: RankingConfig | None = None,
    max_rejected_fraction: float = 0.05,
    progress: Progress = ignore_progress,
) -> CycleResult:
    """Embed frames and clips of all videos and measure how well they find each other by cosine similarity.

    - **Task A**, frame to video: every frame of the query split asks among all clips of it; right is the
    clip that
      the frame was taken from.
    - **Task B**, video to frame: every clip of the query split asks among all frames of it; right are its
    own. - **Task C**: clips of the query split ask among the clips of the gallery split, and the middle
    frames of these
      clips among theirs; right is the query's class.

    Frames and clips are compared as the backbone gives them, without a head (decision L8). Where a video
    is too short for different clips, tasks A and B take each clip once, since nothing could tell its
    copies apart.

    Args:
        embedder: gives frame and video features in one pass.
        catalog: the videos.
        read: clips per video, batch and workers.
        cycle_ks: numbers of neighbours of tasks A and B.
        class_ks: numbers of neighbours of task C.
        is_averaged: whether task C compares the mean over a video's clips instead of clips (decision L7).
        config: splits and target.
        max_rejected_fraction: share of the videos that may fail.
        progress: is told the number of videos done.

    Raises:
        CatalogError: the catalog lacks a split.
        FeaturesError: too many videos fail.
        ValueError: a number is out of range.

    Reference: CCL, section 4.2, tables 2 and 3.
    """
    started = time.monotonic()
    config, read = config or RankingConfig(), read or ReadConfig()
    for ks in (cycle_ks, class_ks):
        if not ks or min(ks) < 1:
            raise ValueError(f"ks must be one or more positive numbers, got {list(ks)}")
    query_split, gallery_split = config.resolve_splits(catalog.split_names)
    config = dataclasses.replace(config, query_split=query_split, gallery_split=gallery_split)
    features = embed_cycle(
        embedder,
        catalog,
        query_split=query_split,
        gallery_split=gallery_split,
        read=read,
        max_rejected_fraction=max_rejected_fraction,
        progress=progress,
    )
    clips_ND = features.query_clips_ND
    num_clips, num_frames, dimension = features.query_frames_NRD.shape
    frames = features.query_frames_NRD.reshape(-1, dimension)
    own_clip = np.arange(num_clips)
    clip_of_frame = np.repeat(own_clip, num_frames)
    level: Level = "video" if is_averaged else "clip"
    return CycleResult(
        frame_to_video=find_own(frames, clip_of_frame, clips_ND, own_clip, cycle_ks),
        video_to_frame=find_own(clips_ND, own_clip, frames, clip_of_frame, cycle_ks),
        frame_to_frame=_compare_classes(features.frames, class_ks, level, config),
        video_to_video=_compare_classes(features.clips, class_ks, level, config),
        frames_per_clip=num_frames,
        videos=len(np.unique(features.clips.video_ids)),
        rejected=features.rejected,
        settings={
            **config_to_dict(config),
            "clips_per_video": read.clips_per_video,
            "is_averaged": is_averaged,
            "encoder": embedder.name,
            "encoder_hash": embedder.hash,
            "catalog_hash": catalog.hash,
        },
        seconds=time.monotonic() - started,
    )


def find_own(
    queries_QD: NDArray[np.float32],
    query_owner_Q: NDArray[np.int64],
    gallery_GD: NDArray[np.float32],
    gallery_owner_G: NDArray[np.int64],
    ks: Sequence[int],
) -> CycleRecall:
    """Measure how often a query finds a row of its own clip among its k nearest.

    Args:
        queries_QD: frames or clips.
        query_owner_Q: number of the clip that each query belongs to.
        gallery_GD: clips or frames.
        gallery_owner_G: number of the clip that each row belongs to.
        ks: numbers of neighbours; those beyond the gallery get no value and are listed.
    """
    possible = sorted({k for k in ks if k <= len(gallery_GD)})
    own_counts = np.bincount(gallery_owner_G)
    available_Q = np.full(len(queries_QD), len(gallery_GD))
    recall, chance = {}, {}
    if possible:
        _, rows_QK = ExactIndex(gallery_GD).search(queries_QD, possible[-1])
        is_own_QK = gallery_owner_G[rows_QK] == query_owner_Q[:, None]
        recall = {k: float(is_own_QK[:, :k].any(axis=1).mean()) for k in possible}
        chance = {k: chance_at_k(own_counts[query_owner_Q], available_Q, k) for k in possible}
    return CycleRecall(
        queries=len(queries_QD),
        gallery=len(gallery_GD),
        recall=recall,
        chance=chance,
        impossible_ks=sorted(set(ks) - set(possible)),
    )


def _compare_classes(
    table: FeatureTable, ks: Sequence[int], level: Level, config: RankingConfig
) -> LevelRecall | None:
    if not (table.select(config.query_split).column(config.by) != "").any():
        return None
    return evaluate_retrieval(table, ks=ks, levels=[level], config=config).levels[level]
