"""Find recipes by name: functions that return a recipe, here or in any module that can be imported."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

import unreel.recipes
from unreel.config import config_from_dict
from unreel.errors import TrainingError
from unreel.methods.method import Method
from unreel.methods.supervised import Supervised
from unreel.train.checkpoint import LoadedWeights, list_checkpoints, load_method_weights
from unreel.train.recipe import Recipe, TrainingRecipe
from unreel.train.run import read_run_recipe

RecipeT = TypeVar("RecipeT", bound=TrainingRecipe)


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
    """Return the recipes of this package that learn from videos by name, such as ``"ccl.ucf101"``, sorted."""
    return list_recipes_of(Recipe)


def list_recipes_of(kind: type[RecipeT]) -> dict[str, Callable[[], RecipeT]]:
    """Return the recipes of this package of one kind by name, sorted; all, of `TrainingRecipe`."""
    recipes = {}
    for module in pkgutil.iter_modules(unreel.recipes.__path__):
        for name, function in _recipes_of(f"unreel.recipes.{module.name}", kind):
            recipes[f"{module.name}.{name}"] = function
    return dict(sorted(recipes.items()))


def find_recipe(name: str) -> Callable[[], Recipe]:
    """Return the function behind the name of a recipe that learns from videos.

    ``ccl.ucf101`` is ``ucf101`` in ``unreel/recipes/ccl.py``; ``my_package.my_module:my_recipe`` is a
    function of a module of the user's, found like any import.

    Raises:
        ValueError: there is no such recipe; the message has close names and how to list all.
    """
    return find_recipe_of(Recipe, name)


def find_recipe_of(kind: type[RecipeT], name: str) -> Callable[[], RecipeT]:
    """Return the function behind the name of a recipe of one kind; see `find_recipe`.

    Raises:
        ValueError: there is no such recipe, or it is of another kind.
    """
    if ":" in name:
        return _find_outside(name, kind)
    known = list_recipes_of(kind)
    if name in known:
        return known[name]
    if name in list_recipes_of(TrainingRecipe):
        raise ValueError(
            f"recipe {name!r} is for another command; `unreel recipes {name}` says what it is for and how it "
            "is started"
        )
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"no recipe is called {name!r}; {hint}`unreel recipes` lists them, and a recipe of your own is named "
        "module:function"
    )


def load_run_recipe(run: Path) -> tuple[str, Recipe]:
    """Return the name and the full configuration of a run on videos, from its folder alone.

    Raises:
        TrainingError: the folder holds no run, or its settings are not those of this version.
    """
    return load_run_recipe_of(Recipe, run)


def load_run_recipe_of(kind: type[RecipeT], run: Path) -> tuple[str, RecipeT]:
    """Return the name and the full configuration of a run of one kind; see `load_run_recipe`.

    Raises:
        TrainingError: the folder holds no run of this kind, or its settings are not those of this version.
    """
    name, settings = read_run_recipe(run)
    try:
        return name, config_from_dict(find_recipe_of(kind, name)(), settings)
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
        command = "finetune" if isinstance(recipe.method, Supervised.Config) else "pretrain"
        raise TrainingError(
            f"{run} has no checkpoint yet; wait until the run has written one, or go on with it: "
            f"`unreel {command} --resume {run}`"
        )
    with torch.random.fork_rng(devices=[]):
        method = recipe.method.build()
    weights = load_method_weights(checkpoints[-1], method)
    return LoadedRun(name, recipe, method.eval(), weights)


def _find_outside(name: str, kind: type[RecipeT]) -> Callable[[], RecipeT]:
    module_name, _, function_name = name.partition(":")
    try:
        found = dict(_recipes_of(module_name, kind))
    except ImportError as error:
        raise ValueError(
            f"recipe {name!r}: module {module_name!r} cannot be imported ({error}); install it or set "
            "PYTHONPATH"
        ) from error
    if function_name not in found:
        raise ValueError(
            f"recipe {name!r}: {module_name} has no function {function_name!r} annotated "
            f"`-> {kind.__name__}`; it has {sorted(found) or 'none'}"
        )
    return found[function_name]


def _recipes_of(module_name: str, kind: type[RecipeT]) -> Iterator[tuple[str, Callable[[], RecipeT]]]:
    module = importlib.import_module(module_name)
    for name, function in inspect.getmembers(module, inspect.isfunction):
        annotation = inspect.signature(function).return_annotation
        if isinstance(annotation, str):  # of a module that postpones its annotations
            annotation = getattr(module, annotation, None)
        is_recipe = isinstance(annotation, type) and issubclass(annotation, kind)
        if is_recipe and function.__module__ == module.__name__ and not name.startswith("_"):
            yield name, function
