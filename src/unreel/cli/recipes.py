"""List the recipes, or show one with every number."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from unreel.cli.terminal import parse_arguments, print_summary, print_table
from unreel.config import iterate_leaves
from unreel.methods.supervised import Supervised
from unreel.recipes.find import find_recipe_of, list_recipes_of
from unreel.train.localization import LocalizationRecipe
from unreel.train.recipe import TrainingRecipe


@dataclass(frozen=True)
class Arguments:
    """Arguments of ``unreel recipes``."""

    name: tyro.conf.Positional[str] = ""
    """Recipe to show, such as ccl.ucf101, or module:function for one of your own; none lists all."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments, argv, command="recipes", description=__doc__ or "", example="unreel recipes ccl.ucf101"
    )
    if arguments.name:
        _show(arguments.name)
    else:
        rows = [(name, _first_line(function)) for name, function in list_recipes_of(TrainingRecipe).items()]
        print_table("Recipes", ["name", "what it is"], rows)
        steps = ["unreel recipes NAME", "unreel pretrain NAME --help", "unreel finetune finetune.NAME --help"]
        print_summary("", {}, next_steps=steps)


def _show(name: str) -> None:
    function = find_recipe_of(TrainingRecipe, name)
    recipe = function()
    command, needed = "pretrain", ""
    if isinstance(recipe, LocalizationRecipe):
        command, needed = "localize train", " --data.features grid.parquet"
    elif isinstance(recipe.method, Supervised.Config):
        command, needed = "finetune", " --encoder ENCODER"
    run = f"runs/{name.replace(':', '.')}"
    print_summary(
        f"{name}: {inspect.getdoc(function)}",
        {setting: _write(value) for setting, value in iterate_leaves(recipe)},
        next_steps=[f"unreel {command} {name}{needed} --data.catalog catalog.parquet --run {run}"],
    )


def _first_line(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _write(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(str(item) for item in value)
    return '""' if value == "" else str(value)
