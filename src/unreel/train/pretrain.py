"""From a recipe to a trained encoder."""

from pathlib import Path

from unreel.methods.supervised import Supervised
from unreel.progress import Progress, Warn, ignore_progress, ignore_warning
from unreel.train.export import export_encoder
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary, run_training
from unreel.train.setup import RunKind
from unreel.train.sources import open_videos

PRETRAINING = RunKind("pretrain", open_videos, export_encoder, exported="encoder")
"""Learning a representation: reads videos, leaves an encoder."""


def pretrain(
    recipe: Recipe,
    run: Path,
    *,
    recipe_name: str,
    is_resumed: bool = False,
    progress: Progress = ignore_progress,
    warn: Warn = ignore_warning,
) -> TrainingSummary:
    """Learn a representation, or go on where a run was cut off; see `unreel.train.run.run_training`.

    Args:
        recipe: the full configuration; of a resumed run, the one that its ``recipe.json`` holds.
        run: folder to write; new or empty unless the run is resumed.
        recipe_name: by which the recipe is found again.
        is_resumed: whether to continue from the newest checkpoint.
        progress: told after every report of the loop.
        warn: told, before the first step of a new run, what a person should know of it.

    Raises:
        TrainingError: the folder holds another run, cannot be resumed, or the training fails.
        CatalogError: the videos cannot be found.
        ValueError: the recipe learns classes, or the settings do not fit the videos or the machine.
    """
    refuse_classes(recipe, f"--resume {run}" if is_resumed else recipe_name)
    return run_training(
        recipe,
        run,
        PRETRAINING,
        recipe_name=recipe_name,
        is_resumed=is_resumed,
        progress=progress,
        warn=warn,
    )


def refuse_classes(recipe: Recipe, words: str) -> None:
    """Refuse a recipe of fine-tuning, which would leave no classifier here.

    Args:
        recipe: any.
        words: behind `unreel finetune`, which takes it.

    Raises:
        ValueError: it learns classes.
    """
    if isinstance(recipe.method, Supervised.Config):
        raise ValueError(f"this recipe learns classes, not a representation: `unreel finetune {words}`")
