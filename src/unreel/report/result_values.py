"""What the files of results hold, whatever the protocol: numbers with names, hashes, confusions."""

from collections.abc import Iterator, Mapping
from typing import Any

_LARGEST = 1e18
"""Beyond this, and where it is NaN, a number was not measured."""
_DEEPEST = 8
_MOST_NUMBERS = 1000
_HOW_IT_WAS_MADE = {"protocol", "settings", "features", "model", "seconds", "confusion", "curves"}
"""Parts of a result that are no measurement, or that are read by themselves."""


def list_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return every number that was measured by its dotted name; levels come first, without that word."""
    measured = {name: value for name, value in values.items() if name not in _HOW_IT_WAS_MADE}
    levels = measured.pop("levels", {})
    numbers: dict[str, float] = {}
    for group in (levels, measured):
        for name, value in _walk(group, "", _DEEPEST):
            numbers[name] = value
            if len(numbers) == _MOST_NUMBERS:
                return numbers
    return numbers


def _walk(value: object, name: str, depth: int) -> Iterator[tuple[str, float]]:
    """Yield numbers with their dotted names; of lists, single classes and confusions there are none."""
    if isinstance(value, dict) and depth:
        for key, own in value.items():
            if not key.endswith("_by_class") and key != "confusion":
                yield from _walk(own, f"{name}.{key}" if name else key, depth - 1)
    elif is_number(value):
        yield name, float(value)  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    """Whether it was measured: a number that is finite, not beyond all use, and no mere truth."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def find_hashes(values: Mapping[str, Any], depth: int = _DEEPEST) -> Iterator[str]:
    """Yield hashes of what was measured: of encoders, then of whole networks, then of weights of runs."""
    for name, value in values.items():
        if isinstance(value, dict) and depth:
            yield from find_hashes(value, depth - 1)
        elif name.endswith("hash") and name != "catalog_hash" and isinstance(value, str) and value:
            yield value


def find_confusion(values: Mapping[str, Any]) -> dict[str, dict[str, int]] | None:
    """Return the counts of the result, or of the first level that has some, by true and predicted class."""
    if isinstance(values.get("degrees"), list):
        return _name_confusion(
            as_list(values.get("confusion")), [str(degree) for degree in values["degrees"]]
        )
    for group in (values, *as_mapping(values.get("levels")).values()):
        rows = as_mapping(as_mapping(group).get("confusion"))
        if rows:
            return {true: _keep_counts(row) for true, row in rows.items()}
    return None


def _name_confusion(rows: list[Any], names: list[str]) -> dict[str, dict[str, int]]:
    return {
        true: _keep_counts(dict(zip(names, row, strict=False)))
        for true, row in zip(names, rows, strict=False)
        if isinstance(row, list)
    }


def _keep_counts(row: object) -> dict[str, int]:
    return {told: int(count) for told, count in as_mapping(row).items() if is_number(count) and count >= 1}


def list_classes(confusion: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Return the classes of a confusion: the true ones, then those that were told only."""
    return tuple(dict.fromkeys([*confusion, *(told for row in confusion.values() for told in row)]))


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return what is a group of values, and an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return what is a list, and an empty one in place of anything else."""
    return value if isinstance(value, list) else []
