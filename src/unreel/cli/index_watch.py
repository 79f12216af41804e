"""What `unreel index --watch` shows, and how Ctrl-C and SIGTERM end it."""

import dataclasses
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from unreel.cli.terminal import format_duration, print_summary
from unreel.features.encoder import Encoder
from unreel.features.pooling import Pooling
from unreel.features.reading import ReadConfig
from unreel.legible import make_legible
from unreel.search.folder_watcher import WatchStatus
from unreel.search.watch import WatchConfig, WatchSummary, watch_folder

_SECONDS_BETWEEN_LINES = 10.0


def run_watch(
    folder: Path,
    out: Path,
    encoder: Encoder,
    *,
    encoder_folder: str,
    pooling: Pooling,
    read: ReadConfig,
    config: WatchConfig,
    is_json: bool,
) -> None:
    """Watch a folder until Ctrl-C or SIGTERM, telling what happens, and print a summary."""
    with _stop_signals() as stop, WatchDisplay(folder) as display:
        summary = watch_folder(
            folder,
            out,
            encoder,
            encoder_folder=encoder_folder,
            pooling=pooling,
            read=read,
            config=config,
            stop=stop,
            report=display.report,
            progress=display.advance,
        )
    if is_json:
        values = dataclasses.asdict(summary)
        sys.stdout.write(json.dumps(values, indent=2, default=str, ensure_ascii=False) + "\n")
        return
    _print(summary)


class WatchDisplay:
    """One line that is kept up to date on a terminal, a line per change elsewhere.

    Everything goes to the standard error stream.

    Args:
        folder: as the user calls it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.join(folder, "")
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._exits = ExitStack()
        self._line: Status | None = None
        self._status: WatchStatus | None = None
        self._changed_at = ""
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._line = self._exits.enter_context(self._console.status(self._describe("starting")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def report(self, status: WatchStatus) -> None:
        """Show what a look at the folder found."""
        now = time.strftime("%H:%M:%S")
        if status.messages:
            self._changed_at = now
        is_first, self._status = self._status is None, status
        if is_first and self._line is None:
            self._print(self._describe(_count(status)))
        for message in status.messages:
            self._print(f"{now} {message}")
        self._update(_count(status))

    def advance(self, done: int, total: int, note: str) -> None:
        """Show how far a round of work is; a short one is not worth a line of its own."""
        text = f"{done}/{total} files{f', {note}' if note else ''}"
        self._update(text)
        if (
            self._line is None
            and done < total
            and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES
        ):
            self._print(self._describe(text))

    def _describe(self, text: str) -> str:
        changed = f"; last change {self._changed_at}" if self._changed_at else ""
        return f"watching {self._folder}: {text}{changed}"

    def _update(self, text: str) -> None:
        if self._line is not None:
            self._line.update(make_legible(self._describe(text)).replace("[", r"\["))

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(make_legible(text))


def _count(status: WatchStatus) -> str:
    return f"{status.videos} videos, {status.waiting} waiting, {status.rejected} rejected"


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Have Ctrl-C and SIGTERM ask for the end, and Ctrl-C again demand it."""
    stop, owner = threading.Event(), os.getpid()

    def ask(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:
            return  # a decoding worker; its parent ends it
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        # Not set here: the thread that was interrupted may hold the event's own lock.
        threading.Thread(target=stop.set, daemon=True).start()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(summary: WatchSummary) -> None:
    rows: dict[str, object] = {
        "watched": f"{summary.folder} for {format_duration(summary.seconds)}",
        "changes": f"{summary.added} added, {summary.replaced} replaced, {summary.dropped} dropped",
        "in the index": f"{summary.videos} videos",
    }
    if summary.waiting:
        rows["waiting"] = f"{summary.waiting} files were not whole yet; the same command goes on with them"
    if summary.rejected:
        rows["rejected"] = (
            f"{summary.rejected} files; {summary.rejected_path} lists those that cannot be read"
        )
    out = shlex.quote(str(summary.out))
    next_steps = [f"unreel search VIDEO --index {out}", f"unreel serve --index {out}"]
    print_summary(f"Index {summary.out}", rows, next_steps=next_steps if summary.videos else [])
