"""The numbers that the four papers print, as data: one record per cell of their tables."""

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, get_args

from unreel.config import config_from_dict

Status = Literal["legible", "reconstructed", "ambiguous"]
STATUSES: tuple[Status, ...] = get_args(Status)
PAPERS = ("CACL", "VCLR", "SCVRL", "CCL")
"""In the order of the data."""

_FILE = "paper_results.json"
_WORDS_BEFORE_NUMBER = ("tables", "table")


@dataclass(frozen=True)
class PaperResult:
    """A number that a paper prints.

    Attributes:
        paper: one of `PAPERS`.
        table: as the paper calls it, such as "Table 4".
        dataset: that was tested on, with its split where the paper names one.
        protocol: what was done with the network.
        method: of the row.
        backbone: its network.
        pretrain: what the network was trained on before.
        metric: of the column.
        value: the number, in the paper's unit: percent nearly everywhere, cosines in CACL's Table 3.
        raw: its digits as printed.
        status: "legible", the cell could be read; "reconstructed", the digits could be read and their place
            in the table was found by other means; "ambiguous", their place is a guess.
        note: how the place was found, or what is odd about the number.
    """

    paper: str = ""
    table: str = ""
    dataset: str = ""
    protocol: str = ""
    method: str = ""
    backbone: str = ""
    pretrain: str = ""
    metric: str = ""
    value: float = 0.0
    raw: str = ""
    status: Status = "legible"
    note: str = ""

    @property
    def number(self) -> str:
        """Number of the table, such as "4", "8a" or "4-5"; what the text adds to a table belongs to it."""
        return _find_number(self.table)

    @property
    def task(self) -> str:
        """The protocol without the modality of its input."""
        return self.protocol.partition(", modality ")[0]

    @property
    def modality(self) -> str:
        """What the network sees, such as "V" (pictures), "F" (optical flow), "VA" (sound too); often ""."""
        return self.protocol.partition(", modality ")[2]


def _find_number(table: str) -> str:
    words = table.partition("/")[0].lower().split()
    return " ".join(word for word in words if word not in _WORDS_BEFORE_NUMBER)


@functools.cache
def load_paper_results() -> tuple[PaperResult, ...]:
    """Return all records, in the order of the papers.

    Raises:
        ValueError: the data that was installed with the package is damaged.
    """
    text = resources.files("unreel.report").joinpath(_FILE).read_text(encoding="utf-8")
    return parse_paper_results(text)


def parse_paper_results(text: str) -> tuple[PaperResult, ...]:
    """Read records from JSON and check every one.

    Raises:
        ValueError: the text is no list of records, or a record lacks something, has an unknown status or
            paper, a value that is not what was printed, or the place of another.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{_FILE} is no JSON ({error}); install unreel again") from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError(f"{_FILE} must be a list of records; install unreel again")
    results = tuple(_parse(number, value) for number, value in enumerate(values))
    places: dict[tuple[str, ...], int] = {}
    for number, result in enumerate(results):
        first = places.setdefault(_find_place(result), number)
        if first != number:
            raise ValueError(f"{_FILE}: records {first} and {number} have the same place in a table")
    return results


def _parse(number: int, value: dict[str, Any]) -> PaperResult:
    try:
        result = config_from_dict(PaperResult(), value)
    except ValueError as error:
        raise ValueError(f"{_FILE}: record {number}: {error}") from error
    empty = [name for name in PaperResult.__annotations__ if name != "note" and getattr(result, name) == ""]
    if empty or result.paper not in PAPERS:
        raise ValueError(f"{_FILE}: record {number} lacks {', '.join(empty) or 'a known paper'}")
    if not math.isfinite(result.value) or float(result.raw) != result.value:
        raise ValueError(f"{_FILE}: record {number} has value {result.value}, and {result.raw!r} was printed")
    return result


def _find_place(result: PaperResult) -> tuple[str, ...]:
    row = (result.method, result.backbone, result.pretrain, result.dataset)
    return (result.paper, result.number, *row, result.protocol, result.metric)


def list_tables(paper: str) -> tuple[str, ...]:
    """Return the numbers of the tables of a paper, in its order.

    Args:
        paper: its name, in capitals or not.

    Raises:
        ValueError: there is no such paper; the message lists them.
    """
    known = find_paper(paper)
    return tuple(dict.fromkeys(own.number for own in load_paper_results() if own.paper == known))


def find_paper(paper: str) -> str:
    """Return the name of a paper as the data has it.

    Raises:
        ValueError: there is no such paper; the message lists them.
    """
    if paper.upper() not in PAPERS:
        raise ValueError(f"no paper is called {paper!r}; the papers are: {', '.join(PAPERS).lower()}")
    return paper.upper()


def find_table(paper: str, table: str) -> Sequence[PaperResult]:
    """Return the records of a table, in its order.

    Args:
        paper: its name, in capitals or not.
        table: its number, such as "4" or "8a"; "Table 4" will do.

    Raises:
        ValueError: there is no such paper or table; the message lists those that there are.
    """
    known, number = find_paper(paper), _find_number(table)
    found = [own for own in load_paper_results() if own.paper == known and own.number == number]
    if not found:
        raise ValueError(
            f"{known} has no table {table!r} with results; its tables are: {', '.join(list_tables(known))}"
        )
    return found
