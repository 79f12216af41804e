"""What the pages on runs show: their curves, results and settings, of one run or of several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from unreel.legible import make_legible
from unreel.report.line_chart import Series, draw_lines
from unreel.report.result_tables import MeasuredThing, build_sections, flatten
from unreel.report.run_record import RunRecord

MOST_CHARTS = 24
"""Curves beyond these are counted, not drawn."""
_LONGEST_VALUE = 400
_NOT_DRAWN = {"step", "epoch", "time", "seconds"}
_FIRST = ("loss",)


def describe_run(name: str, record: RunRecord) -> dict[str, Any]:
    """Return what the page of one run shows.

    Args:
        name: by which the server knows the run.
        record: what its folder says.
    """
    facts = {
        "State": record.status,
        "Recipe": record.recipe,
        "Method": record.method,
        "Encoder": record.encoder_hash,
        "Videos left out": _count_left_out(record),
        "Figures": ", ".join(path.name for path in record.figures),
    }
    parts = [
        {"title": "Provenance" + (f", part {number}" if number > 1 else ""), "facts": _list_settings(part)}
        for number, part in enumerate(record.provenance, 1)
    ]
    return {
        **_show([(name, record)]),
        "is_comparison": False,
        "heading": name,
        "told": "",
        "facts": {title: value for title, value in facts.items() if value},
        "settings": {
            "columns": ["Value"],
            "rows": [
                {"name": title, "cells": [value]} for title, value in _list_settings(record.settings).items()
            ],
        },
        "provenance": parts,
    }


def compare_runs(runs: Sequence[tuple[str, RunRecord]]) -> dict[str, Any]:
    """Return what the page shows that sets runs side by side: what differs between them, and what they reach.

    Args:
        runs: by name, two or more.
    """
    settings = [{**_list_settings(record.settings), "recipe": record.recipe} for _, record in runs]
    names = dict.fromkeys(title for own in settings for title in own)
    rows = [
        {"name": title, "cells": [own.get(title, "-") for own in settings]}
        for title in names
        if len({own.get(title) for own in settings}) > 1
    ]
    return {
        **_show(runs),
        "is_comparison": True,
        "heading": " and ".join(name for name, _ in runs) if len(runs) < 4 else f"{len(runs)} runs",
        "told": "",
        "facts": {name: record.status for name, record in runs},
        "settings": {"columns": [name for name, _ in runs], "rows": rows},
        "provenance": [],
    }


def list_runs(records: Mapping[str, RunRecord]) -> dict[str, Any]:
    """Return what the list of runs shows.

    Args:
        records: by name.
    """
    runs = [
        {
            "name": name,
            "url": f"/runs/{quote(name)}",
            "recipe": record.recipe,
            "status": record.status,
            "encoder_hash": record.encoder_hash,
            "numbers": list_numbers(record),
        }
        for name, record in records.items()
    ]
    columns = dict.fromkeys(title for record in records.values() for title in list_numbers(record))
    return {"runs": runs, "columns": list(columns), "told": f"{len(runs)} run{'' if len(runs) == 1 else 's'}"}


def list_numbers(record: RunRecord) -> dict[str, str]:
    """Return the numbers by which runs are told apart at a glance: the last loss, the retrieval of videos."""
    numbers: dict[str, str] = {}
    losses = [loss for loss in record.metrics.get("loss", []) if abs(loss) < float("inf")]
    if losses:
        numbers["loss"] = f"{losses[-1]:.4g}"
    for evaluation in record.evaluations:
        for name, title in (("video.recall.1", "R@1 %"), ("video.recall.5", "R@5 %"), ("top1", "top-1 %")):
            if name in evaluation.numbers:
                numbers.setdefault(title, f"{100 * evaluation.numbers[name]:.1f}")
    return numbers


def _show(runs: Sequence[tuple[str, RunRecord]]) -> dict[str, Any]:
    results = [
        MeasuredThing(evaluation, name, number)
        for number, (name, record) in enumerate(runs)
        for evaluation in record.evaluations
    ]
    results += [
        MeasuredThing(evaluation, make_legible(evaluation.encoder or evaluation.path.name))
        for _, record in runs
        for evaluation in record.other_evaluations
    ]
    charts, num_more = _draw(runs)
    notes = [f"{name}: {note}" if len(runs) > 1 else note for name, record in runs for note in record.notes]
    if num_more:
        notes.append(f"{num_more} more curves are in the metrics of the run and not drawn here.")
    return {
        "charts": charts,
        "evaluations": build_sections(results),
        "notes": notes,
        "example_folder": f"{runs[0][1].folder}/evaluations",
    }


def _draw(runs: Sequence[tuple[str, RunRecord]]) -> tuple[list[dict[str, Any]], int]:
    names = dict.fromkeys(name for _, record in runs for name in record.metrics if name not in _NOT_DRAWN)
    ordered = sorted(names, key=lambda name: (name not in _FIRST, not name.startswith("loss")))
    charts = [
        {
            "title": make_legible(name),
            "svg": draw_lines(
                [
                    Series(own, record.metrics["step"], record.metrics[name], color=number)
                    for number, (own, record) in enumerate(runs)
                    if name in record.metrics
                ],
                name,
                has_legend=len(runs) > 1,
            ),
        }
        for name in ordered[:MOST_CHARTS]
    ]
    return charts, len(ordered) - len(charts)


def _list_settings(values: Mapping[str, Any]) -> dict[str, str]:
    return {make_legible(name): _shorten(make_legible(value)) for name, value in flatten(values)}


def _shorten(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def _count_left_out(record: RunRecord) -> str:
    counts = {"failed": record.num_failed, "left out": record.num_left_out}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
