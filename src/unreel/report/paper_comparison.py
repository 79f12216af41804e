"""Own results beside the papers' tables: in which columns they belong, and in what they differ.

A difference of numbers is never alone: it stands beside the differences of what was done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unreel.legible import make_legible
from unreel.report.evaluation_files import Evaluation
from unreel.report.own_origin import Origin, count_classes, find_origin
from unreel.report.own_results import OwnRow, explain_absence, list_own_rows
from unreel.report.paper_protocols import TASKS, find_published, find_rows
from unreel.report.paper_results import PAPERS, list_tables
from unreel.report.paper_settings import Difference, compare_settings
from unreel.report.paper_tables import FIELDS, Cell, Column, PaperTable, Row, build_table, row_to_dict
from unreel.report.run_record import RunRecord


@dataclass(frozen=True)
class Gap:
    """An own row less a row of the paper.

    Attributes:
        row: of the paper.
        points: own number less the paper's, by name of the column.
    """

    row: Row
    points: Mapping[str, float]

    @property
    def text(self) -> str:
        """All differences with their signs, such as "top1 -3.2, top5 +0.4"."""
        return ", ".join(f"{name} {value:+.4g}" for name, value in self.points.items())


@dataclass(frozen=True)
class OwnComparison:
    """An own row, and how it was come by otherwise than the paper's.

    Attributes:
        name: of what was tested, and the task.
        file: the result.
        row: in the columns of the table.
        differences: of what was done, with what is not known.
        agreements: settings in which both agree.
        gaps: to the paper's rows of the same method; none where a difference would say nothing.
        reason: why there are none, "" where there are.
    """

    name: str
    file: str
    row: Row
    differences: tuple[Difference, ...]
    agreements: tuple[str, ...]
    gaps: tuple[Gap, ...]
    reason: str


@dataclass(frozen=True)
class PaperComparison:
    """A table of a paper and own results beside it.

    Attributes:
        table: of the paper.
        own: results that count what a column counts.
        others: results that do not: what they are called, and why not.
    """

    table: PaperTable
    own: tuple[OwnComparison, ...] = ()
    others: tuple[tuple[str, str], ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        columns = self.table.columns
        return {
            **self.table.to_dict(),
            "own": [
                {
                    "name": own.name,
                    "file": own.file,
                    "row": row_to_dict(own.row, columns),
                    "differences": [difference._asdict() for difference in own.differences],
                    "agreements": list(own.agreements),
                    "own_minus_paper": [
                        {"row": row_to_dict(gap.row, columns), "points": dict(gap.points)} for gap in own.gaps
                    ],
                    "no_difference_because": own.reason,
                }
                for own in self.own
            ],
            "others": [{"name": name, "reason": reason} for name, reason in self.others],
        }


def compare_with_paper(
    evaluations: Sequence[Evaluation],
    paper: str = "",
    table: str = "",
    runs: Sequence[RunRecord] = (),
) -> list[PaperComparison]:
    """Set own results beside the papers' tables.

    Args:
        evaluations: what was measured.
        paper: its name; "" takes those whose tables hold the method of a run that was measured.
        table: its number; "" takes those that have a column for one of the numbers.
        runs: that may have made what was measured. They tell method, network and videos; a result of none of
            them stands beside the others, but suggests no table and is subtracted from none.

    Returns:
        The table that was asked for, alone; else those that suit, which may be none.

    Raises:
        ValueError: there is no such paper or table; the message lists those that there are.
    """
    known = [(own, find_origin(own, runs)) for own in evaluations]
    if paper and table:
        return [_compare(build_table(paper, table), known)]
    compared = [
        _compare(build_table(name, number), known)
        for name in ([paper] if paper else PAPERS)
        for number in list_tables(name)
    ]
    return [own for own in compared if own.own and (paper or _has_method(own, known))]


def _has_method(compared: PaperComparison, known: Sequence[tuple[Evaluation, Origin]]) -> bool:
    """Whether a table has numbers of the method of a result in the columns of that result."""
    return any(
        _subtract(compared.table, own.row, peer)
        for evaluation, origin in known
        for own in compared.own
        if own.file == _locate(evaluation)
        for peer in _find_peers(compared.table, origin)
    )


def _compare(table: PaperTable, known: Sequence[tuple[Evaluation, Origin]]) -> PaperComparison:
    own, others = [], []
    for evaluation, origin in known:
        rows = list_own_rows(evaluation, origin)
        placed = [found for row in rows if (found := _place(table, evaluation, origin, row)) is not None]
        own += placed
        if not placed:
            name = f"{_name(evaluation, origin)}, {evaluation.path.name}"
            others.append((make_legible(name), _explain(table, evaluation, rows)))
    return PaperComparison(table, tuple(own), tuple(others))


def _locate(evaluation: Evaluation) -> str:
    return make_legible(str(evaluation.path))


def _name(evaluation: Evaluation, origin: Origin) -> str:
    name = make_legible(evaluation.encoder or evaluation.path.stem)
    is_named = origin.run and origin.run not in name
    return f"{name} of {origin.run}" if is_named else name


def _explain(table: PaperTable, evaluation: Evaluation, rows: Sequence[OwnRow]) -> str:
    measured = {measure for column in table.columns for measure in column.measures}
    if not rows:
        return f"measures something else: {explain_absence(evaluation)}"
    tasks = ", ".join(dict.fromkeys(TASKS[measure.task] for measure in sorted(measured)))
    own = ", ".join(dict.fromkeys(TASKS[row.task] for row in rows))
    if {row.task for row in rows} & {measure.task for measure in measured}:
        return f"has none of the numbers of this table ({', '.join(column.name for column in table.columns)})"
    return f"measures something else: {own}, and this table {tasks or 'nothing that unreel measures'}"


def _place(table: PaperTable, evaluation: Evaluation, origin: Origin, row: OwnRow) -> OwnComparison | None:
    """Put numbers of a result into the columns that count the same; None where there is no such column."""
    cells = tuple(_fill(column, row) for column in table.columns)
    if not any(cells):
        return None
    texts = _describe_row(evaluation, origin, row)
    own_row = Row(key=tuple(texts[name] for name in table.row_fields), cells=cells, fields=texts, is_own=True)
    differences, agreements = compare_settings(table, evaluation, origin, row)
    gaps, reason = _find_gaps(table, own_row, origin, count_classes(evaluation))
    return OwnComparison(
        name=f"{_name(evaluation, origin)}, {texts['task']}",
        file=_locate(evaluation),
        row=own_row,
        differences=differences,
        agreements=agreements,
        gaps=gaps,
        reason=reason,
    )


def _fill(column: Column, row: OwnRow) -> Cell | None:
    measure = next((measure for measure in sorted(column.measures) if measure in row.numbers), None)
    if measure is None:
        return None
    value = row.numbers[measure]
    return Cell(value, f"{value:.{4 if row.task == 'similarity' else 1}f}", measure=measure)


def _describe_row(evaluation: Evaluation, origin: Origin, row: OwnRow) -> dict[str, str]:
    level = f", {row.level} level" if row.level else ""
    return {
        "method": f"yours: {_name(evaluation, origin)}",
        "modality": "V",
        "backbone": origin.backbone or "not known",
        "pretrain": "yours" if origin.pretrain else "not known",
        "dataset": "yours",
        "task": f"{TASKS[row.task]}{level}",
        "metric": ", ".join(measure.number for measure in row.numbers),
    }


def _find_peers(table: PaperTable, origin: Origin) -> list[Row]:
    """Return the paper's rows of the method of a run."""
    names = find_rows(origin.method)
    shared = table.shared.get("method")
    return [row for row in table.rows if (row.fields.get("method") or shared) in names]


