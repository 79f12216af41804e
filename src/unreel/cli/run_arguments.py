"""The words of commands that train: a recipe, where the run goes, and settings; or a run to go on with."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from unreel.cli.terminal import format_duration, parse_arguments
from unreel.config import iterate_leaves
from unreel.recipes.find import RecipeT, find_recipe_of
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary

EXIT_BY_SIGNAL = {"SIGINT": 130, "SIGTERM": 143}


@dataclass(frozen=True)
class RunWords:
    """What the words of a command say.

    Attributes:
        recipe_name: by which the recipe is found; "" where a run is resumed.
        run: the run folder.
        flags: value of every further flag that the command itself takes.
        settings: what is left, for the recipe.
        is_resumed: whether the run goes on.
    """

    recipe_name: str
    run: Path
    flags: dict[str, str]
    settings: list[str]
    is_resumed: bool = False

    @property
    def is_help(self) -> bool:
        """Whether help about the settings is asked for."""
        return bool({"-h", "--help"} & set(self.settings))

    def find_setting(self, name: str) -> str:
        """Return what a setting is given, before they are parsed; "" where it is not among the words.

        Args:
            name: as the help has it, such as ``--method.input-from``.
        """
        value = ""
        for word, following in zip(self.settings, [*self.settings[1:], ""], strict=False):
            flag, equals, own = word.partition("=")
            if flag.replace("_", "-") == name:
                value = own if equals else following
        return value


def read_run_words(
    argv: Sequence[str], *, command: str, usage: str, flags: Mapping[str, str] = MappingProxyType({})
) -> RunWords:
    """Take the recipe's name and the command's own flags out of the words; the rest are settings.

    Prints the usage and leaves where help is asked for, or nothing is.

    Args:
        argv: the words behind the command.
        command: its name, such as ``pretrain``.
        usage: what is printed.
        flags: that the command takes beside ``--run``, such as ``--backbone``, with their defaults.

    Raises:
        ValueError: the words make no sense.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(usage)  # noqa: T201 (this is where the program prints)
        sys.exit(0 if argv else 2)
    if argv[0].startswith("--resume="):
        argv = ["--resume", argv[0].partition("=")[2], *argv[1:]]
    if argv[0] == "--resume":
        if len(argv) == 2 and argv[1] in ("-h", "--help"):
            print(usage)  # noqa: T201 (this is where the program prints)
            sys.exit(0)
        if len(argv) != 2:
            raise ValueError(
                f"`unreel {command} --resume RUN` takes the run folder alone: it keeps its settings"
            )
        return RunWords("", Path(argv[1]), {}, [], is_resumed=True)
    return _read_new(argv, command, {"--run": "", **flags})


def _read_new(argv: Sequence[str], command: str, flags: Mapping[str, str]) -> RunWords:
    recipe_name, *words = argv
    if recipe_name.startswith("-"):
        raise ValueError(f"the recipe comes first, got {recipe_name!r}: `unreel {command} RECIPE --run RUN`")
    taken, settings = dict(flags), []
    while words:
        flag, equals, value = words.pop(0).partition("=")
        if flag not in taken:
            settings.append(flag + equals + value)
            continue
        if not equals and not words:
            raise ValueError(f"{flag} needs a value")
        taken[flag] = value if equals else words.pop(0)
    run = taken.pop("--run")
    found = RunWords(recipe_name, Path(run), taken, settings)
    if not run and not found.is_help:
        raise ValueError("--run is missing: name a new folder for the run, such as --run runs/first")
    return found


def parse_settings(recipe: RecipeT, words: RunWords, *, command: str, example: str) -> RecipeT:
    """Overlay a recipe with the settings of the command line.

    Args:
        recipe: gives the defaults.
        words: of the command.
        command: how it is called in the help.
        example: whole calls, for the help.
    """
    return parse_arguments(
        type(recipe),
        words.settings,
        command=command,
        description=(find_recipe_of(type(recipe), words.recipe_name).__doc__ or "").strip(),
        example=example,
        default=recipe,
    )


def with_backbone(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe with a network by its short name; "" leaves it as it is.

    Raises:
        ValueError: there is no such network.
    """
    from unreel.models.zoo import find_backbone

    return replace(recipe, method=replace(recipe.method, backbone=find_backbone(name))) if name else recipe


def describe_run(summary: TrainingSummary, recipe: object) -> dict[str, object]:
    """Return what a table says of a run: name -> value."""
    metrics = {
        name: f"{value:.4g}" for name, value in summary.metrics.items() if name not in ("step", "epoch")
    }
    steps = f"{summary.steps} of {summary.num_steps}"
    if summary.first_step:
        steps += f" (resumed at {summary.first_step})"
    return {
        "run": summary.run,
        "videos": summary.num_videos,
        "left out by the settings": summary.num_left_out,
        "failed": f"{summary.num_failed} (listed in {summary.run / 'rejected.csv'})"
        if summary.num_failed
        else 0,
        "steps": steps,
        **{name.replace("_", " "): text for name, text in summary.initial_weights.items()},
        "settings": f"{sum(1 for _ in iterate_leaves(recipe))} in {summary.run / 'recipe.json'}",
        **metrics,
        "time": format_duration(summary.seconds),
    }
