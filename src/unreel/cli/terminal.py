"""How commands read their arguments and talk to a person."""

import inspect
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from unreel.legible import make_legible

ArgumentsT = TypeVar("ArgumentsT")

_SECONDS_BETWEEN_LINES = 10.0
_TIME_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def parse_arguments(
    arguments: type[ArgumentsT],
    argv: Sequence[str],
    *,
    command: str,
    description: str,
    example: str,
    default: ArgumentsT | None = None,
) -> ArgumentsT:
    """Parse a command's flags into its dataclass; wrong usage prints the reason and exits with 2.

    Args:
        arguments: frozen dataclass whose field docstrings are the help texts.
        argv: words behind the command's name.
        command: such as ``"scan"`` or ``"evaluate retrieval"``.
        description: first paragraph of the help.
        example: one or more command lines, shown in the help.
        default: values that the flags start from.

    Raises:
        SystemExit: help was asked for (0) or the words make no sense (2).
    """
    parsed: ArgumentsT = tyro.cli(
        arguments,
        args=list(argv),
        prog=f"unreel {command}",
        description=f"{inspect.cleandoc(description)}\n\nExample:\n  {example}",
        default=default if default is not None else tyro.MISSING_NONPROP,
        config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
        if default is None
        else (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
    )
    return parsed


class ProgressBar:
    """A bar with rate and time left on a terminal, a plain line now and then elsewhere.

    Used as ``with ProgressBar("Scanning", unit="videos") as progress: scan_videos(..., progress=progress)``.
    Everything goes to the standard error stream, so that a command's standard output stays clean.

    Args:
        title: what is being done.
        unit: what is counted.
    """

    def __init__(self, title: str, *, unit: str) -> None:
        self._title = title
        self._unit = unit
        self._console = Console(stderr=True, markup=False, highlight=False)
        self._bar: Bar | None = None
        self._started = time.monotonic()
        self._first_done: int | None = None
        self._done = self._total = 0
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None, rate="", note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int, note: str) -> None:
        """Show the state of the job."""
        note = make_legible(note)
        now = time.monotonic()
        if self._first_done is None or total != self._total or done < self._done:  # another part of the job
            self._first_done, self._started = done, now
        self._done, self._total = done, total
        elapsed = now - self._started
        rate = (done - self._first_done) / elapsed if elapsed > 0 else 0.0
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, total=total, rate=f"{rate:.1f} {self._unit}/s", note=note
            )
            return
        if done >= total or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = f", {format_duration((total - done) / rate)} left" if rate > 0 and done < total else ""
            pace = f" ({rate:.1f}/s{left})" if rate > 0 else ""
            note = f" | {note}" if note else ""
            self._console.print(f"{self._title}: {done}/{total} {self._unit}{pace}{note}", soft_wrap=True)


def format_duration(seconds: float) -> str:
    """Write a time span as a person would: ``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = round(seconds)
    for unit, size, smaller, smaller_size in _TIME_UNITS:
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s" if seconds >= 10 or whole == seconds else f"{seconds:.1f} s"


def print_summary(title: str, rows: Mapping[str, object], *, next_steps: Sequence[str] = ()) -> None:
    """Close a command: what was done and skipped, and which command comes next."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(make_legible(title), style="bold")
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        console.print(f"  {name:<{width}}  {make_legible(str(value))}")
    if next_steps:
        console.print("Next:")
        for step in next_steps:
            console.print(f"  {make_legible(step)}")


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns of numbers are aligned right."""
    console = Console(markup=False, highlight=False)
    console.print(make_legible(title), style="bold", soft_wrap=True)
    table = Table()
    for column, name in enumerate(header):
        is_numeric = all(_is_number(row[column]) for row in rows)
        table.add_column(name, justify="right" if is_numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_write_cell, row))
    console.print(table)


def _write_cell(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else make_legible(str(cell))


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def print_warning(text: str) -> None:
    """Say something that the user should know but that stops nothing."""
    _print(f"warning: {text}")


def print_error(text: str) -> None:
    """Say why the command stops."""
    _print(f"error: {text}")


def _print(text: str) -> None:
    print(make_legible(text, keep_lines=True), file=sys.stderr)  # noqa: T201 (this is where the program prints)
