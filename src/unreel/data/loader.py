"""From a catalog to batches of clips: which videos, in which order, and what happens when one fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from unreel.config import ADDED_LATER
from unreel.data.batch import Rejection, UnreadableBatch, VideoBatch
from unreel.data.cache import FrameCache
from unreel.data.catalog import Catalog
from unreel.data.clip_reader import ClipReader, ReadVideo, collate_videos
from unreel.data.clips import ClipSampling
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.opening import check_time_limit
from unreel.data.subset import choose_fraction, choose_per_class
from unreel.errors import CatalogError
from unreel.machine import count_cores
from unreel.progress import Progress, ignore_progress
from unreel.seeding import build_generator

# B batch, N clips, T frames, H W pixels


@dataclass(frozen=True)
class DataConfig:
    """Which videos are read, and how."""

    catalog: Path = Path("catalog.parquet")
    """Catalog that `unreel scan` wrote."""
    motion: Path = Path()
    """Table that `unreel motion` wrote, for clips that are chosen by motion; by default the one beside the
    catalog."""
    split: str = "auto"
    """Split to use; "auto" takes "train" where the catalog has it and everything otherwise; "" takes
    everything."""
    height: int = 128
    """Height to which frames are scaled, in pixels; with width 0, the length of the short side."""
    width: int = 171
    """Width to which frames are scaled, in pixels; 0 keeps the aspect."""
    videos_per_class: int = 0
    """Train on so many videos of every class, always the same ones; 0 takes all."""
    class_fraction: float = field(default=1.0, metadata=ADDED_LATER)
    """Train on this share of the videos of every class, one at least; 1 takes all."""
    subset_seed: int = field(default=0, metadata=ADDED_LATER)
    """Of the choice by ``class_fraction``."""
    min_frames: int = 1
    """Videos with fewer frames are left out."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, or none when the frames are in memory."""
    cache: Literal["none", "ram", "device"] = "none"
    """Where all frames are kept, decoded once: nowhere, in memory that all processes of a machine share, or
    on the device that trains."""
    cache_limit_mb: int = 4096
    """Memory that the cache may use, in MiB; of each device when it lies there."""
    max_rejected_fraction: float = 0.05
    """The run stops when more than this share of the videos cannot be read."""
    decode_time_limit_sec: float = 30.0
    """Time after which a video counts as unreadable; 0 sets no limit."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: the time limit is negative, infinite or not a number, a share of the videos is out of
                range or asked for beside a number, or workers are asked for that would have nothing to do.
        """
        if self.cache == "device" and self.num_workers > 0:
            raise ValueError(
                f"data.num_workers = {self.num_workers}, but with data.cache = 'device' clips are cut out "
                "on the device; leave data.num_workers at -1"
            )
        if not 0 < self.class_fraction <= 1:
            raise ValueError(
                f"data.class_fraction must be above 0 and at most 1, got {self.class_fraction}; 0.1 takes a "
                "tenth of every class"
            )
        if self.class_fraction < 1 and self.videos_per_class:
            raise ValueError(
                f"data.class_fraction = {self.class_fraction} and data.videos_per_class = "
                f"{self.videos_per_class} both choose by class; set one of them"
            )
        check_time_limit(self.decode_time_limit_sec, name="data.decode_time_limit_sec")

    @property
    def frame_size(self) -> FrameSize:
        """Size to which frames are scaled."""
        return FrameSize(self.height, self.width)

    def with_absolute_paths(self) -> "DataConfig":
        """Return the settings with the paths in them absolute, as a run folder keeps them."""
        motion = self.motion.absolute() if self.motion != Path() else self.motion
        return replace(self, catalog=self.catalog.absolute(), motion=motion)


def select_videos(config: DataConfig, *, needs_labels: bool = False) -> tuple[Catalog, list[Rejection]]:
    """Load the catalog and keep what the configuration asks for.

    Args:
        config: which videos, and how they are read.
        needs_labels: whether videos without label are left out too.

    Returns:
        The videos to use, and those that are too short or without a label that they need, each with the
        reason.

    Raises:
        CatalogError: the catalog is missing or damaged, has no such split or no labels where videos are
            chosen by class or need them, or nothing is left.
    """
    catalog = Catalog.load(config.catalog)
    split = config.split
    if split == "auto":
        split = "train" if "train" in catalog.split_names else ""
    if split:
        catalog = catalog.select(split)
    if config.videos_per_class:
        catalog = catalog.take(choose_per_class(catalog, config.videos_per_class))
    if config.class_fraction < 1:
        rows = choose_fraction(catalog.labels, catalog.ids, config.class_fraction, seed=config.subset_seed)
        catalog = catalog.take(rows)
    left_out: list[Rejection] = []
    if needs_labels:
        catalog, left_out = _keep_labelled(catalog, config)
    frames = catalog.num_frames_array
    is_long = frames >= config.min_frames
    left_out += [
        Rejection(
            str(catalog.video(int(row)).path), f"{frames[row]} frames, data.min_frames is {config.min_frames}"
        )
        for row in np.flatnonzero(~is_long)
    ]
    if not is_long.any():
        raise CatalogError(
            f"{config.catalog}: none of the {len(catalog)} videos has data.min_frames = {config.min_frames} "
            f"frames; the longest has {frames.max(initial=0)}"
        )
    return catalog if is_long.all() else catalog.take(np.flatnonzero(is_long)), left_out


