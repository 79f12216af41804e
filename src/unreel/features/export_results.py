"""Measured results, from the files of `unreel evaluate` to rows of a table that anyone may read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.errors import FeaturesError
from unreel.runs import read_json

_SETTINGS = ("clips_per_video", "sampling", "pooling", "precision", "catalog_hash")
_NO_MEASURES = {"seconds", "cost", "lr", "training_top1", "final_loss", "relative_gradient"}
"""Settings, times and the course of a training."""


@dataclass(frozen=True)
class Measurement:
    """One number of a result.

    Attributes:
        protocol: by which it was measured, such as "retrieval".
        level: of vectors, "video" or "clip"; "" where a protocol has none.
        measure: what it is, such as "recall, k = 5".
        value: the number.
        settings: how the features were made, in words.
    """

    protocol: str
    level: str
    measure: str
    value: float
    settings: str


def read_results(paths: Sequence[Path], *model_hashes: str) -> list[Measurement]:
    """Read results of one model; of each, all numbers that are no counts.

    Args:
        paths: files that `unreel evaluate PROTOCOL --out` wrote.
        model_hashes: of the model, any of which a result may name.

    Raises:
        FeaturesError: a file cannot be read, is no result, or is one of another model.
    """
    measurements: list[Measurement] = []
    for path in paths:
        values = _read(Path(path))
        hashes = set(_find_hashes(values))
        if not hashes & set(model_hashes):
            raise FeaturesError(
                f"{path} is a result of another model: it names the hashes {sorted(hashes) or 'none'}, and "
                f"this model's is {model_hashes[0]}; measure this one with `unreel evaluate "
                f"{values['protocol']}`"
            )
        measurements += _list_measurements(values)
    return measurements


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (OSError, ValueError) as error:
        raise FeaturesError(
            f"{path} cannot be read as a result: {error}; give a file that `unreel evaluate --out` wrote"
        ) from error
    if not isinstance(values, dict) or not isinstance(values.get("protocol"), str):
        raise FeaturesError(f"{path} is no result; give a file that `unreel evaluate --out` wrote")
    return values


def _find_hashes(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _find_hashes(value)
        elif name.endswith("hash") and name != "catalog_hash" and isinstance(value, str):
            yield value


def _list_measurements(values: Mapping[str, Any]) -> Iterator[Measurement]:
    levels = values.get("levels")
    features = values.get("features")
    made = {**features} if isinstance(features, dict) else {}
    settings = ", ".join(
        [*(f"{name} {made[name]}" for name in _SETTINGS if made.get(name)), *_describe_test(values)]
    )
    for level, group in (levels if isinstance(levels, dict) else {"": values}).items():
        for measure, value in _list_numbers(group):
            yield Measurement(values["protocol"], level, measure, value, settings)


def _describe_test(values: Mapping[str, Any]) -> Iterator[str]:
    """Say what a fine-tuned classifier was tested on, and by which views; such a result has no features."""
    settings = values.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("views"), dict):
        return
    yield f"{values.get('queries')} videos of {settings.get('split') or 'all videos'}"
    yield from (f"{name} {value}" for name, value in settings["views"].items() if value)
    yield f"catalog_hash {settings.get('catalog_hash')}"


def _list_numbers(group: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in group.items():
        if name in _NO_MEASURES or name.endswith("_by_class"):
            continue
        if isinstance(value, float):
            yield name, value
        elif isinstance(value, dict):
            yield from (
                (f"{name}, k = {key}", number)
                for key, number in value.items()
                if key.isdigit() and isinstance(number, float)
            )
