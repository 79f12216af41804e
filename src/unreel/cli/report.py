"""Draw figures of what a run has learned, or write a page about one or several runs.

`unreel report RUN ... --out report.html` writes the page: settings, origin, course of the training, results
beside each other. With the name of a figure as its first word, the command draws that figure.
"""

import os
from pathlib import Path

from unreel.cli.subcommands import CommandGroup

FIGURES = {
    "attention": ("report_attention", "which frames CACL's transformer looks at, and in their shuffled copy"),
    "gradcam": ("report_gradcam", "where in the frames of a few videos a network looks (Grad-CAM)"),
    "retrieval": ("report_retrieval", "what one or more encoders find: frames of queries and nearest videos"),
    "timeline": ("report_timeline", "what a localiser proposes, beside what is true, over a few videos"),
    "motion-gain": ("report_motion_gain", "what one encoder gains on another, class by class, over motion"),
    "motion": ("report_motion", "how much a video moves over time, and which windows training would draw"),
    "page": ("report_page", "a page about runs; `unreel report RUN ...` is short for it"),
}
"""Figure -> (module of this package, what it shows). Modules are imported only when their figure is drawn."""


def main(argv: list[str]) -> None:
    """Draw one figure, or write a page about run folders; without either, list the figures and leave with 2.

    A folder that is called like a figure is named with its path, such as ``./motion``.
    """
    if argv and argv[0] not in (*FIGURES, "-h", "--help") and _is_about_runs(argv[0]):
        argv = ["page", *argv]
    CommandGroup(
        name="report",
        description=__doc__ or "",
        kind="figure",
        members=FIGURES,
        example="unreel report runs/cacl runs/ccl --out report.html\n"
        "  unreel report attention --run runs/cacl --catalog catalog.parquet --out attention.png",
    ).run(argv)


def _is_about_runs(word: str) -> bool:
    """Whether a first word is no misspelt figure: a flag, a path, or something that is there."""
    return word.startswith("-") or "/" in word or os.sep in word or Path(word).exists()
