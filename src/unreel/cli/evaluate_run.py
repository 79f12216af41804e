"""What the protocols share that need a whole run: heads and momentum encoders are no part of an encoder."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unreel.cli.evaluate_output import OutputArguments, check_output, keep, name_result, warn_of_rejected
from unreel.cli.terminal import ProgressBar, format_duration, print_summary, print_warning
from unreel.data.batch import Rejection, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.sweep import sweep_batches
from unreel.evaluate.pair_similarity import SimilarityResult
from unreel.evaluate.shuffle_degree import DegreeResult
from unreel.evaluate.view_sweep import check_method
from unreel.evaluate.whole_clips import WholeClips, keep_whole_clips
from unreel.features.encoder import choose_device
from unreel.methods.method import Method
from unreel.progress import Progress
from unreel.recipes.find import LoadedRun, load_run_method


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


ResultT = TypeVar("ResultT", DegreeResult, SimilarityResult)


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
        CatalogError: the catalog is missing, lacks the split, or has no video that is long enough.
        ValueError: the run is of another method, a number is out of range, the device is not there, or
            ``--out`` cannot be written or replaces an input.
    """
    check_output(arguments, {"--run": arguments.run, "--catalog": arguments.catalog})
    loaded = load_run_method(arguments.run)
    loaded.method.to(choose_device(arguments.device))
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    chosen, settings = choose_videos(loaded, catalog, arguments.split)
    batches = sweep_batches(
        chosen.videos,
        loaded.recipe.method.clips,
        loaded.recipe.data,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        num_rounds=arguments.num_rounds,
        num_workers=arguments.num_workers,
    )
    settings = {
        "run": str(arguments.run),
        **settings,
        "num_rounds": arguments.num_rounds,
        "seed": arguments.seed,
    }
    num_clips = len(chosen.videos) * arguments.num_rounds
    return OpenedRun(loaded.method, _watch(batches, num_clips, progress), settings)


def measure_run(arguments: RunArguments, evaluate: Callable[..., ResultT]) -> ResultT:
    """Measure a run and warn of the videos that took no part.

    Args:
        arguments: of the command.
        evaluate: such as `evaluate_similarity`.

    Raises:
        UnreelError: as `open_run`, or the measurement fails.
        ValueError: as `open_run`.
    """
    with ProgressBar("Measuring", unit="clips") as progress:
        opened = open_run(arguments, progress)
        result = evaluate(
            opened.method,
            opened.batches,
            max_rejected_fraction=arguments.max_rejected_fraction,
            settings=opened.settings,
        )
    warn_of_rejected(result.rejected)
    warn_of_short(result.settings)
    return result


def choose_videos(loaded: LoadedRun, catalog: Catalog, split: str) -> tuple[WholeClips, dict[str, Any]]:
    """Return the videos of a split that a CACL's clips fit into, and what a result depends on so far.

    Args:
        loaded: the run.
        catalog: all videos.
        split: "auto" takes test when there is one, else all; "" takes all.

    Raises:
        CatalogError: there is no such split, or no video in it is long enough.
        ValueError: the run is of another method.
    """
    check_method(loaded.method)
    if split == "auto":
        split = "test" if "test" in catalog.split_names else ""
    recipe = loaded.recipe
    chosen = keep_whole_clips(catalog.select(split), recipe.method.clips, min_frames=recipe.data.min_frames)
    return chosen, {
        **loaded.describe(),
        "catalog_hash": catalog.hash,
        "split": split,
        "min_frames": chosen.min_frames,
        "too_short": chosen.num_too_short,
    }


def warn_of_short(settings: Mapping[str, Any]) -> None:
    """Say how many videos were too short to take part."""
    if settings["too_short"]:
        print_warning(
            f"too short, with fewer than {settings['min_frames']} frames, and left out: "
            f"{settings['too_short']} of the videos"
        )


def name_run(run: Path, settings: Mapping[str, Any]) -> str:
    """Say which weights were measured."""
    return f"{run}, {settings['recipe']}, step {settings['step']} ({settings['weights_hash']})"


def next_command(command: str, arguments: RunArguments) -> str:
    """Return another command on the same run and the same videos."""
    words = ["unreel", *command.split(), "--run", str(arguments.run), "--catalog", str(arguments.catalog)]
    if arguments.root is not None:
        words += ["--root", str(arguments.root)]
    if arguments.split != "auto":
        words += ["--split", arguments.split]
    return shlex.join(words)


def close_run(
    values: Mapping[str, Any],
    arguments: RunArguments,
    rejected: Sequence[Rejection],
    rows: Mapping[str, object],
    next_steps: Sequence[str],
) -> None:
    """Print the closing summary and write the result file.

    Raises:
        UnreelError: the file cannot be written.
    """
    settings = values["settings"]
    print_summary(
        name_result(arguments),
        {
            "run": name_run(arguments.run, settings),
            "split": settings["split"] or "all videos",
            "videos": f"{values['videos']} used, {len(rejected)} rejected, {settings['too_short']} too short",
            "clips": f"{values['clips']}, augmented and shuffled as in training, seed {arguments.seed}",
            **rows,
            "time": format_duration(values["seconds"]),
        },
        next_steps=next_steps,
    )
    keep(values, arguments)


def _watch(batches: Iterator[VideoBatch], total: int, progress: Progress) -> Iterator[VideoBatch]:
    done = rejected = 0
    for batch in batches:
        yield batch
        rejected += len(batch.rejections)
        done += len(batch) + len(batch.rejections)
        progress(done, total, f"{rejected} rejected" if rejected else "")
