"""Results of several runs beside each other, a table per protocol and target."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unreel.legible import make_legible
from unreel.report.evaluation_files import Evaluation
from unreel.report.result_measures import PROTOCOLS, Measure, describe_protocol

_NOT_COMPARED = {
    "encoder",
    "encoder_hash",
    "weights_hash",
    "hash",
    "network_hash",
    "name",
    "run",
    "root",
    "provenance",
    "method",
    "recipe",
    "step",
    "train_seed",
    "dimension",
    "batch_size",
    "num_workers",
    "too_short",
}
"""Settings that say what was measured, or how fast, and not how."""


@dataclass(frozen=True)
class MeasuredThing:
    """A result, and what it is one of.

    Attributes:
        evaluation: the result.
        name: of the run, or of what else was measured.
        run: number of the run among those of the report; None of what is none of them.
    """

    evaluation: Evaluation
    name: str
    run: int | None = None


@dataclass(frozen=True)
class Cell:
    """A number as it is shown: "36.2", beside it "chance 12.5"."""

    text: str
    beside: str = ""


@dataclass(frozen=True)
class ResultRow:
    """The numbers of one result.

    Attributes:
        name: of what was measured.
        run: number of the run, None of anything else.
        encoder_hash: of what was measured, "" where the result does not say.
        details: settings that differ between the rows, as this one has them.
        queries: how many were tested, "" where the result does not say.
        cells: a number per column.
    """

    name: str
    run: int | None
    encoder_hash: str
    details: tuple[str, ...]
    queries: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ResultTable:
    """Numbers of one kind: a row per result, a column per measure."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True)
class ResultSection:
    """All that results of one protocol say.

    Attributes:
        title: the protocol, and what was told.
        text: what the numbers mean.
        tables: such as one for videos and one for clips.
        warnings: what speaks against comparing the rows.
    """

    title: str
    text: str
    tables: tuple[ResultTable, ...]
    warnings: tuple[str, ...]


def build_sections(results: Sequence[MeasuredThing]) -> list[ResultSection]:
    """Lay out results, those of the same protocol and target beside each other, in their given order."""
    order = list(PROTOCOLS)
    groups: dict[tuple[int, str, str], list[MeasuredThing]] = {}
    for result in results:
        protocol, by = result.evaluation.protocol, result.evaluation.settings.get("by")
        place = order.index(protocol) if protocol in PROTOCOLS else len(order)
        groups.setdefault((place, protocol, by if isinstance(by, str) else ""), []).append(result)
    # Classes come before scenes, as in the commands.
    in_order = sorted(groups, key=lambda key: (key[0], key[1], key[2] != "label", key[2]))
    return [_build_section(key[1], key[2], groups[key]) for key in in_order]


def _build_section(protocol: str, by: str, results: Sequence[MeasuredThing]) -> ResultSection:
    names = list(dict.fromkeys(name for result in results for name in result.evaluation.numbers))
    shown = describe_protocol(protocol, names)
    details, warnings = _compare(results)
    tables = []
    for title, measures in shown.groups:
        columns = [column for measure in measures for column in measure.expand(names)]
        rows = tuple(
            ResultRow(
                name=make_legible(result.name),
                run=result.run,
                encoder_hash=shorten(result.evaluation.encoder_hash),
                details=own,
                queries=_count_queries(result.evaluation.numbers, columns),
                cells=tuple(_write_cell(column, result.evaluation.numbers) for column in columns),
            )
            for result, own in zip(results, details, strict=True)
            if any(column.name in result.evaluation.numbers for column in columns)
        )
        if rows:
            tables.append(ResultTable(title, tuple(make_legible(column.title) for column in columns), rows))
    return ResultSection(
        make_legible(f"{shown.title} by {by}" if by else shown.title), shown.text, tuple(tables), warnings
    )


def _write_cell(measure: Measure, numbers: Mapping[str, float]) -> Cell:
    beside = measure.write(numbers, measure.beside) if measure.beside else ""
    return Cell(measure.write(numbers), f"{measure.beside_title} {beside}" if beside else "")


def _count_queries(numbers: Mapping[str, float], columns: Sequence[Measure]) -> str:
    groups = [column.name.split(".")[:depth] for column in columns[:1] for depth in (2, 1, 0)]
    names = [".".join([*group, word]) for word in ("queries", "videos") for group in groups]
    return next((f"{numbers[name]:.0f}" for name in names if name in numbers), "")


def _compare(results: Sequence[MeasuredThing]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Return, of every result, the settings in which it differs from another, and what that means."""
    flat = [
        {
            name: value
            for name, value in flatten(result.evaluation.settings)
            if not _NOT_COMPARED & set(name.split("."))
        }
        for result in results
    ]
    different = find_different(flat)
    details = [
        tuple(f"{_title(name)} {shorten(own[name])}" for name in different if name in own) for own in flat
    ]
    if any(name.endswith("catalog_hash") for name in different):
        return details, ("These rows are of different catalogs: other videos, or other labels of the same.",)
    if different:
        return details, ("These rows were not all measured in the same way; below each name stands how.",)
    return details, ()


def _title(name: str) -> str:
    return make_legible(name.removeprefix("features.").replace("_", " "))


def find_different(flat: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of settings that have not the same value everywhere, in order of appearance."""
    names = dict.fromkeys(name for own in flat for name in own)
    return [name for name in names if len({own.get(name) for own in flat}) > 1]


def shorten(value: str, longest: int = 60) -> str:
    """Return a text that can be shown, cut where it is long."""
    value = make_legible(value)
    return value if len(value) <= longest else f"{value[: longest - 3]}..."


def flatten(values: Mapping[str, Any], prefix: str = "", depth: int = 12) -> Iterator[tuple[str, str]]:
    """Yield the settings of nested groups by dotted name; what is no text is written as JSON writes it."""
    for name, value in values.items():
        if isinstance(value, dict) and value and depth:
            yield from flatten(value, f"{prefix}{name}.", depth - 1)
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else _to_json(value)


def _to_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "..."
