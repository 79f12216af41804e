"""From a recipe to a trained network, whatever is trained."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.distributed import is_loss_of_peer, read_rank, start_process_group, stop_process_group
from unreel.errors import TrainingError
from unreel.progress import Progress, Warn, ignore_progress, ignore_warning
from unreel.runs import read_json
from unreel.train.loop import train
from unreel.train.recipe import TrainingRecipe
from unreel.train.setup import RECIPE_FILE, RunKind, choose_device, prepare_job


@dataclass(frozen=True)
class TrainingSummary:
    """What a run did.

    Attributes:
        run: the run folder.
        exported: folder of what others use: the encoder, most often.
        num_videos: videos trained on.
        first_step: where this part of the run began.
        steps: optimiser steps done in all.
        num_steps: optimiser steps of the whole run.
        num_failed: videos that could not be read.
        num_left_out: videos that the settings exclude.
        initial_weights: what the method took from files before the first step, in words; empty when resumed.
        cautions: what a person should know of the settings, a sentence each.
        metrics: the last line of metrics.
        seconds: wall time.
        stopped_by: name of the signal that stopped the run early, or "".
        is_main: whether this process speaks for all of them.
        has_labels: whether any video trained on has a label.
    """

    run: Path
    exported: Path
    num_videos: int
    first_step: int
    steps: int
    num_steps: int
    num_failed: int
    num_left_out: int
    initial_weights: Mapping[str, str]
    cautions: tuple[str, ...]
    metrics: dict[str, Any]
    seconds: float
    stopped_by: str
    is_main: bool
    has_labels: bool


def run_training(
    recipe: TrainingRecipe,
    run: Path,
    kind: RunKind,
    *,
    recipe_name: str,
    is_resumed: bool = False,
    progress: Progress = ignore_progress,
    warn: Warn = ignore_warning,
) -> TrainingSummary:
    """Train a recipe into a run folder, or go on where a run was cut off.

    On the CPU a run that was killed at any moment and resumed ends with the weights of the uninterrupted run,
    to the bit, on the same machine with the same number of threads.

    Args:
        recipe: the full configuration; of a resumed run, the one that its ``recipe.json`` holds.
        run: folder to write; new or empty unless the run is resumed.
        kind: what is read and what is exported.
        recipe_name: by which the recipe is found again.
        is_resumed: whether to continue from the newest checkpoint.
        progress: told after every report of the loop.
        warn: told, before the first step of a new run, what a person should know of it.

    Raises:
        TrainingError: the folder holds another run, cannot be resumed, or the training fails.
        CatalogError: the videos cannot be found.
        ValueError: the settings do not fit the videos or the machine.
    """
    started = time.perf_counter()
    recipe = recipe.with_absolute_paths()
    rank = read_rank()
    if not rank.is_main:
        progress = ignore_progress
    device = choose_device(recipe.train.device, rank)
    start_process_group(rank, device)
    try:
        job = prepare_job(
            recipe,
            run,
            kind,
            recipe_name=recipe_name,
            is_resumed=is_resumed,
            rank=rank,
            device=device,
            progress=progress,
            warn=warn,
        )
        outcome = train(job, progress)
    except RuntimeError as error:
        if is_loss_of_peer(error):
            raise TrainingError(
                f"process {rank.rank} of {rank.world_size} stops because another one has died or does not "
                f"answer ({str(error).splitlines()[0][:200]}); the log of that one says why. Repair that, "
                f"then `{kind.resume_command(run)}` with as many processes"
            ) from error
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a decoding process died ({error}); the machine may be out of memory: lower data.num_workers or "
            f"train.batch_size, then `{kind.resume_command(run)}`"
        ) from error
    finally:
        stop_process_group()
    return TrainingSummary(
        run=run,
        exported=run / kind.exported,
        num_videos=len(job.catalog),
        first_step=job.first_step,
        steps=outcome.steps,
        num_steps=job.num_steps,
        num_failed=job.rejected.num_failed,
        num_left_out=job.rejected.num_left_out,
        initial_weights={
            name: f"{report.file}: {report.describe().splitlines()[0]}"
            for name, report in job.initial_weights.items()
        },
        cautions=job.cautions,
        metrics=outcome.metrics,
        seconds=time.perf_counter() - started,
        stopped_by=outcome.stopped_by,
        is_main=rank.is_main,
        has_labels=bool(job.catalog.label_names),
    )


def read_run_recipe(run: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the recipe's name and its settings as the run folder records them.

    Raises:
        TrainingError: the folder holds no run.
    """
    path = run / RECIPE_FILE
    try:
        content = read_json(path)
        return str(content["recipe"]), content["settings"]
    except FileNotFoundError:
        raise TrainingError(
            f"{run} holds no run: there is no {path.name}; give the folder of `--run`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
