"""What the protocols share that need a whole run: heads and momentum encoders are no part of an encoder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.cli.evaluate_output import OutputArguments, name_result
from unreel.cli.terminal import format_duration, print_summary, print_warning
from unreel.data.batch import Rejection, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.sweep import sweep_batches
from unreel.features.encoder import choose_device
from unreel.methods.method import Method
from unreel.progress import Progress
from unreel.recipes.find import load_run_method
from unreel.train.checkpoint import count_steps, list_checkpoints


@dataclass(frozen=True, kw_only=True)
class RunArguments(OutputArguments):
    """Which run is measured on which videos."""

    run: Path
    """Folder of the run, whose newest checkpoint is measured."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    split: str = "auto"
    """Split to measure on; `auto` takes test when the catalog has it, else all videos; "" takes all."""
    num_rounds: int = 1
    """Clips per video, each with draws of its own."""
    seed: int = 0
    """Of everything that is drawn: clips, augmentation, shuffles."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    batch_size: int = 16
    """Videos per pass of the network."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""
    max_rejected_fraction: float = 0.05
    """Share of the videos that may fail."""


@dataclass(frozen=True)
class OpenedRun:
    """A trained method and the videos to measure it on.

    Attributes:
        method: in evaluation mode, on the device.
        batches: every video once per round.
        settings: what else the result depends on.
    """

    method: Method
    batches: Iterator[VideoBatch]
    settings: dict[str, Any]


def open_run(arguments: RunArguments, progress: Progress) -> OpenedRun:
    """Load the method of a run and start to read the videos, cut as in training.

    Args:
        arguments: of the command.
        progress: is told the number of clips done.

    Raises:
        TrainingError: the folder holds no run, or none with a checkpoint.
        CatalogError: the catalog is missing or lacks the split.
        ValueError: a number is out of range, or the device is not there.
    """
    name, recipe, method = load_run_method(arguments.run)
    method.to(choose_device(arguments.device))
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    split = arguments.split
    if split == "auto":
        split = "test" if "test" in catalog.split_names else ""
    videos = catalog.select(split)
    batches = sweep_batches(
        videos,
        recipe.method.clips,
        recipe.data,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        num_rounds=arguments.num_rounds,
        num_workers=arguments.num_workers,
    )
    settings = {
        "run": str(arguments.run),
        "recipe": name,
        "step": count_steps(list_checkpoints(arguments.run / "checkpoints")[-1]),
        "catalog_hash": catalog.hash,
        "split": split,
        "num_rounds": arguments.num_rounds,
        "seed": arguments.seed,
    }
    return OpenedRun(method, _watch(batches, len(videos) * arguments.num_rounds, progress), settings)


def close_run(
    values: Mapping[str, Any],
    arguments: RunArguments,
    rejected: Sequence[Rejection],
    rows: Mapping[str, object],
    next_steps: Sequence[str],
) -> None:
    """Name the videos that failed and print the closing summary."""
    for rejection in rejected:
        print_warning(f"rejected {rejection.path}: {rejection.reason}")
    settings = values["settings"]
    print_summary(
        name_result(arguments),
        {
            "run": f"{arguments.run}, {settings['recipe']}, step {settings['step']}",
            "split": settings["split"] or "all videos",
            "videos": f"{values['videos']} used, {len(rejected)} rejected",
            "clips": f"{values['clips']}, augmented and shuffled as in training, seed {arguments.seed}",
            **rows,
            "time": format_duration(values["seconds"]),
        },
        next_steps=next_steps,
    )


def _watch(batches: Iterator[VideoBatch], total: int, progress: Progress) -> Iterator[VideoBatch]:
    done = rejected = 0
    for batch in batches:
        yield batch
        rejected += len(batch.rejections)
        done += len(batch) + len(batch.rejections)
        progress(done, total, f"{rejected} rejected" if rejected else "")
