"""The papers' tables as they are read: rows of methods, columns of numbers, marks and notes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unreel.report.paper_protocols import Measure, identify
from unreel.report.paper_results import PaperResult, Status, find_table
from unreel.report.paper_topics import TITLES, find_topic

FIELDS: Mapping[str, str] = {
    "method": "method",
    "modality": "modality",
    "backbone": "backbone",
    "pretrain": "pre-training",
    "dataset": "data set",
    "task": "protocol",
    "metric": "metric",
}
"""Field of a record -> what it is called in a table."""
MARKS: Mapping[Status, str] = {"legible": "", "reconstructed": "~", "ambiguous": "?"}
"""Status -> what stands behind the number."""
LEGEND: Mapping[Status, str] = {
    "legible": "read as printed",
    "reconstructed": "the digits are as printed, their place in the table was found by other means",
    "ambiguous": "the digits are as printed, their place in the table is a guess",
}
"""Status -> what it means."""

_ROWS_NAMED = 4


@dataclass(frozen=True)
class Cell:
    """A number of a table.

    Attributes:
        value: the number, in the paper's unit.
        text: its digits.
        status: how well it could be read.
        measure: what it counts; None where no command of unreel counts the same.
    """

    value: float
    text: str
    status: Status = "legible"
    measure: Measure | None = None

    @property
    def marked(self) -> str:
        """The digits, and the mark of the status."""
        return f"{self.text}{MARKS[self.status]}"


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        name: above it.
        measures: what its numbers count, by kind; empty where no command of unreel counts the same.
    """

    name: str
    measures: frozenset[Measure]


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        key: texts of the table's row fields, in their order.
        cells: one per column, None where there is no number.
        fields: all that is the same for its cells, by name of the field.
        is_own: whether it is no row of the paper.
    """

    key: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    fields: Mapping[str, str]
    is_own: bool = False


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        paper: its name.
        title: of the paper.
        number: of the table, such as "4" or "8a".
        topic: what it is about.
        row_fields: what a row is named by, keys of `FIELDS`.
        columns: of numbers.
        rows: of the paper, in its order.
        shared: fields that all rows have in common, by name in `FIELDS`.
        legend: marks that occur, and what they mean.
        notes: how numbers were found and what is odd about them, and of which rows that is said.
    """

    paper: str
    title: str
    number: str
    topic: str
    row_fields: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shared: Mapping[str, str]
    legend: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Paper and number, such as "CACL, Table 4"."""
        return f"{self.paper}, Table{'s' if '-' in self.number else ''} {self.number}"

    @property
    def facts(self) -> dict[str, str]:
        """What all rows have in common, by what it is called, such as "data set"."""
        return {FIELDS[name]: text for name, text in self.shared.items()}

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the fields of a row, then of the columns."""
        return (*(FIELDS[name] for name in self.row_fields), *(column.name for column in self.columns))

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values."""
        return {
            "paper": self.paper,
            "title": self.title,
            "table": self.number,
            "topic": self.topic,
            "shared": self.facts,
            "columns": [column.name for column in self.columns],
            "rows": [row_to_dict(row, self.columns) for row in self.rows],
            "legend": list(self.legend),
            "notes": list(self.notes),
        }


def row_to_dict(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """Return a row as plain values."""
    pairs = zip(columns, row.cells, strict=True)
    return {
        **{FIELDS[name]: text for name, text in row.fields.items()},
        "numbers": {
            column.name: {"value": cell.value, "text": cell.text, "status": cell.status}
            for column, cell in pairs
            if cell is not None
        },
    }


def build_table(paper: str, table: str) -> PaperTable:
    """Lay out a table of a paper.

    Args:
        paper: its name, in capitals or not.
        table: its number, such as "4".

    Raises:
        ValueError: there is no such paper or table; the message lists those that there are.
    """
    results = find_table(paper, table)
    first, topic = results[0], find_topic(paper, table)
    known = {name: dict.fromkeys(getattr(own, name) for own in results) for name in FIELDS}
    rest = [name for name in FIELDS if name not in topic.across]
    row_fields = tuple(name for name in rest if name == "method" or len(known[name]) > 1)
    if "method" in topic.across:
        row_fields = tuple(name for name in row_fields if name != "method")
    places: dict[tuple[str, ...], dict[tuple[str, ...], PaperResult]] = {}
    for own in results:
        row = places.setdefault(_take(own, rest), {})
        row[_take(own, topic.across)] = own
    columns = _build_columns(results, topic.across)
    return PaperTable(
        paper=first.paper,
        title=TITLES[first.paper],
        number=first.number,
        topic=topic.text,
        row_fields=row_fields,
        columns=tuple(columns.values()),
        rows=tuple(
            Row(
                key=tuple(dict(zip(rest, place, strict=True))[name] or "-" for name in row_fields),
                cells=tuple(_fill(row.get(column)) for column in columns),
                fields=dict(zip(rest, place, strict=True)),
            )
            for place, row in places.items()
        ),
        shared=_find_shared(known, row_fields, topic.across),
        legend=_explain_marks(results),
        notes=(*_collect_notes(results, row_fields), *topic.remarks),
    )


def _take(result: PaperResult, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(getattr(result, name) for name in names)


def _fill(result: PaperResult | None) -> Cell | None:
    return None if result is None else Cell(result.value, result.raw, result.status, identify(result))


def _build_columns(results: Sequence[PaperResult], across: tuple[str, ...]) -> dict[tuple[str, ...], Column]:
    """Return the columns by the values that they stand for; a name has only what differs between columns."""
    places = list(dict.fromkeys(_take(own, across) for own in results))
    varying = [number for number in range(len(across)) if len({place[number] for place in places}) > 1]
    start = _find_common_start([place[0] for place in places]) if varying else 0
    columns = {}
    for place in places:
        parts = [place[number][start if number == 0 else 0 :] for number in varying or [0]]
        measures = {identify(own) for own in results if _take(own, across) == place}
        name = ", ".join(part for part in parts if part)
        columns[place] = Column(name, frozenset(measure for measure in measures if measure is not None))
    return columns


def _find_shared(
    known: Mapping[str, Mapping[str, None]], row_fields: tuple[str, ...], across: tuple[str, ...]
) -> dict[str, str]:
    """Return what holds for all numbers, and so stands in no row and above no column."""
    shared = {name: next(iter(texts)) for name, texts in known.items() if len(texts) == 1}
    if across[0] not in shared:
        names = list(known[across[0]])
        shared[across[0]] = names[0][: _find_common_start(names)].strip(", ")
    return {name: text for name, text in shared.items() if text.strip("-") and name not in row_fields}


def _find_common_start(names: Sequence[str]) -> int:
    """Return how many characters all names begin with, in whole words."""
    first, last = min(names), max(names)
    same = next((place for place, letter in enumerate(first) if letter != last[place]), len(first))
    return first.rfind(" ", 0, same) + 1


def _explain_marks(results: Sequence[PaperResult]) -> tuple[str, ...]:
    statuses = {own.status for own in results}
    if statuses == {"legible"}:
        return ()
    return tuple(f"{MARKS[status] or 'no mark'}: {LEGEND[status]}" for status in LEGEND if status in statuses)


def _collect_notes(results: Sequence[PaperResult], row_fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return every note once, with the rows of which it is said where that is not all."""
    notes = []
    for note in dict.fromkeys(own.note for own in results if own.note):
        noted = [own for own in results if own.note == note]
        if len(noted) == len(results):
            notes.append(note)
            continue
        names = list(dict.fromkeys(", ".join(filter(None, _take(own, row_fields))) for own in noted))
        more = f"; and {len(names) - _ROWS_NAMED} more" if len(names) > _ROWS_NAMED else ""
        notes.append(f"[{'; '.join(names[:_ROWS_NAMED])}{more}] {note}")
    return tuple(notes)