def _find_gaps(
    table: PaperTable, own: Row, origin: Origin, classes: int | None
) -> tuple[tuple[Gap, ...], str]:
    if not origin.run:
        return (), "no run is given that it is a result of, so its method is not known"
    peers = _find_peers(table, origin)
    if not peers:
        return (), f"the table has no row of the method of {origin.run} ({origin.method or 'not known'})"
    datasets = {_find_field(table, row, "dataset") for row in peers}
    sizes = {name: size.classes for name in datasets if (size := find_published(name)) is not None}
    fitting = [row for row in peers if classes in (None, sizes.get(_find_field(table, row, "dataset")))]
    if not fitting:
        there = ", ".join(f"{name} has {count}" for name, count in sorted(sizes.items()))
        return (), f"{classes} classes were told apart, {there}: another task, and a difference says nothing"
    same = [row for row in fitting if _find_field(table, row, "backbone") == origin.backbone]
    gaps = [Gap(row, points) for row in same or fitting if (points := _subtract(table, own, row))]
    return tuple(gaps), "" if gaps else "the paper's rows of the method have no number in these columns"


def _find_field(table: PaperTable, row: Row, name: str) -> str:
    return row.fields.get(name) or table.shared.get(name, "")


def _subtract(table: PaperTable, own: Row, row: Row) -> dict[str, float]:
    """Subtract number by number, where both count the same: rows of a table may be of several tasks."""
    places = zip(table.columns, own.cells, row.cells, strict=True)
    return {
        column.name: round(mine.value - theirs.value, 4)
        for column, mine, theirs in places
        if mine is not None and theirs is not None and mine.measure == theirs.measure
    }


def name_row(row: Row, table: PaperTable) -> str:
    """Name a row by all that tells it from the others, such as "CACL, C3D, UCF101 split1"."""
    return ", ".join(text for text in row.key if text != "-") or FIELDS[table.row_fields[0]]
