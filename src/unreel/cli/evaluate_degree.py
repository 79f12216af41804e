"""CACL's shuffle degree: how well a run tells how far a shuffled clip is from the clip.

The degree is the edit distance between the two orders of frames. Needs the run, since the head that tells it
is no part of an encoder. Nothing in the run changes.
"""

import sys
from dataclasses import dataclass

from unreel.cli.evaluate_output import deliver, percent
from unreel.cli.evaluate_run import RunArguments, close_run, measure_run, next_command
from unreel.cli.terminal import parse_arguments, print_table
from unreel.evaluate.shuffle_degree import DegreeResult, evaluate_degree

_FIRST_COLUMNS, _COLUMN = "  true   clips ", 4


@dataclass(frozen=True, kw_only=True)
class Arguments(RunArguments):
    """What to measure."""

    num_rounds: int = 10
    """Clips per video, each with draws of its own."""


def main(argv: list[str]) -> None:
    """Run the protocol."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="evaluate degree",
        description=__doc__ or "",
        example="unreel evaluate degree --run runs/cacl --catalog catalog.parquet --out degree.json",
    )
    result = measure_run(arguments, evaluate_degree)
    values = result.to_json()
    if not deliver(values, arguments):
        return
    errors = [result.mean_absolute_error, result.chance_error, result.constant_error]
    rows = {
        "accuracy %": [result.accuracy, result.chance, result.constant_accuracy],
        "within one degree %": [result.within_one, result.chance_within_one, result.constant_within_one],
    }
    print_table(
        "Shuffle degree",
        ["", "found", "chance", "best single answer"],
        [
            *([name, *map(percent, shares)] for name, shares in rows.items()),
            ["mean error, degrees", *(f"{error:.2f}" for error in errors)],
        ],
    )
    sys.stdout.write(draw_confusion(result))
    method = values["settings"]["method"]
    shuffles = {"shuffles": f"preset {method['shuffle']['preset']}, as in training"}
    next_step = next_command("evaluate similarity", arguments)
    has_pairs = method["pairs"] and method["contrast_weight"] > 0
    close_run(values, arguments, result.rejected, shuffles, [next_step] if has_pairs else [])


def draw_confusion(result: DegreeResult) -> str:
    """Write the confusion matrix in percent of each row; a point is nothing, 0 less than half a percent."""
    lines = [
        "Degree predicted, percent of the clips of each true degree",
        _FIRST_COLUMNS + "".join(f"{degree:>{_COLUMN}}" for degree in result.degrees),
    ]
    for degree, counts_C in zip(result.degrees, result.confusion_CC.tolist(), strict=True):
        clips = sum(counts_C)
        cells = [f"{100 * count / clips:.0f}" if count else "." for count in counts_C]
        lines.append(f"{degree:>6}{clips:>8} " + "".join(f"{cell:>{_COLUMN}}" for cell in cells))
    return "\n".join(lines) + "\n"
