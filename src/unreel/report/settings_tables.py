"""Settings and origin of runs beside each other: first what differs, then all."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unreel.config import config_to_dict
from unreel.recipes.find import find_recipe_of
from unreel.report.result_tables import find_different, flatten, shorten
from unreel.report.run_record import RunRecord
from unreel.train.recipe import TrainingRecipe

_LONGEST_VALUE = 400
_MOST_ROWS = 2000


@dataclass(frozen=True)
class SettingsTable:
    """A row per setting: its name and, per column, its value; a dash where a run has no such setting."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compare_settings(runs: Sequence[RunRecord], names: Sequence[str]) -> tuple[SettingsTable, SettingsTable]:
    """Return the settings that are of interest first, then all.

    Of interest is, between several runs, in what they differ; of one run, what is other than in its recipe.

    Args:
        runs: one or more.
        names: of the runs, as shown.
    """
    flat = [dict(flatten(run.settings)) for run in runs]
    if len(runs) > 1:
        first = _build(names, flat, find_different(flat))
    else:
        own = _flatten_recipe(runs[0].recipe)
        changed = [name for name, value in flat[0].items() if own and own.get(name) != value]
        first = _build(("recipe", "run"), [own, flat[0]], changed)
    everything = list(dict.fromkeys(name for own in flat for name in own))
    return first, _build(names, flat, everything)


def _flatten_recipe(name: str) -> dict[str, str]:
    """Return the settings of a recipe of this package; none of one that the user wrote: no code is run."""
    try:
        return (
            dict(flatten(config_to_dict(find_recipe_of(TrainingRecipe, name)()))) if ":" not in name else {}
        )
    except ValueError:
        return {}


def compare_origins(runs: Sequence[RunRecord], names: Sequence[str]) -> SettingsTable:
    """Return versions, machine, seed, command and catalog; where parts of a run differ, "a, then b"."""
    flat = [_merge([_describe_origin(part) for part in run.provenance]) for run in runs]
    return _build(names, flat, list(dict.fromkeys(name for own in flat for name in own)))


def _describe_origin(part: Mapping[str, Any]) -> dict[str, str]:
    writers: dict[str, Callable[[Any], str]] = {"command": _write_command, "cautions": _write_sentences}
    values = {
        name: writers[name](value) if name in writers and isinstance(value, list) else value
        for name, value in part.items()
        if value not in ("", [], {})
    }
    return dict(flatten(values))


def _write_command(words: list[Any]) -> str:
    return shlex.join(map(str, words))


def _write_sentences(sentences: list[Any]) -> str:
    return "; ".join(map(str, sentences))


def _merge(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: ", then ".join(dict.fromkeys(part[name] for part in parts if name in part)) for name in names
    }


def _build(columns: Sequence[str], flat: Sequence[Mapping[str, str]], names: Sequence[str]) -> SettingsTable:
    rows = [(shorten(name), *(_write_value(own.get(name)) for own in flat)) for name in names[:_MOST_ROWS]]
    if len(names) > _MOST_ROWS:
        rows.append((f"and {len(names) - _MOST_ROWS} more", *("..." for _ in flat)))
    return SettingsTable(tuple(columns), tuple(rows))


def _write_value(value: str | None) -> str:
    return "-" if value is None else shorten(value, _LONGEST_VALUE) or '""'
