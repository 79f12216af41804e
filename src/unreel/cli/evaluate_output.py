"""What the protocols of `unreel evaluate` share: flags, tables, result files."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import format_duration, print_summary, print_table, print_warning
from unreel.data.batch import Rejection
from unreel.evaluate.accuracy import Accuracy
from unreel.evaluate.ranking import RankingConfig, Target, are_alike
from unreel.features.table import FeatureTable
from unreel.legible import make_legible
from unreel.runs import write_json


@dataclass(frozen=True)
class OutputArguments:
    """Where the result goes."""

    out: Path | None = None
    """JSON file for the result, with all settings and counts."""
    json: bool = False
    """Print the result as JSON on the standard output."""


@dataclass(frozen=True)
class ComparisonArguments(OutputArguments):
    """What is compared with what, and where the result goes."""

    by: Target = "label"
    """What makes a neighbour right: `label`, the class, or `group` (scene, film, ...)."""
    query_split: str = "auto"
    """Split that asks; `auto` takes test (or val) when there is train, else all videos."""
    gallery_split: str = "auto"
    """Split that is searched; `auto` takes train as above, else what asks. No video is its own neighbour."""
    center: bool = False
    """Subtract the gallery's mean vector from all vectors first."""

    @property
    def config(self) -> RankingConfig:
        """The library's form of the same."""
        return RankingConfig(self.by, self.query_split, self.gallery_split, self.center)


def check_output(arguments: OutputArguments, inputs: Mapping[str, Path | Sequence[Path] | None]) -> None:
    """Refuse a result file that cannot be written, before anything is measured.

    Args:
        arguments: of the command.
        inputs: by flag, what the command reads and the file must not replace.

    Raises:
        ValueError: it cannot, or replaces an input.
    """
    check_outputs({"--out": arguments.out}, inputs)


def deliver(values: Mapping[str, Any], arguments: OutputArguments) -> bool:
    """Print and keep the result as JSON if that is wanted; else say that tables are.

    Raises:
        UnreelError: the file cannot be written.
    """
    if arguments.json:
        print_json(values)
        keep(values, arguments)
    return not arguments.json


def print_json(values: Mapping[str, Any]) -> None:
    """Print a result as JSON on the standard output."""
    sys.stdout.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def keep(values: Mapping[str, Any], arguments: OutputArguments) -> None:
    """Write the result file, when all has been printed: what cannot be kept is then not lost.

    Raises:
        UnreelError: the file cannot be written.
    """
    write_outputs({"--out": (arguments.out, partial(write_json, value=values))})


def warn_of_rejected(rejected: Sequence[Rejection]) -> None:
    """Name the videos that failed, and why."""
    for rejection in rejected:
        # A name may have line breaks, with which it could pass for another message.
        print_warning(make_legible(f"rejected {rejection.path}: {rejection.reason}"))


def warn_of_collapse(table: FeatureTable) -> None:
    """Say that nothing can be told from vectors that are all the same."""
    if are_alike(table.vectors):
        print_warning(
            f"all {len(table)} vectors are the same: the encoder has collapsed, and the result says nothing"
        )


def show_recall(title: str, recall: Mapping[int, float], chance: Mapping[int, float]) -> None:
    """Print recall and chance in percent, a row per k."""
    rows = [[k, percent(recall[k]), percent(chance[k])] for k in recall]
    print_table(title, ["k", "recall %", "chance %"], rows)


def count_vectors(queries: int, gallery: int, without_target: int, target: str) -> str:
    """Say how many vectors took part, and how many could not."""
    left_out = f"; {without_target} queries have no {target} and are left out" if without_target else ""
    return f"{queries} queries, {gallery} in the gallery{left_out}"


def warn_of_ks(impossible_ks: Sequence[int], gallery: int) -> None:
    """Say which numbers of neighbours the gallery was too small for."""
    if impossible_ks:
        listed = ", ".join(map(str, impossible_ks))
        print_warning(f"no value for k = {listed}: a gallery of {gallery} has fewer neighbours to give")


def name_result(arguments: OutputArguments) -> str:
    """Say where the result is, or how to keep it."""
    return f"Result {arguments.out}" if arguments.out else "Result (not kept; --out FILE.json keeps it)"


def show_accuracy(title: str, measured: Accuracy) -> None:
    """Print accuracies and F-measure in percent, a row each."""
    shares = {
        "top 1": measured.top1,
        "top 5": measured.top5,
        "mean over classes": measured.mean_class,
        "macro F-measure": measured.macro_f_measure,
        "chance": measured.chance,
        "most frequent class": measured.constant,
    }
    rows = [[name, percent(share)] for name, share in shares.items() if share is not None]
    print_table(title, ["accuracy", "%"], rows)


def percent(share: float) -> str:
    """Write a share as percent with one decimal."""
    return f"{100 * share:.1f}"


def close(
    values: Mapping[str, Any],
    arguments: ComparisonArguments,
    rows: Mapping[str, object],
    next_steps: Sequence[str],
) -> None:
    """Print the closing summary and write the result file.

    Raises:
        UnreelError: the file cannot be written.
    """
    settings = values["settings"]
    print_summary(
        name_result(arguments),
        {
            "queries": settings["query_split"] or "all videos",
            "gallery": settings["gallery_split"] or "all videos but the query's own",
            "right when": f"the {settings['by']} agrees",
            **rows,
            "time": format_duration(values["seconds"]),
        },
        next_steps=next_steps,
    )
    keep(values, arguments)
