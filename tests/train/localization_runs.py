"""Recipes for tests of localisation, and the program that another process runs."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.models.test_bmn import TINY
from unreel.features.grid_batches import GridData
from unreel.recipes.bmn import small
from unreel.train.localization import LocalizationRecipe, train_localizer
from unreel.train.recipe import OptimizerConfig

NAME = "bmn.small"


def shrink_localization(recipe: LocalizationRecipe, features: Path, catalog: Path) -> LocalizationRecipe:
    """Keep a recipe's losses and schedule, with a tiny network, few videos and two steps."""
    network = replace(
        recipe.method.network,
        num_features=0,
        num_positions=8,
        hidden_1d=TINY.hidden_1d,
        hidden_2d=TINY.hidden_2d,
        hidden_3d=TINY.hidden_3d,
        num_samples=TINY.num_samples,
    )
    return replace(
        recipe,
        method=replace(recipe.method, network=network),
        data=replace(recipe.data, features=features, catalog=catalog),
        train=replace(
            recipe.train, steps=2, batch_size=4, log_every_steps=1, checkpoint_every_steps=2, device="cpu"
        ),
    )


def build_recipe(data: GridData, *, steps: int = 6, **train: object) -> LocalizationRecipe:
    """Return a tiny localiser; checkpoints every two steps."""
    recipe = shrink_localization(small(), data.features, data.catalog)
    return replace(recipe, train=replace(recipe.train, steps=steps, **train))


def train_as(rank: int, port: int, data: GridData, run: Path) -> None:
    """Train as one of two processes; the batch, rate and vectors are those of one."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train_localizer(build_shared_recipe(data), run, recipe_name=NAME)


def build_shared_recipe(data: GridData) -> LocalizationRecipe:
    """Return a recipe by plain gradient descent, which does not blow rounding up.

    The grid is fine enough for some stretches to cover a segment.
    """
    recipe = build_recipe(data, steps=3, optimizer=OptimizerConfig(name="sgd", lr=1e-2))
    network = replace(recipe.method.network, num_positions=24)
    return replace(recipe, method=replace(recipe.method, network=network))


def train_and_die(features: str, catalog: str, run: str, last_step: str, signal_name: str) -> None:
    """Train until a step is reported, then send the own process a signal."""

    def progress(done: int, total: int, note: str) -> None:
        if done == int(last_step) and "loss" in note:
            os.kill(os.getpid(), getattr(signal, signal_name))

    torch.set_num_threads(1)
    recipe = build_recipe(GridData(Path(features), Path(catalog)))
    summary = train_localizer(recipe, Path(run), recipe_name=NAME, progress=progress)
    sys.stdout.write(f"{summary.stopped_by} {summary.steps}")


if __name__ == "__main__":
    train_and_die(*sys.argv[1:])
