"""A page about one or several runs: settings, origin, course of the training, results beside each other.

The page is one HTML file that loads nothing and runs no script. Results are found in the run folder and in
`evaluations` in it; pictures in the run folder and in `figures` in it.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from unreel.cli.output_files import check_outputs
from unreel.cli.terminal import parse_arguments, print_summary, print_warning
from unreel.errors import TrainingError, UnreelError
from unreel.report.html_report import ReportSummary, write_report

_EXAMPLE = """unreel report page runs/cacl
  unreel report page runs/cacl runs/moco --results pixels.json --out report.html"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to show, and where to."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, finished or not."""
    results: tuple[Path, ...] = ()
    """Further files that `unreel evaluate PROTOCOL --out` wrote, such as those of yardsticks."""
    figures: tuple[Path, ...] = ()
    """Further pictures, .png or .svg, shown before those of the run folders."""
    out: Path | None = None
    """HTML file to write, an older one is replaced; by default `report.html` in the folder of a single run,
    and here for several."""


def main(argv: list[str]) -> None:
    """Write the page.

    Raises:
        TrainingError: no run is named, or a folder holds none.
        ValueError: the page cannot be written where it is wanted, or would replace what is read.
        UnreelError: the page cannot be written after all.
    """
    arguments = parse_arguments(
        Arguments, argv, command="report page", description=__doc__ or "", example=_EXAMPLE
    )
    if not arguments.runs:
        raise TrainingError("a report is one of runs, got none; give the folder of `--run`")
    out = arguments.out or (
        arguments.runs[0] / "report.html" if len(arguments.runs) == 1 else Path("report.html")
    )
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out} must end in .html: a page is written there")
    check_outputs(
        {"--out": out},
        {"RUN": arguments.runs, "--results": arguments.results, "--figures": arguments.figures},
    )
    try:
        summary = write_report(arguments.runs, out, results=arguments.results, figures=arguments.figures)
    except OSError as error:
        raise UnreelError(f"--out {out} was not written ({error.strerror or error}); make room") from error
    _report(summary)


def _report(summary: ReportSummary) -> None:
    for note in summary.notes:
        print_warning(note)
    print_summary(
        f"Page {summary.path}, {_write_size(summary.num_bytes)}",
        {
            "runs": ", ".join(f"{run.name} ({run.status})" for run in summary.runs),
            "results": _count_results(summary),
            "papers": f"beside {summary.num_paper_tables} of their tables",
            "course": f"{summary.num_curves} curves",
            "figures": summary.num_figures or "none; `unreel report FIGURE` draws some, --figures adds them",
        },
        next_steps=[command for commands in summary.runs_without_results.values() for command in commands],
    )


def _count_results(summary: ReportSummary) -> str:
    num_own = sum(result.run is not None for result in summary.results)
    num_others = len(summary.results) - num_own
    others = f" and {num_others} of something else" if num_others else ""
    without = ", ".join(summary.runs_without_results)
    return f"{num_own} of the runs{others}" + (f"; none of {without}" if without else "")


def _write_size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"