def _keep_labelled(catalog: Catalog, config: DataConfig) -> tuple[Catalog, list[Rejection]]:
    has_label = np.array([bool(label) for label in catalog.labels])
    if not has_label.any():
        raise CatalogError(
            f"{config.catalog}: none of the {len(catalog)} videos has a label to learn; scan a list with a "
            "column `label`, or folders with --labels from-folders"
        )
    without = [
        Rejection(str(catalog.video(int(row)).path), "has no label") for row in np.flatnonzero(~has_label)
    ]
    return catalog.take(np.flatnonzero(has_label)), without


class TrainingBatches(Dataset[VideoBatch | UnreadableBatch]):
    """Number of a part of a batch -> that part, a pure function of seed and number.

    Every epoch passes over the videos in a new random order and leaves out the rest that does not fill a
    batch, so the videos of a batch are distinct. A video that fails is replaced by one that is not in the
    batch, always the same one. Batch ``b`` consists of the parts ``b * num_parts`` to ``(b + 1) * num_parts -
    1``.

    Args:
        catalog: the videos to train on.
        clips: which frames of each.
        config: how they are read.
        seed: of the run.
        batch_size: videos per batch, over all processes.
        num_parts: parts in which a batch is read, one after the other.
        rank: this process's number.
        world_size: number of processes; each reads an equal share of every part.
        cache: decoded frames, if they are in memory.

    Raises:
        ValueError: the batch is larger than the corpus or cannot be shared evenly.
    """

    def __init__(
        self,
        catalog: Catalog,
        clips: ClipSampling,
        config: DataConfig,
        *,
        seed: int,
        batch_size: int,
        num_parts: int = 1,
        rank: int = 0,
        world_size: int = 1,
        cache: FrameCache | None = None,
    ) -> None:
        if batch_size > len(catalog):
            raise ValueError(
                f"train.batch_size is {batch_size} but there are {len(catalog)} videos to train on, and a "
                f"batch holds every video once; lower train.batch_size to {len(catalog)} or less"
            )
        if batch_size % (num_parts * world_size):
            raise ValueError(
                f"train.batch_size = {batch_size} cannot be shared evenly by {world_size} processes in "
                f"{num_parts} parts; make it a multiple of {num_parts * world_size}"
            )
        self._catalog = catalog
        self._seed = seed
        self._batch_size = batch_size
        self._num_parts = num_parts
        self._share = batch_size // (num_parts * world_size)
        self._rank, self._world_size = rank, world_size
        self._reader = ClipReader(catalog, clips, build_decoder(config), seed=seed, cache=cache)
        self.batches_per_epoch = len(catalog) // batch_size

    def __getitem__(self, number: int) -> VideoBatch | UnreadableBatch:
        """Read this process's share of a part.

        Too few readable videos are a result, not an error: it travels from a worker without losing its form.
        """
        batch, part = divmod(number, self._num_parts)
        epoch, place = divmod(batch, self.batches_per_epoch)
        order = _epoch_order(self._seed, epoch, len(self._catalog))
        members = order[place * self._batch_size : (place + 1) * self._batch_size]
        rejections: list[Rejection] = []
        videos: list[ReadVideo] = []
        first_slot = (part * self._world_size + self._rank) * self._share
        for slot in range(first_slot, first_slot + self._share):
            for row in self._candidates(members, slot, batch):
                if any(video.row == row for video in videos):
                    continue
                read = self._reader.read(row, epoch)
                if isinstance(read, ReadVideo):
                    videos.append(read)
                    break
                rejections.append(read)
            else:
                reason = (
                    f"batch {batch} cannot be filled: {len(rejections)} of its videos and their substitutes "
                    f"cannot be read, of {len(self._catalog)} videos in all; last: {rejections[-1].path}: "
                    f"{rejections[-1].reason}. Scan the videos again, or lower train.batch_size"
                )
                return UnreadableBatch(reason, tuple(rejections))
        return collate_videos(videos, rejections)

    def _candidates(self, members: NDArray[np.int32], slot: int, batch: int) -> Iterator[int]:
        """Yield the slot's video, then its substitutes.

        Every slot has substitutes of its own, so that processes need not agree. When they are used up, in a
        corpus that is hardly larger than a batch, those of the others are tried if this process reads the
        whole batch.
        """
        yield int(members[slot])
        others = np.setdiff1d(np.arange(len(self._catalog)), members)
        shuffled = build_generator(self._seed, "substitutes", batch).permutation(others)
        own = shuffled[slot :: self._batch_size]
        yield from (int(row) for row in own)
        if self._share == self._batch_size:
            yield from (int(row) for row in shuffled if row not in own)


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, num_videos: int) -> NDArray[np.int32]:  # small: each worker has one
    return build_generator(seed, "order", epoch).permutation(np.arange(num_videos, dtype=np.int32))


def build_decoder(config: DataConfig) -> ClipDecoder:
    """Build what reads videos as the configuration asks for."""
    return ClipDecoder(config.frame_size, time_limit_sec=config.decode_time_limit_sec)


def build_cache(
    catalog: Catalog,
    config: DataConfig,
    progress: Progress = ignore_progress,
    *,
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> FrameCache | None:
    """Decode everything into memory, or onto the device, when the configuration asks for it.

    Raises:
        ValueError: it would not fit into ``data.cache_limit_mb`` or into the memory that is free.
    """
    if config.cache == "none":
        return None
    return FrameCache(
        catalog,
        config.frame_size,
        limit_mb=config.cache_limit_mb,
        num_threads=count_cores(),
        time_limit_sec=config.decode_time_limit_sec,
        device=device if config.cache == "device" else None,
        progress=progress,
    )


def count_workers(config: DataConfig, *, processes_per_machine: int = 1) -> int:
    """Return how many decoding processes to start for one training process."""
    if config.num_workers >= 0:
        return config.num_workers
    return 0 if config.cache != "none" else max(1, count_cores() // processes_per_machine)
