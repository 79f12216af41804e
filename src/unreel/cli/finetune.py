"""Learn the classes of labelled videos, all layers or the last one, from an encoder or from scratch.

The classes are the labels of the training videos. When training ends, the videos of the split `test`
(`val` where those of `test` have no labels) are classified and the result is kept in the run folder. A run
that was cut off goes on with --resume.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from unreel.cli.evaluate_output import show_accuracy
from unreel.cli.evaluate_recognition import warn_of_result
from unreel.cli.run_arguments import (
    EXIT_BY_SIGNAL,
    RunWords,
    describe_run,
    parse_settings,
    read_run_words,
    with_backbone,
)
from unreel.cli.terminal import ProgressBar, print_summary, print_warning
from unreel.data.catalog import Catalog
from unreel.distributed import read_rank
from unreel.errors import CatalogError, UnreelError
from unreel.evaluate.recognition import evaluate_recognition, find_test_split, take_labelled
from unreel.features.classifier import Classifier
from unreel.features.classify import fit_batch_size
from unreel.features.encoder import choose_device
from unreel.features.reading import ReadConfig
from unreel.methods.supervised import SCRATCH, Supervised
from unreel.models.zoo import BACKBONES
from unreel.recipes.find import find_recipe, load_run_recipe
from unreel.runs import write_json
from unreel.train.finetune import finetune, start_from, with_weights
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary

_EXAMPLE = """unreel finetune finetune.small --encoder runs/a/encoder --data.catalog cat.parquet --run runs/f
  unreel finetune finetune_ccl.paper --encoder runs/ccl/encoder --help    # every setting
  unreel finetune finetune.small --backbone r3d_18 --run runs/scratch     # from random weights
  unreel finetune --resume runs/f                                         # go on where it was cut off"""

_USAGE = f"""usage: unreel finetune RECIPE --run RUN [--encoder ENCODER] [--backbone NAME] [settings]
       unreel finetune --resume RUN

{__doc__}
  RECIPE             name from `unreel recipes`, such as finetune.small or finetune_ccl.paper
  --run RUN          new folder for everything that the run writes
  --encoder ENCODER  folder of a run or of its encoder, or a file of weights for the recipe's network;
                     without it the network starts from random weights
  --backbone NAME    network for a file of weights, or from scratch: {", ".join(BACKBONES)}
  --test-split NAME  split that is classified at the end; by default the first of test, val and validation
                     that has labels; "" for none
  --resume RUN       go on from the newest checkpoint of a run, with its own settings
  settings           `unreel finetune RECIPE --help` lists them

Example:
  {_EXAMPLE}"""

_RESULT_FILE = "recognition.json"


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    flags = {"--encoder": str(SCRATCH), "--backbone": "", "--test-split": "auto"}
    words = read_run_words(argv, command="finetune", usage=_USAGE, flags=flags)
    if words.is_resumed:
        recipe_name, recipe = load_run_recipe(words.run)
    else:
        recipe_name, recipe = words.recipe_name, _read_recipe(words)
    split = choose_test_split(recipe)
    with ProgressBar("Training", unit="steps") as progress:
        summary = finetune(
            recipe,
            words.run,
            recipe_name=recipe_name,
            is_resumed=words.is_resumed,
            progress=progress,
            warn=print_warning,
        )
    if summary.is_main:
        _report(summary, recipe, split)
    if summary.stopped_by:
        sys.exit(EXIT_BY_SIGNAL[summary.stopped_by])


def choose_test_split(recipe: Recipe) -> str:
    """Return the split that is classified when training ends, "" for none; told before hours of training.

    Raises:
        CatalogError: there is no catalog, or the recipe names a split that it lacks or that has no labels.
    """
    if not isinstance(recipe.method, Supervised.Config):
        return ""  # which the library refuses
    split, data = recipe.method.test_split, recipe.data
    catalog = Catalog.load(data.catalog)
    if split == "auto":
        split = find_test_split(catalog) or "test"
        try:
            take_labelled(catalog, split)
        except CatalogError as error:
            _warn_once(f"nothing is tested when training ends: {error}")
            return ""
    if split:
        take_labelled(catalog, split)
        trained = "train" if data.split == "auto" and "train" in catalog.split_names else data.split
        if trained in ("", "auto", split):
            _warn_once(f"the videos of split {split!r} are trained on too, so their accuracy says little")
    return split


