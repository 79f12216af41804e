"""Gain by motion: what one encoder gains on another in every class, beside how much moves in the class.

Both are results of the same protocol on the same videos, with accuracies by class, or tables of features, to
which a linear SVM is then fitted. The motion of the videos is what `unreel motion` measured.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from unreel.cli.evaluate_output import OutputArguments, check_output, deliver, keep, name_result, percent
from unreel.cli.terminal import parse_arguments, print_summary, print_table, print_warning
from unreel.data.catalog import Catalog
from unreel.data.motion_table import MotionTable, name_table
from unreel.evaluate.motion_gain import ClassGain, MotionGain, compare_by_motion
from unreel.evaluate.motion_gain_results import ClassAccuracies
from unreel.evaluate.ranking import Level


@dataclass(frozen=True, kw_only=True)
class Arguments(OutputArguments):
    """What to compare."""

    first: tyro.conf.Positional[Path]
    """Result (.json) or features of the encoder that is the yardstick."""
    second: tyro.conf.Positional[Path]
    """The same of the encoder that may gain on it."""
    catalog: Path
    """Catalog that the features were extracted from."""
    motion: Path | None = None
    """Table that `unreel motion` wrote; by default the one beside the catalog."""
    split: str = ""
    """Split whose videos tell how much moves in a class; all videos by default."""
    level: Level = "video"
    """Level of the results to compare."""
    k: int = 1
    """Number of neighbours to compare, for results of `unreel evaluate retrieval`."""
    num_shown: int = 5
    """Classes to show from either end; the result file has all."""


def main(argv: list[str]) -> None:
    """Run the protocol.

    Raises:
        ValueError: not one class is to be shown.
    """
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate motion-gain",
        description=__doc__ or "",
        example="unreel evaluate motion-gain cvrl.json scvrl.json --catalog catalog.parquet --out gain.json",
    )
    path = name_table(arguments.catalog) if arguments.motion is None else arguments.motion
    inputs = {"the first result": arguments.first, "the second": arguments.second}
    check_output(arguments, {**inputs, "--catalog": arguments.catalog, "--motion": path})
    if arguments.num_shown < 1:
        raise ValueError(f"num_shown must be at least 1, got {arguments.num_shown}")
    catalog = Catalog.load(arguments.catalog)
    table = MotionTable.load(path)
    first, second = (
        ClassAccuracies.load(source, level=arguments.level, k=arguments.k)
        for source in (arguments.first, arguments.second)
    )
    result = compare_by_motion(first, second, catalog, table, split=arguments.split)
    _warn(result)
    values = result.to_json()
    if deliver(values, arguments):
        _show(result, arguments)
        keep(values, arguments)


def _warn(result: MotionGain) -> None:
    for difference in result.differences:
        print_warning(f"the two were not measured alike: {difference}")
    num_unmeasured = sum(own.unmeasured for own in result.classes)
    if num_unmeasured:
        print_warning(f"the motion of {num_unmeasured} videos could not be measured; they play no part")
    blank = [own.name for own in result.classes if own.motion is None]
    if blank:
        print_warning(f"nothing is known of the motion of {len(blank)} classes, such as {blank[0]}")


def _show(result: MotionGain, arguments: Arguments) -> None:
    shown, num_hidden = _take_ends(result.classes, arguments.num_shown)
    title = "Classes by what the second gains on the first"
    if num_hidden:
        title += f"; {num_hidden} in between are not shown"
    print_table(
        title,
        ["class", "tested", "first %", "second %", "gain", "motion", "normalised"],
        [_row(own) for own in shown],
    )
    correlation = result.correlation
    next_steps = []
    if arguments.out is not None:
        next_steps.append(
            f"unreel report motion-gain {shlex.quote(str(arguments.out))} --out motion_gain.png"
        )
    print_summary(
        name_result(arguments),
        {
            "first": f"{result.first}, {arguments.first}",
            "second": f"{result.second}, {arguments.second}",
            "protocol": f"{result.settings['protocol']} of {result.settings['query_split'] or 'all videos'}",
            "classes": f"{len(result.classes)}, {len(result.with_motion)} with known motion",
            "mean gain": f"{percent(result.mean_gain)} points",
            "rank correlation": "not defined" if correlation is None else f"{correlation:.3f}",
        },
        next_steps=next_steps,
    )


def _take_ends(classes: tuple[ClassGain, ...], count: int) -> tuple[tuple[ClassGain, ...], int]:
    """Return the first and last classes, and how many lie between them."""
    if len(classes) <= 2 * count:
        return classes, 0
    return classes[:count] + classes[-count:], len(classes) - 2 * count


def _row(own: ClassGain) -> list[object]:
    motion = "-" if own.motion is None else f"{own.motion:.3g}"
    normalized = "-" if own.normalized_motion is None else f"{own.normalized_motion:.2f}"
    shares = [percent(own.first), percent(own.second), percent(own.gain)]
    return [own.name, own.queries, *shares, motion, normalized]
