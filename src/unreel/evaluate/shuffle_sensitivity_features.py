"""Features of clips as they are and with their frames in random orders, from one decoding of every video."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.evaluate.failures import check_fraction, refuse_too_many
from unreel.features.reading import ClipEmbedder, EmbeddedVideo, ReadConfig, embed_videos
from unreel.features.rows import build_table
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.progress import Progress, ignore_progress
from unreel.seeding import build_generator

# S shuffles of every clip, N clips of a video, U frames or groups of frames that are permuted, T frames

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ClipShuffleConfig:
    """How test clips are shuffled.

    Raises:
        ValueError: a number is out of range.
    """

    level: Literal["frames", "groups"] = "frames"
    """What is permuted: single frames (decision S15), or groups of neighbouring frames, which stay together
    in their order."""
    group_size: int = 2
    """Frames of a group, for level "groups"."""
    num_shuffles: int = 3
    """Shuffles of every clip; each is a measurement of its own."""
    seed: int = 0
    """Of the permutations."""

    def __post_init__(self) -> None:
        for name, lowest in (("group_size", 1), ("num_shuffles", 1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")

    def count_units(self, num_frames: int) -> int:
        """Return how many frames or groups a clip consists of.

        Raises:
            ValueError: a clip has nothing to shuffle, or does not fall into groups of this size.
        """
        if num_frames == 1:
            raise ValueError("this network looks at single frames, which have no order; take one of clips")
        size = self.group_size if self.level == "groups" else 1
        if num_frames % size or num_frames == size:
            raise ValueError(
                f"group_size must cut the {num_frames} frames of a clip into two or more groups, not {size}"
            )
        return num_frames // size

    def draw_orders(self, video_id: str, num_clips: int, num_frames: int) -> IntArray:
        """Draw the orders of a video's clips: uniform, but never that of time.

        They depend on the seed, the video, and the number of the shuffle, so more shuffles leave the first
        ones as they are.

        Returns:
            Shape (S, N, T): frame ``order[s, n, t]`` of clip n is shown at place t.

        Raises:
            ValueError: as `count_units`.
        """
        num_units = self.count_units(num_frames)
        in_time_U = np.arange(num_units)
        order_SNU = np.empty((self.num_shuffles, num_clips, num_units), dtype=np.int64)
        for number, order_NU in enumerate(order_SNU):
            generator = build_generator(self.seed, "shuffle at test", number, video_id)
            is_open_N = np.ones(num_clips, dtype=np.bool_)
            while is_open_N.any():
                start_XU = np.tile(in_time_U, (int(is_open_N.sum()), 1))
                order_NU[is_open_N] = generator.permuted(start_XU, axis=1)
                is_open_N = (order_NU == in_time_U).all(axis=1)
        size = num_frames // num_units
        return (order_SNU[..., None] * size + np.arange(size)).reshape(*order_SNU.shape[:2], num_frames)


@dataclass(frozen=True)
class ShuffledFeatures:
    """Vectors of clips, and of the same clips shuffled.

    Attributes:
        normal: every clip of all videos.
        queries: the clips of the query videos among them.
        shuffled: a table per shuffle, row by row the clips of ``queries``.
        repeating_clips: query clips that show a frame more than once, as those of short videos do.
        rejected: videos that could not be used.
    """

    normal: FeatureTable
    queries: FeatureTable
    shuffled: tuple[FeatureTable, ...]
    repeating_clips: int
    rejected: list[Rejection]


def embed_shuffled(
    embedder: ClipEmbedder,
    videos: Catalog,
    is_query: Sequence[bool],
    *,
    shuffle: ClipShuffleConfig,
    read: ReadConfig,
    max_rejected_fraction: float,
    progress: Progress = ignore_progress,
) -> ShuffledFeatures:
    """Embed videos, and those that are queries in shuffled orders too.

    Args:
        embedder: of clips, not of single frames.
        videos: queries and gallery.
        is_query: by video.
        shuffle: how the clips of queries are shuffled.
        read: clips per video, batch and workers.
        max_rejected_fraction: share of the videos that may fail.
        progress: is told the number of videos done.

    Raises:
        FeaturesError: too many videos fail, or all queries.
        ValueError: a number is out of range, or the clips cannot be shuffled so.
    """
    check_fraction(max_rejected_fraction)
    shape = (read.clips_per_video, embedder.spec.num_frames)
    shuffle.count_units(embedder.spec.num_frames)

    def draw(row: int) -> IntArray:
        if is_query[row]:
            return shuffle.draw_orders(videos.ids[row], *shape)
        return np.empty((0, *shape), dtype=np.int64)

    accepted: list[EmbeddedVideo] = []
    rejected: list[Rejection] = []
    for video in embed_videos(embedder, videos, range(len(videos)), ["average"], read, orders=draw):
        if video.rejection is None:
            accepted.append(video)
        else:
            rejected.append(video.rejection)
        progress(video.row + 1, len(videos), f"{len(rejected)} rejected" if rejected else "")
    refuse_too_many(rejected, num_videos=len(videos), max_rejected_fraction=max_rejected_fraction)
    queries = [video for video in accepted if is_query[video.row]]
    if not queries:
        raise FeaturesError("not one of the videos that are to be tested can be used; scan again")
    info = FeatureInfo(
        encoder_hash=embedder.hash,
        encoder=embedder.name,
        dimension=embedder.num_features,
        clips_per_video=read.clips_per_video,
        sampling=type(embedder.spec.build_sampling(read.clips_per_video)).__name__,
        batch_size=read.batch_size,
        precision=embedder.precision,
        catalog_hash=videos.hash,
        root=str(videos.root),
    )

    def take_shuffle(number: int) -> FeatureTable:
        chosen = [replace(video, features=video.reordered[number]) for video in queries]
        return build_table(chosen, videos, "average", info)

    return ShuffledFeatures(
        normal=build_table(accepted, videos, "average", info),
        queries=build_table(queries, videos, "average", info),
        shuffled=tuple(take_shuffle(number) for number in range(shuffle.num_shuffles)),
        repeating_clips=sum(_count_repeating(video.frames_NT) for video in queries),
        rejected=rejected,
    )


def _count_repeating(frames_NT: IntArray) -> int:
    return int((np.diff(np.sort(frames_NT, axis=1), axis=1) == 0).any(axis=1).sum())
