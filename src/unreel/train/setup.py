"""Put together what a training run works on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.distributed import Rank, gather_objects, wait_for_all
from unreel.errors import TrainingError
from unreel.methods.method import Trainable
from unreel.models.backbone import limit_clips
from unreel.models.batch_norm import synchronize_batch_norm
from unreel.models.memory_format import to_channels_last
from unreel.models.weight_matching import LoadReport
from unreel.progress import Progress, Warn
from unreel.runs import collect_provenance, write_json
from unreel.seeding import derive_key
from unreel.train.checkpoint import list_checkpoints, load_checkpoint
from unreel.train.optimizer import build_optimizer
from unreel.train.recipe import TrainConfig, TrainingRecipe
from unreel.train.rejected import RejectedVideos
from unreel.train.sources import Batches, Source

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class RunKind:
    """How one kind of training differs from another: what it reads and what it leaves behind.

    Attributes:
        command: words behind ``unreel`` that start and resume it, such as ``"pretrain"``.
        open_source: finds what a recipe reads; given the recipe and the place of this process.
        export: writes what others use, after some number of steps.
        exported: folder of the run that ``export`` writes.
    """

    command: str
    open_source: Callable[[Any, Rank], Source]
    export: Callable[["Job", int], object]
    exported: str

    def resume_command(self, run: Path) -> str:
        """Return the command line that goes on with a run."""
        return f"unreel {self.command} --resume {run}"


@dataclass(frozen=True)
class Job:
    """Everything that the loop needs; `unreel.train.run` puts it together.

    Attributes:
        run: the run folder.
        kind: what is read and exported.
        recipe_name: by which the recipe is found again, such as ``"ccl.small"``.
        catalog: the videos trained on.
        identity: changes with any setting that matters, with the videos, and with what else is read.
        first_step: optimiser steps done before.
        num_steps: optimiser steps at the end.
        initial_weights: what the method took from files before the first step; empty when resumed.
        cautions: what a person should know of the settings and the videos, a sentence each.
    """

    run: Path
    kind: RunKind
    recipe: TrainingRecipe
    recipe_name: str
    catalog: Catalog
    method: Trainable
    optimizer: torch.optim.Optimizer
    batches: Batches
    rejected: RejectedVideos
    rank: Rank
    device: torch.device
    is_bfloat16: bool
    num_workers: int
    identity: str
    first_step: int
    num_steps: int
    initial_weights: Mapping[str, LoadReport]
    cautions: tuple[str, ...]


def choose_device(name: str, rank: Rank) -> torch.device:
    """Turn ``train.device`` into a device; with several processes each takes its own GPU.

    Raises:
        ValueError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{rank.local_rank % torch.cuda.device_count()}"  # a scheduler may show each task one GPU
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device {name!r} cannot be used ({reason}); `unreel doctor` lists the devices"
        ) from None
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    return device


def prepare_job(
    recipe: TrainingRecipe,
    run: Path,
    kind: RunKind,
    *,
    recipe_name: str,
    is_resumed: bool,
    rank: Rank,
    device: torch.device,
    progress: Progress,
    warn: Warn,
) -> Job:
    """Find the videos, open the run folder, build the method and load the newest checkpoint, if there is one.

    What a person should know is told at once, before videos are decoded into memory.

    Raises:
        TrainingError: the folder holds another run or cannot be resumed.
        WeightsError: a file that training starts from cannot be read or does not fit.
        CatalogError: the videos cannot be found, or their motion is not known.
        ValueError: the settings do not fit the videos or the machine.
    """
    config = recipe.train
    source = kind.open_source(recipe, rank)
    if not is_resumed:
        _check_is_new(run, kind, rank)
    is_bfloat16 = _uses_bfloat16(config, device)
    # Before the videos are decoded into memory, which takes longer than saying that a file is missing.
    method = _build_method(recipe, device)
    checkpoints = list_checkpoints(run / "checkpoints")
    initial_weights = {} if checkpoints else method.load_initial_weights()
    cautions = (
        *recipe.method.cautions(),
        *source.cautions,
        *(_describe_gap(name, report) for name, report in initial_weights.items() if report.share_loaded < 1),
    )
    for caution in cautions if rank.is_main and not is_resumed else ():
        warn(caution)
    batches = source.open(progress, device)
    optimizer = build_optimizer(config.optimizer, method.parameter_groups())
    if rank.is_main and not is_resumed:
        write_json(run / RECIPE_FILE, {"recipe": recipe_name, "settings": config_to_dict(recipe)})
    wait_for_all()
    rejected = RejectedVideos(
        run / "rejected.csv",
        num_videos=len(source.catalog),
        max_fraction=source.max_rejected_fraction,
        is_writer=rank.is_main,
    )
    rejected.leave_out(source.left_out)
    first_step = 0
    if checkpoints:
        first_step = load_checkpoint(
            checkpoints[-1], method=method, optimizer=optimizer, identity=source.identity, device=device
        )
    _check_agreement(first_step, source.identity, run)
    job = Job(
        run=run,
        kind=kind,
        recipe=recipe,
        recipe_name=recipe_name,
        catalog=source.catalog,
        method=method,
        optimizer=optimizer,
        batches=batches,
        rejected=rejected,
        rank=rank,
        device=device,
        is_bfloat16=is_bfloat16,
        num_workers=source.num_workers,
        identity=source.identity,
        first_step=first_step,
        num_steps=config.steps or config.epochs * batches.batches_per_epoch,
        initial_weights=initial_weights,
        cautions=cautions,
    )
    if rank.is_main:
        _record(job)
    return job


