"""From vectors over time and labelled stretches to a localiser."""

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from unreel.config import hash_config
from unreel.distributed import Rank
from unreel.errors import FeaturesError
from unreel.features.grid_batches import GridBatches, GridData, select_grids
from unreel.features.grid_clips import GridSampling
from unreel.features.localizer import Localizer, LocalizerConfig
from unreel.features.table_info import FeatureInfo, read_info
from unreel.methods.bmn import Localization
from unreel.progress import Progress, Warn, ignore_progress, ignore_warning
from unreel.train.export import describe_origin
from unreel.train.recipe import TrainConfig, TrainingRecipe
from unreel.train.run import TrainingSummary, run_training
from unreel.train.setup import Job, RunKind
from unreel.train.sources import Source, hash_settings

COMMAND = "localize train"


@dataclass(frozen=True)
class LocalizationRecipe(TrainingRecipe):
    """One experiment on vectors over time."""

    method: Localization.Config = field(default_factory=Localization.Config)
    """What is learned."""
    data: GridData = field(default_factory=GridData)
    """Which videos are learned from."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How long, how fast, where."""


def train_localizer(
    recipe: LocalizationRecipe,
    run: Path,
    *,
    recipe_name: str,
    is_resumed: bool = False,
    progress: Progress = ignore_progress,
    warn: Warn = ignore_warning,
) -> TrainingSummary:
    """Learn where segments start and end, or go on where a run was cut off.

    Args:
        recipe: the full configuration; where its network takes vectors of length 0, those of the table are
            taken. Of a resumed run, the one that its ``recipe.json`` holds.
        run: folder to write; new or empty unless the run is resumed.
        recipe_name: by which the recipe is found again.
        is_resumed: whether to continue from the newest checkpoint.
        progress: told after every report of the loop.
        warn: told, before the first step of a new run, what a person should know of it.

    Raises:
        TrainingError: the folder holds another run, cannot be resumed, or the training fails.
        CatalogError: the catalog is missing or damaged, has no such split or no segments.
        FeaturesError: the table is missing or damaged, holds no vectors over time, or lacks too many videos.
        ValueError: the settings do not fit the vectors, the videos or the machine.
    """
    info = read_info(recipe.data.features)
    recipe = fit_network(recipe, info)
    kind = RunKind(COMMAND, open_grids, partial(export_localizer, info=info), exported="localizer")
    return run_training(
        recipe,
        run,
        kind,
        recipe_name=recipe_name,
        is_resumed=is_resumed,
        progress=progress,
        warn=warn,
    )


def fit_network(recipe: LocalizationRecipe, info: FeatureInfo) -> LocalizationRecipe:
    """Return the recipe with a network that takes the vectors of a table.

    Raises:
        FeaturesError: the table holds no vectors over time.
        ValueError: the recipe asks for vectors of another length, or they do not divide into its groups.
    """
    if GridSampling.from_name(info.sampling) is None:
        raise FeaturesError(
            f"{recipe.data.features} has {info.sampling or 'clips'} spread over each video, not vectors over "
            "time; make those with `unreel localize features`"
        )
    network = recipe.method.network
    if network.num_features not in (0, info.dimension):
        raise ValueError(
            f"method.network.num_features = {network.num_features}, and the vectors of "
            f"{recipe.data.features} have {info.dimension} numbers; leave it at 0 to take these"
        )
    network = dataclasses.replace(network, num_features=info.dimension)
    return dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, network=network))


def open_grids(recipe: LocalizationRecipe, rank: Rank) -> Source:
    """Find the vectors and segments of a recipe.

    Raises:
        CatalogError: the catalog is missing or damaged, has no such split or no segments.
        FeaturesError: the table is missing or damaged, or lacks too many videos.
    """
    data, config = recipe.data, recipe.train
    videos = select_grids(data, recipe.method.network.num_positions)

    def open_batches(_: Progress, __: torch.device) -> GridBatches:
        return GridBatches(
            videos,
            seed=config.seed,
            batch_size=config.batch_size,
            num_parts=config.accumulate,
            rank=rank.rank,
            world_size=rank.world_size,
        )

    neutral = dataclasses.replace(data, num_workers=0, max_rejected_fraction=0.0)
    settings = hash_settings(dataclasses.replace(recipe, data=neutral))
    made_from = hash_config(dataclasses.replace(videos.info, encoder="", root=""))
    return Source(
        catalog=videos.catalog,
        left_out=videos.left_out,
        identity=f"{settings}-{videos.catalog.hash}-{made_from}",
        cautions=videos.cautions,
        max_rejected_fraction=data.max_rejected_fraction,
        num_workers=data.num_workers,
        open=open_batches,
    )


def export_localizer(job: Job, step: int, *, info: FeatureInfo) -> Path:
    """Write ``localizer/`` of the run folder, and return that folder.

    Args:
        job: the run.
        step: steps done.
        info: of the vectors that it learns from.
    """
    method = job.method
    assert isinstance(method, Localization)
    grid = GridSampling.from_name(info.sampling)
    assert grid is not None
    config = LocalizerConfig(
        network=method.config.network,
        encoder_hash=info.encoder_hash,
        encoder=info.encoder,
        every_frames=grid.every_frames,
    )
    Localizer(method.network, config, provenance=describe_origin(job, step)).save(job.run / "localizer")
    return job.run / "localizer"
