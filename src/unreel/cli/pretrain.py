"""Learn a representation from unlabelled video.

The recipe decides which flags there are: every number of it is one. A run that was cut off goes on with
--resume.
"""

import shlex
import sys
from collections.abc import Sequence

from unreel.cli.run_arguments import (
    EXIT_BY_SIGNAL,
    describe_run,
    parse_settings,
    read_run_words,
    with_backbone,
)
from unreel.cli.terminal import ProgressBar, print_summary, print_warning
from unreel.models.zoo import BACKBONES
from unreel.recipes.find import find_recipe, load_run_recipe
from unreel.train.export import describe_encoder
from unreel.train.pretrain import pretrain, refuse_classes
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


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    words = read_run_words(argv, command="pretrain", usage=_USAGE, flags={"--backbone": ""})
    if words.is_resumed:
        recipe_name, recipe = load_run_recipe(words.run)
    else:
        recipe_name = words.recipe_name
        recipe = find_recipe(recipe_name)()
        refuse_classes(recipe, recipe_name)
        recipe = with_backbone(recipe, words.flags["--backbone"])
        command = f"pretrain {recipe_name} --run RUN [--backbone NAME]"
        recipe = parse_settings(recipe, words, command=command, example=_EXAMPLE)
    with ProgressBar("Training", unit="steps") as progress:
        summary = pretrain(
            recipe,
            words.run,
            recipe_name=recipe_name,
            is_resumed=words.is_resumed,
            progress=progress,
            warn=print_warning,
        )
    if summary.is_main:
        _report(summary, recipe)
    if summary.stopped_by:
        sys.exit(EXIT_BY_SIGNAL[summary.stopped_by])


def _report(summary: TrainingSummary, recipe: Recipe) -> None:
    rows = {**describe_run(summary, recipe), "encoder": summary.exported}
    if summary.stopped_by:
        print_summary(
            f"Stopped by {summary.stopped_by}; everything is saved",
            rows,
            next_steps=[f"unreel pretrain --resume {shlex.quote(str(summary.run))}"],
        )
        return
    print_summary("Trained", rows, next_steps=_name_next_steps(summary, recipe))


def _name_next_steps(summary: TrainingSummary, recipe: Recipe) -> list[str]:
    """Return what an encoder is good for; what asks for labels only where there are some."""
    encoder, catalog = shlex.quote(str(summary.exported)), shlex.quote(str(recipe.data.catalog))
    extract = f"unreel extract --encoder {encoder} --catalog {catalog} --out features.parquet"
    if describe_encoder(recipe).input.num_frames == 1:
        extract += f" --clips-per-video {_FRAMES_OF_A_VIDEO}"
    measure = "unreel evaluate retrieval --features features.parquet --out retrieval.json"
    search = f"unreel search VIDEO --encoder {encoder} --features features.parquet"
    return [
        extract,
        measure if summary.has_labels else search,
        f"tensorboard --logdir {shlex.quote(str(summary.run))}",
    ]
