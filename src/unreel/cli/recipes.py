"""List the recipes, or show one with every number."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from unreel.cli.terminal import parse_arguments, print_summary, print_table
from unreel.config import iterate_leaves
from unreel.recipes.find import find_recipe, list_recipes


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
        rows = [(name, _first_line(function)) for name, function in list_recipes().items()]
        print_table("Recipes", ["name", "what it is"], rows)
        print_summary("", {}, next_steps=["unreel recipes NAME", "unreel pretrain NAME --help"])


def _show(name: str) -> None:
    function = find_recipe(name)
    print_summary(
        f"{name}: {inspect.getdoc(function)}",
        {setting: _write(value) for setting, value in iterate_leaves(function())},
        next_steps=[
            f"unreel pretrain {name} --data.catalog catalog.parquet --run runs/{name.replace(':', '.')}"
        ],
    )


def _first_line(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _write(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(str(item) for item in value)
    return '""' if value == "" else str(value)
