"""The papers' tables, and your own numbers beside them.

Without a table, those that there are; without a paper, those of all four. Numbers stand as they are printed:
`~` marks those whose place in the table was reconstructed, `?` those whose place is a guess. --results and
--runs put your own numbers into the columns that count the same, and name what was done otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from unreel.cli.evaluate_output import print_json
from unreel.cli.terminal import parse_arguments, print_summary, print_table, print_warning
from unreel.report.evaluation_files import read_evaluations
from unreel.report.paper_comparison import OwnComparison, PaperComparison, compare_with_paper, name_row
from unreel.report.paper_results import PAPERS, find_paper, find_table, list_tables
from unreel.report.paper_tables import PaperTable, Row
from unreel.report.paper_topics import TITLES, find_topic
from unreel.report.run_record import read_run_record


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which table, and what of yours beside it."""

    paper: tyro.conf.Positional[str] = ""
    """cacl, vclr, scvrl or ccl; none lists the tables of all."""
    table: tyro.conf.Positional[str] = ""
    """Number of a table, such as 4 or 8a; none lists those of the paper or, with results or runs, shows all
    that have a column for one of your numbers."""
    results: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="R.json ...")] = ()
    """Files that `unreel evaluate PROTOCOL --out` wrote."""
    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN ...")] = ()
    """Run folders: they say which method, network and videos a result is of, and hold results themselves."""
    json: bool = False
    """Print everything as JSON on the standard output."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments,
        argv,
        command="paper",
        description=__doc__ or "",
        example="unreel paper cacl 4 --results retrieval.json --runs runs/cacl",
    )
    if arguments.paper:
        find_paper(arguments.paper)
    if arguments.table:
        find_table(arguments.paper, arguments.table)
    is_own = bool(arguments.results or arguments.runs)
    if not is_own and not arguments.table:
        _list(arguments)
        return
    runs = [read_run_record(run) for run in arguments.runs]
    for run in runs:
        for note in run.notes:
            print_warning(note)
    evaluations = read_evaluations(arguments.results, warn=print_warning)
    known = {own.path.resolve() for own in evaluations}
    evaluations += [
        own
        for run in runs
        for own in (*run.evaluations, *run.other_evaluations)
        if own.path.resolve() not in known
    ]
    compared = compare_with_paper(evaluations, arguments.paper, arguments.table, runs)
    if arguments.json:
        print_json({"tables": [own.to_dict() for own in compared]})
        return
    for own in compared:
        _show(own)
    _close(compared, arguments, num_evaluations=len(evaluations), is_own=is_own)


def _list(arguments: Arguments) -> None:
    papers = [find_paper(arguments.paper)] if arguments.paper else list(PAPERS)
    if arguments.json:
        tables = [
            {"paper": paper, "title": TITLES[paper], "table": number, "topic": find_topic(paper, number).text}
            for paper in papers
            for number in list_tables(paper)
        ]
        print_json({"tables": tables})
        return
    for paper in papers:
        rows = [
            [number, len(find_table(paper, number)), find_topic(paper, number).text]
            for number in list_tables(paper)
        ]
        print_table(_write_title(paper), ["table", "numbers", "what it is about"], rows)
    print_summary("", {}, next_steps=[f"unreel paper {papers[0].lower()} {list_tables(papers[0])[-1]}"])


def _write_title(paper: str) -> str:
    title = TITLES[paper]
    return title if title.startswith(paper) else f"{paper}: {title}"


def _show(compared: PaperComparison) -> None:
    table = compared.table
    rows = [*table.rows, *(own.row for own in compared.own)]
    print_table(f"{table.name}: {table.topic}", table.header, _write_rows(table, rows))
    print_summary(
        _write_title(table.paper),
        {
            **table.facts,
            **({"marks": "; ".join(table.legend)} if table.legend else {}),
            **{f"note {number}": text for number, text in enumerate(table.notes, start=1)},
        },
    )
    groups: dict[tuple[object, ...], list[OwnComparison]] = {}
    for own in compared.own:
        groups.setdefault((own.differences, own.agreements), []).append(own)
    for alike in groups.values():
        _show_own(alike, table)
    if compared.others:
        print_summary("Yours, but not in this table", dict(compared.others))


def _write_rows(table: PaperTable, rows: Sequence[Row]) -> list[list[str]]:
    """Return the texts of the rows, with numbers one below the other whether or not they have a mark."""
    columns = []
    for column in range(len(table.columns)):
        texts = [cell.marked if (cell := row.cells[column]) else "-" for row in rows]
        if any(text[-1] in "~?" for text in texts):
            texts = [text if text[-1] in "~?" else f"{text} " for text in texts]
        columns.append([text.rjust(max(map(len, texts))) for text in texts])
    return [[*row.key, *texts] for row, texts in zip(rows, zip(*columns, strict=True), strict=True)]


def _show_own(alike: Sequence[OwnComparison], table: PaperTable) -> None:
    """Show what was done otherwise in results that agree in that, and only then how far numbers are apart."""
    print_table(
        f"Done otherwise in {'; '.join(own.name for own in alike)}",
        ["setting", "yours", "paper"],
        [list(difference) for difference in alike[0].differences],
    )
    if alike[0].agreements:
        print_summary("", {"done alike": "; ".join(alike[0].agreements)})
    for own in alike:
        rows = {f"less {name_row(gap.row, table)}": gap.text for gap in own.gaps}
        title = f"{own.name} ({own.file}), with all that the table above names done otherwise"
        if own.reason:
            title, rows = f"{own.name} ({own.file})", {"difference of numbers": f"not taken: {own.reason}"}
        print_summary(title, rows)


def _close(
    compared: Sequence[PaperComparison], arguments: Arguments, *, num_evaluations: int, is_own: bool
) -> None:
    if not is_own:
        table = compared[0].table
        place = f"{table.paper.lower()} {table.number}"
        print_summary("", {}, next_steps=[f"unreel paper {place} --results RESULT.json --runs RUN"])
        return
    placed = {own.file for one in compared for own in one.own}
    rows: dict[str, object] = {
        "results": f"{num_evaluations} read, {len(placed)} of them beside a table",
        "what this says": "how far numbers lie apart that were come by in different ways, and no more",
    }
    if not compared:
        rows["no table"] = (
            "none has a column for these numbers and a row of the method of these runs"
            if num_evaluations
            else "there is no result; --results takes what `unreel evaluate PROTOCOL --out` wrote"
        )
    print_summary("Yours beside the papers", rows, next_steps=["unreel paper"] if not compared else ())
