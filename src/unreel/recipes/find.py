"""Find recipes by name: functions that return a `Recipe`, here or in any module that can be imported."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import unreel.recipes
from unreel.config import config_from_dict
from unreel.errors import TrainingError
from unreel.methods.method import Method
from unreel.train.checkpoint import LoadedWeights, list_checkpoints, load_method_weights
from unreel.train.run import read_run_recipe
from unreel.train.recipe import Recipe


@dataclass(frozen=True)
class LoadedRun:
    """A trained method, and what it was trained from.

    Attributes:
        recipe_name: by which the recipe is found again.
        recipe: the full configuration.
        method: in evaluation mode, with the weights of a checkpoint.
        weights: which weights these are.
    """

    recipe_name: str
    recipe: Recipe
    method: Method
    weights: LoadedWeights

    def describe(self) -> dict[str, Any]:
        """Return what tells these weights from all others, for the file of a result."""
        return {
            "recipe": self.recipe_name,
            "method_name": type(self.method).__name__,
            "train_seed": self.recipe.train.seed,
            "step": self.weights.step,
            "weights_hash": self.weights.hash,
        }


def list_recipes() -> dict[str, Callable[[], Recipe]]:
    """Return the recipes of this package by name, such as ``"ccl.ucf101"``, sorted."""
    recipes = {}
    for module in pkgutil.iter_modules(unreel.recipes.__path__):
        for name, function in _recipes_of(f"unreel.recipes.{module.name}"):
            recipes[f"{module.name}.{name}"] = function
    return dict(sorted(recipes.items()))


def find_recipe(name: str) -> Callable[[], Recipe]:
    """Return the function behind a name.

    ``ccl.ucf101`` is ``ucf101`` in ``unreel/recipes/ccl.py``; ``my_package.my_module:my_recipe`` is a
    function of a module of the user's, found like any import.

    Raises:
        ValueError: there is no such recipe; the message has close names and how to list all.
    """
    if ":" in name:
        return _find_outside(name)
    known = list_recipes()
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"no recipe is called {name!r}; {hint}`unreel recipes` lists them, and a recipe of your own is named "
        "module:function"
    )


def load_run_recipe(run: Path) -> tuple[str, Recipe]:
    """Return the name and the full configuration of a run, from its folder alone.

    Raises:
        TrainingError: the folder holds no run, or its settings are not those of this version.
    """
    name, settings = read_run_recipe(run)
    try:
        return name, config_from_dict(find_recipe(name)(), settings)
    except ValueError as error:
        raise TrainingError(f"{run}/recipe.json does not fit this version of unreel: {error}") from error


def load_run_method(run: Path) -> LoadedRun:
    """Return the configuration and the trained method of a run, from its folder alone.

    The method has the weights of the newest checkpoint, those of heads and momentum encoders included, is in
    evaluation mode and lies on the CPU. torch's global generator is left as it was.

    Raises:
        TrainingError: the folder holds no run, the run has no checkpoint yet, or the two do not fit.
    """
    name, recipe = load_run_recipe(run)
    checkpoints = list_checkpoints(run / "checkpoints")
    if not checkpoints:
        raise TrainingError(
            f"{run} has no checkpoint yet; wait until the run has written one, or go on with it: "
            f"`unreel pretrain --resume {run}`"
        )
    with torch.random.fork_rng(devices=[]):
        method = recipe.method.build()
    weights = load_method_weights(checkpoints[-1], method)
    return LoadedRun(name, recipe, method.eval(), weights)


def _find_outside(name: str) -> Callable[[], Recipe]:
    module_name, _, function_name = name.partition(":")
    try:
        found = dict(_recipes_of(module_name))
    except ImportError as error:
        raise ValueError(
            f"recipe {name!r}: module {module_name!r} cannot be imported ({error}); install it or set "
            "PYTHONPATH"
        ) from error
    if function_name not in found:
        raise ValueError(
            f"recipe {name!r}: {module_name} has no function {function_name!r} annotated `-> Recipe`; it has "
            f"{sorted(found) or 'none'}"
        )
    return found[function_name]


def _recipes_of(module_name: str) -> Iterator[tuple[str, Callable[[], Recipe]]]:
    module = importlib.import_module(module_name)
    for name, function in inspect.getmembers(module, inspect.isfunction):
        is_recipe = inspect.signature(function).return_annotation in (Recipe, "Recipe")
        if is_recipe and function.__module__ == module.__name__ and not name.startswith("_"):
            yield name, function
