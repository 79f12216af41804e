"""The runs of a folder, read again when their files change."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unreel.errors import TrainingError
from unreel.legible import make_legible
from unreel.report.run_record import RunRecord, find_runs, read_run_record
from unreel.web.problems import Problem, echo

_State = tuple[tuple[str, int, int], ...]


class RunService:
    """Knows the runs of a folder by name: their path in it.

    Args:
        folder: of runs; None where there are none to show.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._records: dict[Path, tuple[_State, RunRecord]] = {}
        self._lock = threading.Lock()

    @property
    def has_runs(self) -> bool:
        """Whether there is a folder of runs."""
        return self._folder is not None

    def names(self) -> dict[str, Path]:
        """Return the runs that there are now: name -> folder."""
        if self._folder is None:
            return {}
        return {_name(run, self._folder): run for run in find_runs(self._folder)}

    def read_all(self) -> dict[str, RunRecord]:
        """Return all runs that can be read, by name."""
        found = {}
        for name, run in self.names().items():
            try:
                found[name] = self._read(run)
            except TrainingError:  # it has gone, or is being written for the first time
                continue
        return found

    def read(self, name: str) -> RunRecord:
        """Return a run by its name; only names of `names` lead to a folder.

        Raises:
            Problem: there is no such run, or it cannot be read (404).
        """
        run = self.names().get(name)
        if run is None:
            raise Problem(
                404, "no_such_run", f"there is no run {echo(name)}", "see /runs for those there are"
            )
        try:
            return self._read(run)
        except TrainingError as error:
            raise Problem(404, "no_such_run", str(error), "see /runs for those there are") from error

    def _read(self, run: Path) -> RunRecord:
        state = _look(run)
        with self._lock:
            known = self._records.get(run)
        if known is not None and known[0] == state:
            return known[1]
        record = read_run_record(run)
        with self._lock:
            self._records[run] = (state, record)
        return record


def _name(run: Path, folder: Path) -> str:
    relative = run.relative_to(folder).as_posix()
    return make_legible(folder.resolve().name if relative == "." else relative)


def _look(run: Path) -> _State:
    """Return sizes and times of a run's files, which tell whether it has changed."""
    paths = [
        *run.iterdir(),
        *(run / part / f"{part}.json" for part in ("encoder", "classifier", "localizer")),
    ]
    found = []
    for path in sorted(paths):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(found)


def find_differences(all_settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings that are not the same everywhere.

    Args:
        all_settings: of every run, nested.

    Returns:
        ``name``, with dots, and ``values``, one per run; None where a run has no such setting.
    """
    flat = [_flatten(settings) for settings in all_settings]
    names = sorted({name for values in flat for name in values})
    rows = [{"name": name, "values": [values.get(name) for values in flat]} for name in names]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