def _describe_gap(name: str, report: LoadReport) -> str:
    """Say which weights a file did not give; they stay as they were drawn."""
    kept = [*report.missing, *(str(item) for item in report.mismatched)]
    shown = ", ".join(kept[:3]) + (f" and {len(kept) - 3} more" if len(kept) > 3 else "")
    return (
        f"{report.file} gives {report.share_loaded:.0%} of the method's {name}; these start from random "
        f"weights: {shown}"
    )


def _build_method(recipe: TrainingRecipe, device: torch.device) -> Trainable:
    torch.manual_seed(derive_key(recipe.train.seed, "weights"))
    method = recipe.method.build()
    if recipe.train.batch_norm == "synchronized":
        synchronize_batch_norm(method)
    method.to(device)
    if recipe.train.channels_last:
        to_channels_last(method)
    limit_clips(method, recipe.train.chunk_clips)
    return method


def _uses_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    if config.precision == "bfloat16" and device.type == "cpu":
        raise ValueError(
            "train.precision = 'bfloat16' is not offered on the CPU: torch 2.13 computes wrong gradients "
            "there for convolutions over two frames; use 'float32' or 'auto'"
        )
    return config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")


def _check_is_new(run: Path, kind: RunKind, rank: Rank) -> None:
    is_taken = rank.is_main and run.exists() and (not run.is_dir() or any(run.iterdir()))
    if any(gather_objects(is_taken)):
        raise TrainingError(
            f"{run} is not empty; give a new folder with --run, or `{kind.resume_command(run)}`"
        )


def _check_agreement(first_step: int, identity: str, run: Path) -> None:
    """Refuse processes that do not see the same run folder or the same catalog."""
    if len(set(gather_objects((first_step, identity)))) > 1:
        raise TrainingError(
            f"the processes do not see the same {run} or the same catalog; all machines must share both"
        )


def _record(job: Job) -> None:
    """Add what produced this part of the run to ``provenance.json``."""
    path = job.run / "provenance.json"
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.exists() else []
    part = {
        "first_step": job.first_step,
        **collect_provenance(),
        "device": torch.cuda.get_device_name(job.device) if job.device.type == "cuda" else str(job.device),
        "threads": torch.get_num_threads(),
        "processes": job.rank.world_size,
        "seed": job.recipe.train.seed,
        "catalog": job.catalog.hash,
        "videos": len(job.catalog),
        "initial_weights": {name: _summarize(report) for name, report in job.initial_weights.items()},
        "cautions": list(job.cautions),
    }
    write_json(path, {"parts": [*parts, part]})


def _summarize(report: LoadReport) -> dict[str, Any]:
    """Say what a file gave: enough to tell it from another, even when it has been moved."""
    return {
        "file": str(report.file.absolute()) if report.file else "",
        "hash": report.file_hash,
        "share_loaded": report.share_loaded,
        "missing": len(report.missing),
        "other_shape": len(report.mismatched),
    }
