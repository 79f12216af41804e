"""Learn a representation from unlabelled video.

The recipe decides which flags there are: every number of it is one. A run that was cut off goes on with
--resume.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unreel.cli.terminal import (
    ProgressBar,
    format_duration,
    parse_arguments,
    print_summary,
    print_warning,
)
from unreel.config import iterate_leaves
from unreel.models.zoo import BACKBONES, find_backbone
from unreel.recipes.find import find_recipe, load_run_recipe
from unreel.train.export import describe_encoder
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary

_EXAMPLE = """unreel pretrain moco.small --data.catalog catalog.parquet --run runs/first --train.steps 2000
  unreel pretrain ccl.ucf101 --backbone r3d_18 --help     # every setting, with another backbone
  unreel pretrain --resume runs/first                     # go on where it was cut off"""

_USAGE = f"""usage: unreel pretrain RECIPE --run RUN [--backbone NAME] [settings]
       unreel pretrain --resume RUN

{__doc__}
  RECIPE           name from `unreel recipes`, or module:function for one of your own
  --run RUN        new folder for everything that the run writes
  --backbone NAME  another network for the recipe: {", ".join(BACKBONES)}
  --resume RUN     go on from the newest checkpoint of a run, with its own settings
  settings         `unreel pretrain RECIPE --help` lists them

Example:
  {_EXAMPLE}"""

_FRAMES_OF_A_VIDEO = 30
"""By which networks of single frames are measured (VCLR, section 4.3)."""

_EXIT_BY_SIGNAL = {"SIGINT": 130, "SIGTERM": 143}


@dataclass(frozen=True)
class _Start:
    """What the words before the settings say."""

    recipe_name: str
    run: Path
    settings: list[str]
    backbone: str


def main(argv: Sequence[str]) -> None:
    """Run the command.

    Raises:
        ValueError: the words make no sense.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE)  # noqa: T201 (this is where the program prints)
        sys.exit(0 if argv else 2)
    if argv[0].startswith("--resume="):
        argv = ["--resume", argv[0].partition("=")[2], *argv[1:]]
    is_resumed = argv[0] == "--resume"
    if is_resumed:
        if len(argv) == 2 and argv[1] in ("-h", "--help"):
            print(_USAGE)  # noqa: T201 (this is where the program prints)
            return
        if len(argv) != 2:
            raise ValueError(
                "`unreel pretrain --resume RUN` takes the run folder alone: it keeps its settings"
            )
        run = Path(argv[1])
        recipe_name, recipe = load_run_recipe(run)
    else:
        start = _read_start(argv)
        recipe_name, run, recipe = start.recipe_name, start.run, _parse_recipe(start)
    with ProgressBar("Training", unit="steps") as progress:
        summary = pretrain(
            recipe,
            run,
            recipe_name=recipe_name,
            is_resumed=is_resumed,
            progress=progress,
            warn=print_warning,
        )
    if summary.is_main:
        _report(summary, recipe)
    if summary.stopped_by:
        sys.exit(_EXIT_BY_SIGNAL[summary.stopped_by])


def _read_start(argv: Sequence[str]) -> _Start:
    """Take the recipe's name, ``--run`` and ``--backbone`` out of the words; the rest are settings."""
    recipe_name, *words = argv
    if recipe_name.startswith("-"):
        raise ValueError(f"the recipe comes first, got {recipe_name!r}: `unreel pretrain RECIPE --run RUN`")
    taken, settings = {"--run": "", "--backbone": ""}, []
    while words:
        flag, equals, value = words.pop(0).partition("=")
        if flag not in taken:
            settings.append(flag + equals + value)
            continue
        if not equals and not words:
            raise ValueError(f"{flag} needs a value")
        taken[flag] = value if equals else words.pop(0)
    is_help = "-h" in settings or "--help" in settings
    if not taken["--run"] and not is_help:
        raise ValueError("--run is missing: name a new folder for the run, such as --run runs/first")
    return _Start(recipe_name, Path(taken["--run"]), settings, taken["--backbone"])


def _parse_recipe(start: _Start) -> Recipe:
    recipe = find_recipe(start.recipe_name)()
    if start.backbone:
        recipe = replace(recipe, method=replace(recipe.method, backbone=find_backbone(start.backbone)))
    return parse_arguments(
        type(recipe),
        start.settings,
        command=f"pretrain {start.recipe_name} --run RUN [--backbone NAME]",
        description=(find_recipe(start.recipe_name).__doc__ or "").strip(),
        example=_EXAMPLE,
        default=recipe,
    )


def _report(summary: TrainingSummary, recipe: Recipe) -> None:
    metrics = {
        name: f"{value:.4g}" for name, value in summary.metrics.items() if name not in ("step", "epoch")
    }
    steps = f"{summary.steps} of {summary.num_steps}"
    if summary.first_step:
        steps += f" (resumed at {summary.first_step})"
    rows = {
        "run": summary.run,
        "videos": summary.num_videos,
        "left out by the settings": summary.num_left_out,
        "failed": f"{summary.num_failed} (listed in {summary.run / 'rejected.csv'})"
        if summary.num_failed
        else 0,
        "steps": steps,
        **{name.replace("_", " "): text for name, text in summary.initial_weights.items()},
        "settings": f"{sum(1 for _ in iterate_leaves(recipe))} in {summary.run / 'recipe.json'}",
        **metrics,
        "time": format_duration(summary.seconds),
        "encoder": summary.exported,
    }
    if summary.stopped_by:
        print_summary(
            f"Stopped by {summary.stopped_by}; everything is saved",
            rows,
            next_steps=[f"unreel pretrain --resume {summary.run}"],
        )
        return
    print_summary("Trained", rows, next_steps=_name_next_steps(summary, recipe))


def _name_next_steps(summary: TrainingSummary, recipe: Recipe) -> list[str]:
    """Return what an encoder is good for; what asks for labels only where there are some."""
    extract = (
        f"unreel extract --encoder {summary.exported} --catalog {recipe.data.catalog} --out features.parquet"
    )
    if describe_encoder(recipe).input.num_frames == 1:
        extract += f" --clips-per-video {_FRAMES_OF_A_VIDEO}"
    measure = "unreel evaluate retrieval --features features.parquet --out retrieval.json"
    search = f"unreel search VIDEO --encoder {summary.exported} --features features.parquet"
    return [extract, measure if summary.has_labels else search, f"tensorboard --logdir {summary.run}"]
