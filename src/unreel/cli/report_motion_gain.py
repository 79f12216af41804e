"""Gain over motion: a point per class, from what `unreel evaluate motion-gain` has written."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from unreel.cli.output_files import check_outputs, write_outputs
from unreel.cli.terminal import parse_arguments, print_summary
from unreel.evaluate.motion_gain import MotionGain
from unreel.report.figures import check_figure_path, save_figure
from unreel.report.motion_gain import draw_motion_gain


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to draw, and where to."""

    result: tyro.conf.Positional[Path]
    """JSON file that `unreel evaluate motion-gain --out` wrote; all numbers are there."""
    out: Path = Path("motion_gain.png")
    """Picture to write, .png or .svg; an older one is replaced."""
    num_names: int = 5
    """Classes with the largest, and with the smallest gains to name."""


def main(argv: list[str]) -> None:
    """Draw the figure.

    Raises:
        ValueError: a negative number of classes is to be named.
    """
    arguments = parse_arguments(
        Arguments,
        argv,
        command="report motion-gain",
        description=__doc__ or "",
        example="unreel report motion-gain gain.json --out motion_gain.png",
    )
    check_figure_path(arguments.out)
    check_outputs({"--out": arguments.out}, {"the result": arguments.result})
    if arguments.num_names < 0:
        raise ValueError(f"num_names must be 0 or more, got {arguments.num_names}")
    gain = MotionGain.load(arguments.result)
    figure = draw_motion_gain(gain, num_names=arguments.num_names)
    correlation = gain.correlation
    print_summary(
        f"Figure {arguments.out}",
        {
            "first": gain.first,
            "second": gain.second,
            "classes": f"{len(gain.with_motion)} of {len(gain.classes)} have a point: their motion is known",
            "rank correlation": "not defined" if correlation is None else f"{correlation:.3f}",
            "numbers": arguments.result,
        },
    )
    write_outputs({"--out": (arguments.out, partial(save_figure, figure))})
