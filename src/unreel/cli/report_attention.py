"""Which frames CACL's video transformer looks at: its attention, averaged over random clips and all heads.

Clips are augmented and shuffled as in training. The figure has a row per token that looks and a column per
token that is looked at: the class token, the frames of the clip, the frames of its shuffled copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unreel.cli.evaluate_output import print_json, warn_of_rejected
from unreel.cli.evaluate_run import choose_videos, name_run, warn_of_short
from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import ProgressBar, parse_arguments, print_summary, print_warning
from unreel.config import config_to_dict
from unreel.data.catalog import Catalog
from unreel.evaluate.attention import AttentionResult, average_attention, read_random_clips
from unreel.features.encoder import choose_device
from unreel.recipes.find import load_run_method
from unreel.report.attention import save_attention
from unreel.report.figures import check_figure_path
from unreel.runs import write_json


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to draw, and where to."""

    run: Path
    """Folder of a run of CACL, whose newest checkpoint is looked into."""
    catalog: Path
    """Catalog that `unreel scan` wrote."""
    root: Path | None = None
    """Where the videos are now, when their folder was moved after the scan."""
    split: str = "auto"
    """Split to take clips from; `auto` takes test when the catalog has it, else all videos; "" takes all."""
    block: int = 0
    """Block of the transformer, counted from 0; the published figure shows the first."""
    num_clips: int = 50
    """Clips to average, each of another video as long as there are enough."""
    out: Path = Path("attention.png")
    """Picture to write, .png or .svg; an older one is replaced."""
    data: Path | None = None
    """JSON file for the numbers behind the picture, with all settings."""
    json: bool = False
    """Print the numbers as JSON on the standard output."""
    seed: int = 0
    """Of everything that is drawn: videos, clips, augmentation, shuffles."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, ..."""
    batch_size: int = 16
    """Clips per pass of the network."""
    num_workers: int = -1
    """Processes that decode; -1 takes one per core, 0 decodes in the main process."""


def main(argv: list[str]) -> None:
    """Draw the figure."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="report attention",
        description=__doc__ or "",
        example="unreel report attention --run runs/cacl --catalog catalog.parquet --out attention.png",
    )
    check_figure_path(arguments.out)
    check_outputs(
        {"--out": arguments.out, "--data": arguments.data},
        {"--run": arguments.run, "--catalog": arguments.catalog},
    )
    loaded = load_run_method(arguments.run)
    catalog = Catalog.load(arguments.catalog, root=arguments.root)
    chosen, settings = choose_videos(loaded, catalog, arguments.split)
    batches = read_random_clips(
        chosen.videos,
        loaded.recipe.method.clips,
        loaded.recipe.data,
        num_clips=arguments.num_clips,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        num_workers=arguments.num_workers,
    )
    with ProgressBar("Looking", unit="clips") as progress:
        result = average_attention(
            loaded.method.to(choose_device(arguments.device)),
            batches,
            block=arguments.block,
            num_clips=arguments.num_clips,
            progress=progress,
        )
    settings = {
        "run": str(arguments.run),
        **settings,
        "seed": arguments.seed,
        "method": config_to_dict(loaded.recipe.method),
    }
    values = {**result.to_json(), "settings": settings}
    warn_of_rejected(result.rejected)
    warn_of_short(settings)
    if result.num_clips < arguments.num_clips:
        print_warning(f"only {result.num_clips} of {arguments.num_clips} clips could be read")
    if arguments.json:
        print_json(values)
    else:
        _report(result, arguments, settings)
    write_outputs(
        {
            "--data": (arguments.data, partial(write_json, value=values)),
            "--out": (arguments.out, partial(save_attention, result)),
        }
    )


def _report(result: AttentionResult, arguments: Arguments, settings: Mapping[str, Any]) -> None:
    print_summary(
        f"Figure {arguments.out}",
        {
            "run": name_run(arguments.run, settings),
            "split": settings["split"] or "all videos",
            "videos": f"{result.num_videos} used, {len(result.rejected)} rejected, "
            f"{settings['too_short']} too short",
            "clips": f"{result.num_clips} of {result.num_frames} frames, seed {arguments.seed}",
            "shows": f"block {result.block}, mean of all heads",
            "numbers": arguments.data or "not kept; --data FILE.json keeps them",
        },
    )
