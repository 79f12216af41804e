"""The single files of a run folder, each as far as it can be read."""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unreel.legible import make_legible
from unreel.progress import Warn
from unreel.report.result_values import is_number
from unreel.runs import read_json

EXPORTED = ("encoder", "classifier", "localizer")
"""Folders that a run leaves behind, each with a JSON file of its name that holds a hash."""
FIGURE_SUFFIXES = (".png", ".svg")
_OTHER_NAMES = {"bmn": "localization", "frame_moco": "moco"}
"""Where the first word of a recipe does not say what is trained."""


def read_export(folder: Path, warn: Warn) -> dict[str, Any]:
    """Return what the JSON file of an exported folder says; nothing where there is none.

    Args:
        folder: of the run, such as ``encoder``.
        warn: told of a file that cannot be used.
    """
    path = folder / f"{folder.name}.json"
    try:
        values = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        warn(f"{path} cannot be read: {error}")
        return {}
    if not isinstance(values, dict) or not isinstance(values.get("hash"), str):
        warn(f"{path} does not describe what was exported; export it again")
        return {}
    return values


def read_provenance(run: Path, warn: Warn) -> tuple[Mapping[str, Any], ...]:
    """Return versions, machine, seed and catalog of every part of a run."""
    path = run / "provenance.json"
    try:
        parts = read_json(path)["parts"]
        return tuple(part for part in parts if isinstance(part, dict))
    except FileNotFoundError:
        warn(f"{path} is not there: nothing says which version and machine trained the run")
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"{path} cannot be read: {error!r}")
    return ()


def read_rejections(run: Path, warn: Warn) -> dict[str, dict[str, int]]:
    """Count the videos that were not trained on, by "failed" and "left out", then by reason."""
    path = run / "rejected.csv"
    reasons: dict[str, Counter[str]] = {"failed": Counter(), "left out": Counter()}
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                if row.get("kind") in reasons:
                    # A reason may name numbers of its own video, by which every one would be another.
                    reasons[row["kind"]][re.sub(r"\d+", "#", str(row.get("reason")))] += 1
    except FileNotFoundError:
        pass
    except (OSError, csv.Error) as error:
        warn(f"{path} cannot be read: {error}")
    return {kind: dict(counts.most_common()) for kind, counts in reasons.items()}


def find_method(recipe: str, exported: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what was trained, as the exported files or else the recipe's name say; "" where neither does."""
    for values in exported.values():
        origin = values.get("provenance")
        if isinstance(origin, dict) and isinstance(origin.get("method"), str):
            return make_legible(origin["method"].lower())
    if ":" in recipe:
        return ""
    word = recipe.partition(".")[0]
    return _OTHER_NAMES.get(
        word, "supervised" if word.startswith("finetune") else make_legible(word.replace("_", ""))
    )


def find_num_steps(
    settings: Mapping[str, Any],
    metrics: Mapping[str, list[float]],
    exported: Mapping[str, Mapping[str, Any]],
) -> int | None:
    """Return what an export says, else the settings, else what the epochs are worth in steps so far."""
    for values in exported.values():
        origin = values.get("provenance")
        if isinstance(origin, dict) and is_number(origin.get("num_steps")):
            return int(origin["num_steps"])
    train = settings.get("train")
    train = train if isinstance(train, dict) else {}
    if is_number(train.get("steps")) and train["steps"] >= 1:
        return int(train["steps"])
    if is_number(train.get("epochs")) and metrics.get("epoch") and metrics["epoch"][-1] > 0:
        steps = train["epochs"] * metrics["step"][-1] / metrics["epoch"][-1]
        return round(steps) if math.isfinite(steps) else None
    return None


def find_figures(run: Path) -> Iterator[Path]:
    """Yield the pictures in the run folder and in ``figures`` in it, by name."""
    for folder in (run, run / "figures"):
        yield from (
            path
            for path in sorted(folder.glob("*"))
            if path.suffix.lower() in FIGURE_SUFFIXES and path.is_file()
        )
