"""What a run reads: the videos, and how they become batches."""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from unreel.config import hash_config
from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.data.loader import TrainingBatches, build_cache, count_workers, select_videos
from unreel.data.motion_table import attach_motion, describe_unmeasured
from unreel.distributed import Rank
from unreel.progress import Progress
from unreel.train.recipe import Recipe, TrainingRecipe


class Batches(Protocol):
    """Number of a part of a batch -> that part, a pure function of seed and number."""

    batches_per_epoch: int

    def __getitem__(self, number: int, /) -> Any:  # noqa: ANN401 (each kind has its own batches)
        """Read a process's share of a part."""


@dataclass(frozen=True)
class Source:
    """What a run reads.

    Attributes:
        catalog: the videos to train on, in the order that batches count them in.
        left_out: videos that the settings exclude.
        identity: changes with any setting that matters and with what is read.
        cautions: what a person should know of the videos, a sentence each.
        max_rejected_fraction: the run stops when more than this share of the videos cannot be read.
        num_workers: processes that read ahead.
        open: puts the batches together for training on a device; it may decode videos into memory, or onto
            that device, and tells how far it is. With several processes, all must open.
    """

    catalog: Catalog
    left_out: list[Rejection]
    identity: str
    cautions: tuple[str, ...]
    max_rejected_fraction: float
    num_workers: int
    open: Callable[[Progress, torch.device], Batches]


def open_videos(recipe: Recipe, rank: Rank) -> Source:
    """Find the videos of a recipe.

    Raises:
        CatalogError: the videos cannot be found, lack labels that are needed, or their motion is not known.
    """
    data, config = recipe.data, recipe.train
    catalog, left_out = select_videos(data, needs_labels=recipe.method.needs_labels)
    catalog = attach_motion(catalog, recipe.method.clips, data.motion)

    def open_batches(progress: Progress, device: torch.device) -> TrainingBatches:
        return TrainingBatches(
            catalog,
            recipe.method.clips,
            data,
            seed=config.seed,
            batch_size=config.batch_size,
            num_parts=config.accumulate,
            rank=rank.rank,
            world_size=rank.world_size,
            cache=build_cache(catalog, data, progress, device=device),
        )

    neutral = dataclasses.replace(
        data, num_workers=0, cache="none", cache_limit_mb=0, max_rejected_fraction=0.0
    )
    settings = dataclasses.replace(recipe, data=neutral)
    motion = f"-{catalog.motion.hash}" if catalog.motion else ""
    return Source(
        catalog=catalog,
        left_out=left_out,
        identity=f"{hash_settings(settings)}-{catalog.hash}{motion}",
        cautions=tuple(filter(None, [describe_unmeasured(catalog)])),
        max_rejected_fraction=data.max_rejected_fraction,
        num_workers=count_workers(data, processes_per_machine=processes_here(rank)),
        open=open_batches,
    )


def hash_settings(recipe: TrainingRecipe) -> str:
    """Hash what the weights depend on, not where files lie, where is trained or how often one reports."""
    train = dataclasses.replace(
        recipe.train, device="", log_every_steps=1, checkpoint_every_steps=1, keep_checkpoints=1
    )
    return hash_config(dataclasses.replace(recipe, train=train), with_paths=False)


def processes_here(rank: Rank) -> int:
    """Return how many training processes share this machine, as the launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("SLURM_NTASKS_PER_NODE", rank.world_size)))
