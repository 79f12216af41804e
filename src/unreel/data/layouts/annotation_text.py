"""Read annotation files that may be broken or hostile; what is wrong is named with its place."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from unreel.errors import CatalogError

KindT = TypeVar("KindT")


def read_text(path: Path) -> str:
    """Return what a file holds.

    Raises:
        CatalogError: it cannot be opened.
        ValueError: it is not UTF-8; names the place.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, byte {error.start}: is not UTF-8 text; download the file again") from error


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield file and line number, and the line, for lines that are not empty."""
    for number, line in enumerate(re.split("\r\n?|\n", read_text(path)), start=1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield file and line number, and the cells by column, for every row of a CSV file with a header.

    Raises:
        ValueError: one of ``columns`` is missing, or the file is no CSV.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(
                f"{path}, line 1: the header has no column {missing[0]!r}, only "
                f"{', '.join(header) or 'nothing'}; download the file again"
            )
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if len(row) not in (0, len(header)):
                raise ValueError(f"{where}: has {len(row)} cells but the header {len(header)}")
            if row:
                yield where, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: is not CSV ({error}); check the quotes") from error


def read_json(path: Path, kind: type[KindT]) -> KindT:
    """Return what a JSON file holds.

    Args:
        path: the file.
        kind: ``dict`` or ``list``, what it should hold.

    Raises:
        CatalogError: it cannot be opened.
        ValueError: it is broken or holds something else; names the place.
    """
    text = read_text(path)
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}, column {error.colno}: is not JSON ({error.msg}); download the "
            "file again"
        ) from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets in brackets
        raise ValueError(f"{path}: holds no annotations ({error}); download the file again") from error
    return expect(value, kind, str(path))


def expect(value: object, kind: type[KindT], where: str) -> KindT:
    """Return a value of a JSON file when it is of the kind that it should be.

    Raises:
        ValueError: it is of another kind.
    """
    if not isinstance(value, kind):
        raise ValueError(
            f"{where}: expected a {kind.__name__}, got {type(value).__name__}; download the file again"
        )
    return value


def take(entry: object, key: str, where: str) -> str:
    """Return a text or whole number of an entry of a JSON file as text.

    Raises:
        ValueError: the entry has no such key, or something else there.
    """
    value = expect(entry, dict, where).get(key)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{where}: has no text or number {key!r}; download the file again")
    return str(value).strip()


def check_name(name: str, where: str, *, what: str = "name", has_folder: bool = False) -> str:
    """Return a name that an annotation file gives, when as a path it stays below the sources.

    Args:
        name: of a file, with or without ending, or of a class, which names a folder.
        where: file and line, for the message.
        what: is named, for the message.
        has_folder: whether folders may stand before it.

    Raises:
        ValueError: it is empty, absolute, climbs out of its folder or cannot be printed.
    """
    parts = name.split("/")
    is_odd = {"", ".", ".."} & set(parts) or "\\" in name or not name.isprintable()
    if is_odd or (len(parts) > 1 and not has_folder):
        raise ValueError(
            f"{where}: {name!r} is no {what} as the data set has them; such annotations are not used, get "
            "them from where they are published"
        )
    return name
