"""What a run folder says of its run: settings, origin, course, results; finished, cut off or just begun."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.errors import TrainingError
from unreel.legible import make_legible
from unreel.report.evaluation_files import Evaluation, find_evaluations
from unreel.report.result_values import is_number
from unreel.report.run_files import (
    EXPORTED,
    find_figures,
    find_method,
    find_num_steps,
    read_export,
    read_provenance,
    read_rejections,
)
from unreel.report.run_metrics import read_metrics
from unreel.train.run import read_run_recipe
from unreel.train.setup import RECIPE_FILE


@dataclass(frozen=True)
class RunRecord:
    """All that a run folder says, read once; the run may be finished, cut off or still going on.

    Attributes:
        folder: of the run.
        recipe: name of the recipe.
        method: what was trained, such as "cacl", "supervised" or "localization"; "" where nothing says so.
        settings: of the recipe, in groups, as this or another version wrote them.
        provenance: versions, machine, seed and catalog of every part of the run: one, and another for every
            time that it was resumed.
        metrics: by name, a list as long as that of "step", with NaN where there is no number.
        num_steps: steps that the run is to have; None where that is not known yet.
        rejections: videos that were not trained on, by "failed" or "left out", then by reason.
        exported: what the run has left behind: by folder, its description.
        evaluations: results in the folder, of this run.
        other_evaluations: results in the folder, of something else: a yardstick, or weights of old.
        figures: pictures in the folder, and in ``figures`` in it.
        notes: what could not be read, a sentence each.
    """

    folder: Path
    recipe: str
    method: str
    settings: Mapping[str, Any]
    provenance: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, list[float]]
    num_steps: int | None
    rejections: Mapping[str, Mapping[str, int]]
    exported: Mapping[str, Mapping[str, Any]]
    evaluations: tuple[Evaluation, ...] = ()
    other_evaluations: tuple[Evaluation, ...] = ()
    figures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return make_legible(self.folder.resolve().name)

    @property
    def encoder_hash(self) -> str:
        """Of the exported encoder, "" before there is one."""
        return str(self.exported.get("encoder", {}).get("hash", ""))

    @property
    def hashes(self) -> frozenset[str]:
        """Of all that was exported."""
        return frozenset(str(values["hash"]) for values in self.exported.values() if values.get("hash"))

    @property
    def step(self) -> int:
        """The last step that is known of."""
        exported = [values.get("provenance") for values in self.exported.values()]
        steps = [own["step"] for own in exported if isinstance(own, dict) and is_number(own.get("step"))]
        return int(max([*self.metrics.get("step", []), *steps], default=0))

    @property
    def is_finished(self) -> bool:
        """Whether the last step is done and what others use is there."""
        return bool(self.exported) and self.num_steps is not None and self.step >= self.num_steps

    @property
    def status(self) -> str:
        """How far the run is, in words."""
        if self.is_finished:
            return f"finished, {self.step} steps"
        of = f" of {self.num_steps}" if self.num_steps else ""
        return f"not finished: step {self.step}{of}" if self.step else f"just begun: no step{of} yet"

    @property
    def num_failed(self) -> int:
        """Videos that could not be read."""
        return sum(self.rejections.get("failed", {}).values())

    @property
    def num_left_out(self) -> int:
        """Videos that the settings exclude."""
        return sum(self.rejections.get("left out", {}).values())

    def owns(self, evaluation: Evaluation) -> bool:
        """Whether a result is one of this run, as far as its file can tell.

        It is when it names the hash of something that the run has exported; a result of the whole method,
        whose weights are in no exported file, when it names the run, its step, seed and settings; one of the
        classifier under other views, when the classifier says the same of its origin.
        """
        if self.hashes & set(evaluation.hashes):
            return True
        settings = evaluation.settings
        if "weights_hash" in settings:
            own = (self.name, self.recipe, self.step, self.settings.get("method"))
            named = (Path(str(settings.get("run"))).name, settings.get("recipe"), settings.get("step"))
            return own == (*named, settings.get("method"))
        origin = evaluation.measured.get("provenance")
        return bool(origin) and any(origin == own.get("provenance") for own in self.exported.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, ready for JSON: every number is finite, or None."""
        values = {
            "name": self.name,
            "folder": str(self.folder),
            "recipe": self.recipe,
            "method": self.method,
            "status": self.status,
            "is_finished": self.is_finished,
            "step": self.step,
            "num_steps": self.num_steps,
            "encoder_hash": self.encoder_hash,
            "settings": self.settings,
            "provenance": list(self.provenance),
            "metrics": self.metrics,
            "num_failed": self.num_failed,
            "num_left_out": self.num_left_out,
            "rejections": self.rejections,
            "evaluations": [own.to_dict() for own in self.evaluations],
            "other_evaluations": [other.to_dict() for other in self.other_evaluations],
            "figures": [path.name for path in self.figures],
            "notes": list(self.notes),
        }
        return {name: _to_plain(value) for name, value in values.items()}


def read_run_record(run: Path) -> RunRecord:
    """Read a run folder, of any command that trains; what is missing or damaged is noted, not fatal.

    Args:
        run: the folder.

    Raises:
        TrainingError: the folder holds no run.
    """
    recipe, settings = read_run_recipe(run)
    if not isinstance(settings, dict):
        raise TrainingError(f"{run / RECIPE_FILE} cannot be read: its settings are no settings")
    notes: list[str] = []
    exported = {name: values for name in EXPORTED if (values := read_export(run / name, notes.append))}
    metrics = read_metrics(run, warn=notes.append)
    record = RunRecord(
        folder=run,
        recipe=recipe,
        method=find_method(recipe, exported),
        settings=settings,
        provenance=read_provenance(run, notes.append),
        metrics=metrics,
        num_steps=find_num_steps(settings, metrics, exported),
        rejections=read_rejections(run, notes.append),
        exported=exported,
    )
    evaluations = find_evaluations(run, warn=notes.append)
    is_own = [record.owns(found) or found.is_of_its_folder for found in evaluations]
    return RunRecord(
        **{
            **vars(record),
            "evaluations": tuple(item for item, own in zip(evaluations, is_own, strict=True) if own),
            "other_evaluations": tuple(
                item for item, own in zip(evaluations, is_own, strict=True) if not own
            ),
            "figures": tuple(find_figures(run)),
            "notes": tuple(map(make_legible, notes)),
        }
    )


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders in a folder, itself and those at most two levels deeper, by name."""
    found = [
        path.parent
        for pattern in (RECIPE_FILE, f"*/{RECIPE_FILE}", f"*/*/{RECIPE_FILE}")
        for path in folder.glob(pattern)
    ]
    return sorted(set(found))


def _to_plain(value: object, depth: int = 20) -> Any:  # noqa: ANN401 (JSON is any value)
    if isinstance(value, (dict, list, tuple)) and not depth:
        return "..."
    if isinstance(value, dict):
        return {make_legible(str(name)): _to_plain(own, depth - 1) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(own, depth - 1) for own in value]
    if isinstance(value, str):
        return make_legible(value, keep_lines=True)
    return None if isinstance(value, float) and not math.isfinite(value) else value
