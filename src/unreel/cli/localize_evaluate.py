"""Average recall: how many segments are found when every video may propose so many stretches?

A segment is found by a proposal whose temporal intersection over union (tIoU) with it reaches a threshold;
AR@N is the mean over the thresholds 0.5, 0.55, ..., 0.95 of the recall at N proposals per video on average,
AUC the area under it from 1 to 100, divided by 100. Beside it stands what random stretches get.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from unreel.cli.evaluate_output import OutputArguments, check_output, deliver, keep, name_result, percent
from unreel.cli.terminal import format_duration, parse_arguments, print_summary, print_table, print_warning
from unreel.data.catalog import Catalog
from unreel.evaluate.localization import SHOWN_NUMBERS, THRESHOLDS
from unreel.evaluate.localization_result import LocalizationResult, evaluate_proposals
from unreel.evaluate.proposal_files import read_proposals

_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Arguments(OutputArguments):
    """What to measure."""

    proposals: Path
    """File that `unreel localize propose` wrote, or any in ActivityNet's form."""
    catalog: Path
    """Catalog with segments that `unreel scan` wrote."""
    split: str = "auto"
    """Split that is measured; `auto` takes the first of test, val and validation that has segments, else all
    videos; "" takes all."""


def main(argv: list[str]) -> None:
    """Run the step."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="localize evaluate",
        description=__doc__ or "",
        example="unreel localize evaluate --proposals proposals.json --catalog catalog.parquet --out ar.json",
    )
    check_output(arguments, {"--proposals": arguments.proposals, "--catalog": arguments.catalog})
    result = evaluate_proposals(
        arguments.proposals,
        read_proposals(arguments.proposals),
        Catalog.load(arguments.catalog),
        split=arguments.split,
    )
    values = result.to_json()
    _warn(result)
    if deliver(values, arguments):
        _show(result, arguments)
        keep(values, arguments)


def _warn(result: LocalizationResult) -> None:
    """Name what could not be counted, or counts as missed."""
    if result.without_proposals:
        print_warning(
            f"{len(result.without_proposals)} videos have no proposal, so all their segments are missed: "
            f"{_shorten(result.without_proposals)}"
        )
    if result.unknown:
        print_warning(
            f"{len(result.unknown)} videos of the proposals are not in the catalog: "
            f"{_shorten(result.unknown)}"
        )
    if result.outside:
        print_warning(f"{result.outside} segments lie outside their videos and are left out")


def _shorten(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _show(result: LocalizationResult, arguments: Arguments) -> None:
    measured, uniform = result.measured, result.uniform
    rows = [
        [f"AR@{number}", percent(measured.average_recall(number)), percent(uniform.average_recall(number))]
        for number in SHOWN_NUMBERS
    ]
    rows.append(["AUC", f"{measured.auc:.1f}", f"{uniform.auc:.1f}"])
    print_table("Average recall", ["measure", "proposals %", "random %"], rows)
    found, guessed = measured.recall_at(100), uniform.recall_at(100)
    print_table(
        "Recall at 100 proposals per video",
        ["tIoU", "proposals %", "random %"],
        [[f"{value:.2f}", percent(found[value]), percent(guessed[value])] for value in THRESHOLDS],
    )
    proposals, catalog = (shlex.quote(str(path)) for path in (arguments.proposals, arguments.catalog))
    print_summary(
        name_result(arguments),
        {
            "split": result.split or "all videos",
            "videos": f"{measured.videos} with segments; {result.without_segments} without are left out",
            "segments": measured.segments,
            "proposals": f"{measured.proposals}, {measured.proposals / measured.videos:.1f} per video",
            "time": format_duration(result.seconds),
        },
        next_steps=[f"unreel report timeline --proposals {proposals} --catalog {catalog} --out timeline.png"],
    )
