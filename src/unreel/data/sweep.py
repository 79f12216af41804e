"""Every video of a catalog, once per round and in order: what an evaluation in training's clothes reads."""

import dataclasses
from collections.abc import Iterator

from torch.utils.data import Dataset

from unreel.data.batch import Rejection, UnreadableBatch, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clip_reader import ClipReader, ReadVideo, collate_videos
from unreel.data.clips import ClipSampling
from unreel.data.loader import DataConfig, build_decoder
from unreel.data.motion_table import attach_motion
from unreel.data.prefetch import build_loader
from unreel.errors import CatalogError
from unreel.machine import count_cores


class _SweepBatches(Dataset[VideoBatch | UnreadableBatch]):
    """Number of a batch -> that batch, a pure function of seed and number."""

    def __init__(self, reader: ClipReader, *, num_videos: int, batch_size: int) -> None:
        self._reader = reader
        self._num_videos = num_videos
        self._batch_size = batch_size
        self.batches_per_round = -(-num_videos // batch_size)

    def __getitem__(self, number: int) -> VideoBatch | UnreadableBatch:
        round_, place = divmod(number, self.batches_per_round)
        start = place * self._batch_size
        rows = range(start, min(start + self._batch_size, self._num_videos))
        read = [self._reader.read(row, round_) for row in rows]
        videos = [item for item in read if isinstance(item, ReadVideo)]
        rejections = tuple(item for item in read if isinstance(item, Rejection))
        if not videos:
            return UnreadableBatch(f"none of the videos of batch {number} can be read", rejections)
        return collate_videos(videos, rejections)


def sweep_batches(
    catalog: Catalog,
    clips: ClipSampling,
    config: DataConfig,
    *,
    seed: int,
    batch_size: int,
    num_rounds: int = 1,
    num_workers: int = -1,
) -> Iterator[VideoBatch]:
    """Read every video of a catalog once per round, in the catalog's order; the last batch may be smaller.

    Clips and keys are drawn as in training, with the round in place of the epoch: they are a function of
    seed, round and video, so neither the batch size nor the number of workers changes what is seen of a
    video. A video that fails is absent, never replaced, and named in the ``rejections`` of its batch; where
    a whole batch fails, in those of the batch before it, or after it at the very start. So every failure is
    told once per round.

    Args:
        catalog: the videos, all of them; the split is the caller's choice.
        clips: which frames of each.
        config: size of the frames, limit of time, table of motion; nothing else of it plays a role.
        seed: of the draws.
        batch_size: videos per batch.
        num_rounds: passes over the catalog, each with draws of its own.
        num_workers: processes that decode; -1 takes one per core, 0 decodes in this process.

    Raises:
        CatalogError: the catalog is empty, or lacks the motion that the clips are chosen by, or not one of
            its videos can be read.
        ValueError: a number is out of range.
    """
    for name, value, lowest in (
        ("batch_size", batch_size, 1),
        ("num_rounds", num_rounds, 1),
        ("num_workers", num_workers, -1),
    ):
        if value < lowest:
            raise ValueError(f"{name} must be at least {lowest}, got {value}")
    if not len(catalog):
        raise CatalogError("the catalog holds no video; scan a folder that does")
    catalog = attach_motion(catalog, clips, config.motion)
    reader = ClipReader(catalog, clips, build_decoder(config), seed=seed)
    batches = _SweepBatches(reader, num_videos=len(catalog), batch_size=batch_size)
    return _read(batches, num_rounds * batches.batches_per_round, num_workers)


def _read(batches: _SweepBatches, num_batches: int, num_workers: int) -> Iterator[VideoBatch]:
    workers = count_cores() if num_workers < 0 else num_workers
    loader = build_loader(
        batches, first=0, last=num_batches, num_workers=min(workers, num_batches), is_pinned=False
    )
    # One batch is held back, so that the failures of an unreadable one behind it can travel with it.
    held: VideoBatch | None = None
    waiting: tuple[Rejection, ...] = ()
    for batch in loader:
        if isinstance(batch, UnreadableBatch):
            if held is None:
                waiting += batch.rejections
            else:
                held = _add_rejections(held, batch.rejections)
            continue
        if held is not None:
            yield held
        held, waiting = _add_rejections(batch, waiting), ()
    if held is None:
        first, num_videos = waiting[0], len({item.path for item in waiting})
        raise CatalogError(
            f"none of the {num_videos} videos can be read; the first: {first.path}: {first.reason}. Scan "
            "them again"
        )
    yield held


def _add_rejections(batch: VideoBatch, more: tuple[Rejection, ...]) -> VideoBatch:
    return dataclasses.replace(batch, rejections=batch.rejections + more)
