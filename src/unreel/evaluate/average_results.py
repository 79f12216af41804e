"""Mean and spread of the numbers of several results of one protocol, such as those of three splits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unreel.config import config_to_dict
from unreel.errors import FeaturesError
from unreel.runs import read_json

PROTOCOLS = ("retrieval", "knn", "svm", "linear", "recognition")
"""Whose results can be averaged."""

_SPLIT_SETTINGS = ("query_split", "gallery_split", "split")
"""Which part of the catalog was tested; these may differ."""
_NO_SHARES = {"cost", "lr", "final_loss", "relative_gradient"}
"""Numbers that are no shares though they may lie in [0, 1]."""
_LARGEST = 1e18
"""Beyond this, and where it is NaN, a number was not measured."""
_NOT_MEASURED = ("protocol", "settings", "features", "model", "seconds")
"""Parts of a result that say how it was made."""


@dataclass(frozen=True)
class Spread:
    """What several results say about one number.

    Attributes:
        mean: of them.
        deviation: standard deviation, with n - 1 below the root.
        values: the numbers themselves, in the order of the results.
        is_share: whether it is a share in [0, 1]; else it counts something, or is a loss.
    """

    mean: float
    deviation: float
    values: tuple[float, ...]
    is_share: bool


@dataclass(frozen=True)
class AveragedResult:
    """What several results have in common.

    Attributes:
        protocol: of all of them.
        sources: the files, in their order.
        splits: what each was tested on: hash of its catalog, and names of its splits.
        numbers: every number that all results have, by its dotted name, such as "video.top1".
        left_out: names of numbers that some results lack.
        differences: settings in which they differ, apart from the split.
    """

    protocol: str
    sources: list[str]
    splits: list[dict[str, str]]
    numbers: dict[str, Spread]
    left_out: list[str]
    differences: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "protocol": "average",
            "averaged_protocol": self.protocol,
            "sources": self.sources,
            "splits": self.splits,
            "numbers": {name: config_to_dict(spread) for name, spread in self.numbers.items()},
            "left_out": self.left_out,
            "differences": self.differences,
        }

    @property
    def headline(self) -> dict[str, Spread]:
        """The shares that are not those of a single class."""
        return {
            name: spread
            for name, spread in self.numbers.items()
            if spread.is_share and "by_class" not in name
        }


def average_results(paths: Sequence[Path]) -> AveragedResult:
    """Average what `unreel evaluate` has written for several splits.

    Args:
        paths: results of one protocol, two or more, each of another split.

    Raises:
        FeaturesError: a file is missing or no such result, they are of different protocols, two are of the
            same split, or they have no number in common.
        ValueError: there are fewer than two.

    Reference: CACL, section 4.3 (mean over the three splits of UCF101 and HMDB51).
    """
    if len(paths) < 2:
        raise ValueError(f"give two results or more, one per split, got {len(paths)}")
    results = [_load(Path(path)) for path in paths]
    protocols = [values["protocol"] for values in results]
    for path, protocol in zip(paths, protocols, strict=True):
        if protocol != protocols[0]:
            raise FeaturesError(
                f"{paths[0]} is a result of {protocols[0]} and {path} one of {protocol}; average results of "
                "one protocol"
            )
    splits = [_find_split(values) for values in results]
    _check_splits(splits, results, paths)
    found = [dict(_find_numbers(values)) for values in results]
    shared = [name for name in found[0] if all(name in numbers for numbers in found)]
    if not shared:
        raise FeaturesError(
            f"the {len(paths)} results have no number in common; measure all at one level and with the same k"
        )
    return AveragedResult(
        protocol=protocols[0],
        sources=[str(path) for path in paths],
        splits=splits,
        numbers={name: _average(name, [numbers[name] for numbers in found]) for name in shared},
        left_out=sorted({name for numbers in found for name in numbers} - set(shared)),
        differences=_find_differences(results, paths),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (OSError, ValueError) as error:
        raise FeaturesError(
            f"{path} cannot be read as a result ({error}); write one with `unreel evaluate PROTOCOL --out`"
        ) from error
    protocol = values.get("protocol") if isinstance(values, dict) else None
    if protocol not in PROTOCOLS:
        raise FeaturesError(
            f"{path} is no result that can be averaged; give what `unreel evaluate` wrote with --out, of "
            f"{', '.join(PROTOCOLS)}"
        )
    if not isinstance(values.get("settings"), dict):
        raise FeaturesError(
            f"{path} is damaged or not whole; write it again with `unreel evaluate {protocol} --out`"
        )
    return dict(values)


def _check_splits(
    splits: Sequence[Mapping[str, str]], results: Sequence[Mapping[str, Any]], paths: Sequence[Path]
) -> None:
    targets = [values["settings"].get("by", "label") for values in results]
    for number, (split, target) in enumerate(zip(splits, targets, strict=True)):
        if target != targets[0]:
            raise FeaturesError(
                f"{paths[0]} tells the {targets[0]} and {paths[number]} the {target}; measure all with one "
                "--by"
            )
        first = splits.index(split)
        if first != number:
            raise FeaturesError(
                f"{paths[first]} and {paths[number]} were measured on the same split of the same catalog "
                f"({_describe(split)}); give one result per split"
            )


def _find_split(values: Mapping[str, Any]) -> dict[str, str]:
    settings, features = values["settings"], values.get("features") or {}
    names = {name: str(settings[name]) for name in _SPLIT_SETTINGS if name in settings}
    return {"catalog_hash": str(features.get("catalog_hash") or settings.get("catalog_hash") or ""), **names}


def _describe(split: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in split.items())


def _find_numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Yield every number that was measured with its dotted name; of lists there is none."""
    measured = {name: value for name, value in values.items() if name not in _NOT_MEASURED}
    yield from _walk(measured.pop("levels", {}), "")
    yield from _walk(measured, "")


def _is_number(value: object) -> bool:
    """Whether it can be averaged: a number that is finite and no mere truth."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _walk(value: object, name: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, dict):
        for key, own in value.items():
            yield from _walk(own, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (int, float)) and _is_number(value):
        yield name, value


def _average(name: str, values: Sequence[int | float]) -> Spread:
    group, _, leaf = name.rpartition(".")
    is_other = leaf in _NO_SHARES and not group.endswith("_by_class")
    return Spread(
        mean=float(np.mean(values)),
        deviation=float(np.std(values, ddof=1)),
        values=tuple(map(float, values)),
        is_share=not is_other and all(isinstance(value, float) and 0 <= value <= 1 for value in values),
    )


def _find_differences(results: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> list[str]:
    """Return the settings in which results differ from the first, apart from the split, with the files."""
    flat = [dict(_flatten(values["settings"])) for values in results]
    found = []
    for own, path in zip(flat[1:], paths[1:], strict=True):
        for name in sorted({*flat[0], *own} - {*_SPLIT_SETTINGS, "catalog_hash"}):
            if flat[0].get(name) != own.get(name):
                found.append(f"{name} is {flat[0].get(name)!r} in {paths[0]} and {own.get(name)!r} in {path}")
    return found


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
