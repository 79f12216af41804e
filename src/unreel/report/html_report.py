"""One or several runs on one page: a single HTML file that needs no network and no script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unreel import __version__
from unreel.errors import TrainingError
from unreel.legible import make_legible
from unreel.report.confusion_view import LARGEST_MATRIX, view_confusion
from unreel.report.embedded_figures import embed_figures
from unreel.report.evaluation_files import Evaluation, read_evaluations
from unreel.report.line_chart import COLORS
from unreel.report.paper_comparison import compare_with_paper, name_row
from unreel.report.result_commands import suggest_commands
from unreel.report.result_measures import name_protocol
from unreel.report.result_tables import MeasuredThing, build_sections
from unreel.report.run_curves import draw_curves
from unreel.report.run_record import RunRecord, read_run_record
from unreel.report.settings_tables import compare_origins, compare_settings
from unreel.runs import write_text

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class ReportSummary:
    """What a page shows.

    Attributes:
        path: of the page.
        num_bytes: its size.
        runs: the runs, in their order.
        results: results by name of what was measured.
        runs_without_results: names of runs for which there is none, and the commands that make one.
        num_curves: drawings of numbers over steps.
        num_figures: pictures.
        num_paper_tables: tables of papers beside which results stand.
        notes: what could not be read or was left out, a sentence each.
    """

    path: Path
    num_bytes: int
    runs: tuple[RunRecord, ...]
    results: tuple[MeasuredThing, ...]
    runs_without_results: Mapping[str, tuple[str, ...]]
    num_curves: int
    num_figures: int
    num_paper_tables: int
    notes: tuple[str, ...]


def write_report(
    runs: Sequence[Path], out: Path, *, results: Sequence[Path] = (), figures: Sequence[Path] = ()
) -> ReportSummary:
    """Write a page about runs: how they were made, how they went, what they reached.

    The same files give the same page. What is missing or damaged is named on the page and left out.

    Args:
        runs: run folders, finished or not; one that comes twice is shown once.
        out: file to write; an older one is replaced in one step.
        results: further files of `unreel evaluate`; each is shown with the run whose hash it names, and by
            itself where that is none of these.
        figures: further pictures, before those that lie in the run folders.

    Raises:
        TrainingError: there is no run, or a folder holds none.
        OSError: the page cannot be written.
    """
    folders = list({Path(run).resolve(): Path(run) for run in runs}.values())
    if not folders:
        raise TrainingError("a report is one of runs, got none; give the folder of `--run`")
    records = tuple(read_run_record(folder) for folder in folders)
    names = name_runs(records)
    notes = [f"{name}: {note}" for name, run in zip(names, records, strict=True) for note in run.notes]
    things = collect_results(records, names, read_evaluations(results, warn=notes.append))
    embedded = embed_figures(
        [*figures, *(path for run in records for path in run.figures)], warn=notes.append
    )
    named = {thing.run for thing in things}
    without = {
        name: suggest_commands(run)
        for number, (name, run) in enumerate(zip(names, records, strict=True))
        if number not in named
    }
    curves = draw_curves(records, names)
    papers = compare_with_paper([thing.evaluation for thing in things], runs=records)
    confusions = [
        view
        for thing in things
        if (
            view := view_confusion(
                thing.evaluation, f"{thing.name}: {name_protocol(thing.evaluation.protocol)}"
            )
        )
    ]
    first_settings, all_settings = compare_settings(records, names)
    page = (
        _build_environment()
        .get_template("report.html")
        .render(
            version=__version__,
            title=_write_title(names),
            runs=list(zip(names, records, strict=True)),
            colors=COLORS,
            sections=build_sections(things),
            papers=papers,
            name_row=name_row,
            curves=curves,
            confusions=confusions,
            largest_matrix=LARGEST_MATRIX,
            figures=embedded,
            first_settings=first_settings,
            all_settings=all_settings,
            origins=compare_origins(records, names),
            without=without,
            notes=[make_legible(note) for note in notes],
        )
    )
    write_text(out, page)
    return ReportSummary(
        path=out,
        num_bytes=len(page.encode()),
        runs=records,
        results=tuple(things),
        runs_without_results=without,
        num_curves=len(curves),
        num_figures=len(embedded),
        num_paper_tables=len(papers),
        notes=tuple(notes),
    )


def name_runs(runs: Sequence[RunRecord]) -> list[str]:
    """Return a name for every run that no other has: its folder, with the folders above where it must be."""
    paths = [run.folder.resolve().parts for run in runs]
    longest = max(map(len, paths))
    for depth in range(1, longest + 1):
        names = [make_legible("/".join(parts[-depth:])) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, start=1)]


def collect_results(
    runs: Sequence[RunRecord], names: Sequence[str], further: Sequence[Evaluation]
) -> list[MeasuredThing]:
    """Say of every result what was measured: the results of the runs in their order, then all others.

    A file that is in a run's folder and among the further ones counts once. One that several runs know as
    theirs, such as runs that share a frozen encoder, stands with the first and names all.

    Args:
        runs: of the report.
        names: of the runs, as shown.
        further: results that lie elsewhere.
    """
    found = {
        (evaluation.path.resolve(), evaluation.encoder): (evaluation, number)
        for number, run in enumerate(runs)
        for evaluation in (*run.evaluations, *run.other_evaluations)
    }
    for evaluation in further:
        found.setdefault((evaluation.path.resolve(), evaluation.encoder), (evaluation, -1))
    things = []
    for evaluation, lies_in in found.values():
        owners = [number for number, run in enumerate(runs) if run.owns(evaluation)]
        if not owners and lies_in >= 0 and evaluation in runs[lies_in].evaluations:
            owners = [lies_in]
        name = ", ".join(names[number] for number in owners) or make_legible(
            evaluation.encoder or evaluation.path.stem
        )
        things.append(MeasuredThing(evaluation, name, owners[0] if owners else None))
    return sorted(things, key=lambda thing: len(runs) if thing.run is None else thing.run)


def _write_title(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"Run {names[0]}"
    return f"{len(names)} runs: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _build_environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("unreel.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_make_legible,
    )


def _make_legible(value: object) -> object:
    """Write ``?`` for what is no letter in text from files; drawings are marked as what they are."""
    return make_legible(value, keep_lines=True) if type(value) is str else value
