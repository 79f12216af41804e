"""Learn where segments start and end, from vectors over time and a catalog with segments.

The recipe decides which flags there are: every number of it is one. A run that was cut off goes on with
--resume.
"""

import sys
from collections.abc import Sequence

from unreel.cli.run_arguments import EXIT_BY_SIGNAL, describe_run, parse_settings, read_run_words
from unreel.cli.terminal import ProgressBar, print_summary, print_warning
from unreel.recipes.find import find_recipe_of, load_run_recipe_of
from unreel.train.localization import COMMAND, LocalizationRecipe, train_localizer
from unreel.train.run import TrainingSummary

_EXAMPLE = """unreel localize train bmn.small --data.features grid.parquet --data.catalog segments.parquet \
--run runs/bmn
  unreel localize train bmn.activitynet --help        # every setting
  unreel localize train --resume runs/bmn             # go on where it was cut off"""

_USAGE = f"""usage: unreel localize train RECIPE --run RUN [settings]
       unreel localize train --resume RUN

{__doc__}
  RECIPE        name from `unreel recipes`: bmn.small or bmn.activitynet, or module:function for your own
  --run RUN     new folder for everything that the run writes
  --resume RUN  go on from the newest checkpoint of a run, with its own settings
  settings      `unreel localize train RECIPE --help` lists them

Example:
  {_EXAMPLE}"""


def main(argv: Sequence[str]) -> None:
    """Run the step."""
    words = read_run_words(argv, command=COMMAND, usage=_USAGE)
    if words.is_resumed:
        recipe_name, recipe = load_run_recipe_of(LocalizationRecipe, words.run)
    else:
        recipe_name = words.recipe_name
        recipe = find_recipe_of(LocalizationRecipe, recipe_name)()
        command = f"{COMMAND} {recipe_name} --run RUN"
        recipe = parse_settings(recipe, words, command=command, example=_EXAMPLE)
    with ProgressBar("Training", unit="steps") as progress:
        summary = train_localizer(
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


def _report(summary: TrainingSummary, recipe: LocalizationRecipe) -> None:
    rows = {**describe_run(summary, recipe), "localizer": summary.exported}
    if summary.stopped_by:
        next_steps = [f"unreel {COMMAND} --resume {summary.run}"]
        print_summary(f"Stopped by {summary.stopped_by}; everything is saved", rows, next_steps=next_steps)
        return
    files = f"--run {summary.run} --features {recipe.data.features}"
    print_summary(
        "Trained",
        rows,
        next_steps=[
            f"unreel localize propose {files} --out proposals.json",
            f"tensorboard --logdir {summary.run}",
        ],
    )
