"""Few labels with all layers fine-tuned: a run per encoder, share and seed, each kept and none done twice."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.data.loader import select_videos
from unreel.errors import TrainingError
from unreel.evaluate.low_shot import TEST_FACTS, LowShotConfig, LowShotResult, measure_curves
from unreel.methods.supervised import Supervised
from unreel.progress import Progress, Warn, ignore_progress, ignore_warning
from unreel.runs import read_json, write_json
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary, read_run_recipe
from unreel.train.setup import RECIPE_FILE

RESULT_FILE = "recognition.json"
"""Result of the test videos in the folder of a run; a run that has it is finished."""

Recognize = Callable[[Path], Mapping[str, Any]]
"""Called with the folder of a run; returns what `RecognitionResult.to_json` says of the test videos."""


class Finetune(Protocol):
    """What trains; `unreel.train.finetune.finetune`."""

    def __call__(
        self,
        recipe: Recipe,
        run: Path,
        *,
        recipe_name: str,
        is_resumed: bool = False,
        progress: Progress = ignore_progress,
        warn: Warn = ignore_warning,
    ) -> TrainingSummary:
        """Train a recipe into a run folder, or go on where a run was cut off."""


def finetune_low_shot(
    recipes: Mapping[str, Recipe],
    runs: Path,
    *,
    recipe_name: str,
    finetune: Finetune,
    recognize: Recognize,
    tested: Mapping[str, str],
    low_shot: LowShotConfig | None = None,
    progress: Progress = ignore_progress,
    warn: Warn = ignore_warning,
) -> LowShotResult:
    """Fine-tune encoders on shares of the training videos, and test each run on all test videos.

    A run's folder is ``runs/NAME/10-percent-seed-0``. Runs that are finished are read, those that were cut
    off go on. A batch that is larger than a share is made as large as the share; the number of epochs stays,
    so that fewer videos mean fewer steps.

    Args:
        recipes: of fine-tuning, by name of the encoder; share and seeds are set here.
        runs: folder for the folders of the runs.
        recipe_name: by which the recipe is found again.
        finetune: trains.
        recognize: tests.
        tested: settings that a result must have to be that of this test; one with others is made again.
        low_shot: shares and seeds; the seed is that of the choice and of the training.
        progress: is told the number of runs done.
        warn: is told what a person should know of a run.

    Raises:
        TrainingError: a folder holds another run, a run was stopped by a signal, or a training failed.
        CatalogError: the videos cannot be found, or have no labels.
        ValueError: the settings do not fit.

    Reference: SCVRL, section 4.4 and Table 7.
    """
    started = time.monotonic()
    low_shot = low_shot or LowShotConfig()
    names = list(recipes)
    of_test: dict[str, float] = {}

    def measure(number: int, fraction: float, seed: int) -> tuple[int, float]:
        name = names[number]
        run = runs / name / f"{100 * fraction:g}-percent-seed-{seed}"
        recipe, num_videos = _take_share(recipes[name], fraction, seed)
        values = _run_once(
            recipe,
            run,
            recipe_name=recipe_name,
            finetune=finetune,
            recognize=recognize,
            tested=tested,
            warn=warn,
        )
        of_test.update(
            {name: values[name] for name in TEST_FACTS if isinstance(values.get(name), int | float)}
        )
        return num_videos, float(values[low_shot.metric])

    curves = measure_curves(names, low_shot, measure, progress=progress)
    return LowShotResult(
        curves=curves,
        settings={
            "by": "label",
            **config_to_dict(low_shot),
            "learner": "finetune",
            "recipe": recipe_name,
            "recipes": {name: config_to_dict(recipe) for name, recipe in recipes.items()},
            "runs": str(runs),
            **of_test,
        },
        seconds=time.monotonic() - started,
    )


def _take_share(recipe: Recipe, fraction: float, seed: int) -> tuple[Recipe, int]:
    """Return the recipe for a share of the videos, and the number of these."""
    data = replace(recipe.data, class_fraction=fraction, subset_seed=seed)
    num_videos = len(select_videos(data, needs_labels=True)[0])
    batch_size = min(recipe.train.batch_size, num_videos)
    # Two videos at least, which the recipe demands; the training itself then says that there are too few.
    train = replace(recipe.train, seed=seed, batch_size=max(2, batch_size))
    return replace(recipe, data=data, train=train), num_videos


def _run_once(
    recipe: Recipe,
    run: Path,
    *,
    recipe_name: str,
    finetune: Finetune,
    recognize: Recognize,
    tested: Mapping[str, str],
    warn: Warn,
) -> Mapping[str, Any]:
    """Return the result of a run: read, or else made."""
    is_resumed = (run / RECIPE_FILE).exists()
    if is_resumed:
        recipe = _check_same(recipe, run)
    if (run / RESULT_FILE).exists():
        values = _read_result(run / RESULT_FILE)
        settings = values.get("settings")
        if isinstance(settings, dict) and tested.items() <= settings.items():
            return values
    summary = finetune(recipe, run, recipe_name=recipe_name, is_resumed=is_resumed, warn=warn)
    if summary.stopped_by:
        raise TrainingError(
            f"stopped by {summary.stopped_by} in {run}; everything is saved, and the same command goes on "
            "from there"
        )
    values = recognize(run)
    write_json(run / RESULT_FILE, values)
    return values


def _check_same(recipe: Recipe, run: Path) -> Recipe:
    """Return the recipe of a run that was begun, which has the names of the classes too."""
    _, settings = read_run_recipe(run)
    saved = config_from_dict(recipe, settings)
    if _identify(saved) != _identify(recipe):
        raise TrainingError(
            f"{run} holds a run with other settings; give another --runs folder, or remove that one"
        )
    return saved


def _identify(recipe: Recipe) -> str:
    """Hash what the result depends on, not where and how fast one trains."""
    recipe = recipe.with_absolute_paths()
    method = recipe.method
    assert isinstance(method, Supervised.Config)
    return hash_config(
        replace(
            recipe,
            method=replace(method, classes=()),
            data=replace(recipe.data, num_workers=0, cache="none", cache_limit_mb=0),
            train=replace(recipe.train, device="", log_every_steps=1, checkpoint_every_steps=1),
        )
    )


def _read_result(path: Path) -> Mapping[str, Any]:
    try:
        values = read_json(path)
        if not isinstance(values, dict) or values["protocol"] != "recognition":
            raise ValueError("no result of recognition")
    except (KeyError, ValueError) as error:
        raise TrainingError(f"{path} is damaged ({error}); remove it, and the run is tested again") from error
    return values