def _warn_once(text: str) -> None:
    """Warn in the process that speaks for all."""
    if read_rank().is_main:
        print_warning(text)


def _read_recipe(words: RunWords) -> Recipe:
    recipe = find_recipe(words.recipe_name)()
    if not isinstance(recipe.method, Supervised.Config):
        raise ValueError(
            f"recipe {words.recipe_name} learns a representation, not classes: `unreel pretrain "
            f"{words.recipe_name}`; recipes of fine-tuning are called finetune in `unreel recipes`"
        )
    method = recipe.method
    if words.flags["--test-split"] != "auto":
        method = replace(method, test_split=words.flags["--test-split"])
    wanted = words.find_setting("--method.input-from")
    if wanted in ("recipe", "encoder"):  # it decides what an encoder changes; the rest is refused below
        method = replace(method, input_from="recipe" if wanted == "recipe" else "encoder")
    recipe = _start(replace(recipe, method=method), words.flags["--encoder"], words.flags["--backbone"])
    if words.find_setting("--method.initial-weights"):
        raise ValueError("--method.initial-weights is given as --encoder, which takes the network along")
    command = f"finetune {words.recipe_name} --run RUN [--encoder ENCODER] [--backbone NAME]"
    return parse_settings(recipe, words, command=command, example=_EXAMPLE)


def _start(recipe: Recipe, encoder: str, backbone: str) -> Recipe:
    path = Path(encoder)
    if path == SCRATCH:
        return with_backbone(recipe, backbone)
    if not path.is_dir():
        return with_weights(with_backbone(recipe, backbone), path)
    if backbone:
        raise ValueError(
            f"--encoder {encoder} has a network of its own, so --backbone {backbone} must be left out"
        )
    return start_from(recipe, path)


def _report(summary: TrainingSummary, recipe: Recipe, split: str) -> None:
    rows = {**describe_run(summary, recipe), "classifier": summary.exported}
    run, catalog = shlex.quote(str(summary.run)), shlex.quote(str(recipe.data.catalog))
    if summary.stopped_by:
        print_summary(
            f"Stopped by {summary.stopped_by}; everything is saved",
            rows,
            next_steps=[f"unreel finetune --resume {run}"],
        )
        return
    is_tested = False
    try:
        if split:
            _test(summary, recipe, split)
            is_tested = True
            rows["result"] = summary.run / _RESULT_FILE
    finally:  # whatever becomes of the test, the run is there
        again = f"unreel evaluate recognition --model {run} --catalog {catalog}"
        print_summary(
            "Fine-tuned",
            rows,
            next_steps=[
                f"unreel predict --model {run} VIDEO",
                *([] if is_tested else [f"{again} --out recognition.json"]),
                f"tensorboard --logdir {run}",
            ],
        )


def _test(summary: TrainingSummary, recipe: Recipe, split: str) -> None:
    """Classify a split, show how well, and keep the result.

    Raises:
        UnreelError: it cannot be done; the run is whole.
    """
    data = recipe.data
    try:
        classifier = Classifier.load(summary.exported).to(choose_device(recipe.train.device))
        with ProgressBar("Testing", unit="videos") as progress:
            result = evaluate_recognition(
                classifier,
                Catalog.load(data.catalog),
                split=split,
                read=ReadConfig(
                    batch_size=fit_batch_size(classifier.spec),
                    num_workers=data.num_workers,
                    decode_time_limit_sec=data.decode_time_limit_sec,
                ),
                max_rejected_fraction=data.max_rejected_fraction,
                progress=progress,
            )
        write_json(summary.run / _RESULT_FILE, result.to_json())
    except (UnreelError, OSError, ValueError, torch.OutOfMemoryError) as error:
        raise UnreelError(
            f"the run is finished and whole, but split {split!r} could not be tested: {error}"
        ) from error
    warn_of_result(result)
    show_accuracy(f"Recognition on {split}, {classifier.views.describe()}", result.accuracy)
