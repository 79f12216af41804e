"""Results of `unreel evaluate`, from their files: what was measured of what, as plain numbers with names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unreel.errors import FeaturesError
from unreel.legible import make_legible
from unreel.progress import Warn, ignore_warning
from unreel.report.result_values import (
    as_list,
    as_mapping,
    find_confusion,
    find_hashes,
    is_number,
    list_classes,
    list_numbers,
)
from unreel.runs import read_json

LARGEST_FILE_MB = 64
"""Larger files are no results: the largest, a confusion of 1000 classes, have a few."""

_OF_SEVERAL = ("motion-gain",)
"""Protocols that compare two encoders."""
_FILES_OF_RUNS = {"recipe.json", "provenance.json"}


@dataclass(frozen=True)
class Evaluation:
    """One measurement of one encoder, classifier or run.

    Attributes:
        path: the file.
        protocol: by which it was measured, such as "retrieval"; of an average over splits, that of its parts.
        encoder_hash: of what was measured; "" where the file does not say.
        settings: what was compared, and how; ``features`` and ``model`` in it say of what.
        numbers: by dotted name, such as "video.recall.5", "video.top1", "svm.difference" or, of low-shot, the
            share of the labels, "10 %.mean". Shares are in [0, 1]. Those of single classes are left out.
        confusion: counts by true class, then by predicted class; pairs that do not occur are left out.
        classes: of the confusion, in the order of the file.
        encoder: name of what was measured.
        hashes: all that the file names, by any of which a run may know it as its own.
        num_averaged: results of which these are the means, 1 for a single one.
    """

    path: Path
    protocol: str
    encoder_hash: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    confusion: Mapping[str, Mapping[str, int]] | None = None
    classes: tuple[str, ...] = ()
    encoder: str = ""
    hashes: tuple[str, ...] = field(default=(), repr=False)
    num_averaged: int = 1

    @property
    def measured(self) -> Mapping[str, Any]:
        """How the vectors were made (pooling, clips per video, ...), or which model it was; else empty."""
        for name in ("features", "model"):
            if isinstance(self.settings.get(name), dict):
                return self.settings[name]  # type: ignore[no-any-return]
        return {}

    @property
    def is_of_its_folder(self) -> bool:
        """Whether, lying in a run's folder, it speaks of that run for want of any other name."""
        return not self.hashes and self.num_averaged == 1 and self.protocol not in _OF_SEVERAL

    def to_dict(self) -> dict[str, Any]:
        """Return the measurement as plain values, without settings."""
        return {
            "path": make_legible(str(self.path)),
            "protocol": make_legible(self.protocol),
            "encoder": make_legible(self.encoder),
            "encoder_hash": make_legible(self.encoder_hash),
            "num_averaged": self.num_averaged,
            "numbers": {make_legible(name): number for name, number in self.numbers.items()},
        }


def read_evaluations(files: Sequence[Path], *, warn: Warn = ignore_warning) -> list[Evaluation]:
    """Read results; a file that is none is named, and left out.

    Args:
        files: what `unreel evaluate PROTOCOL --out` wrote, by any version.
        warn: told of every file that cannot be used, and why.
    """
    found = []
    for path in files:
        try:
            found += parse_evaluation(path, _read(path))
        except FeaturesError as error:
            warn(str(error))
    return found


def find_evaluations(run: Path, *, warn: Warn = ignore_warning) -> list[Evaluation]:
    """Read the results that lie in a run's folder or in its folder ``evaluations``, by name.

    JSON files of another kind may lie there too: they are passed over.

    Args:
        run: the folder.
        warn: told of every file that cannot be read.
    """
    files = [path for folder in (run, run / "evaluations") for path in sorted(folder.glob("*.json"))]
    found = []
    for path in files:
        try:
            if path.name not in _FILES_OF_RUNS and path.is_file() and _is_result(values := _read(path)):
                found += parse_evaluation(path, values)
        except FeaturesError as error:
            warn(str(error))
    return found


def _read(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST_FILE_MB * 1e6:
            raise ValueError(f"it is larger than {LARGEST_FILE_MB} MB")
        return read_json(path)
    except (OSError, ValueError) as error:
        raise FeaturesError(
            f"{path} cannot be read as a result ({error}); write one with `unreel evaluate PROTOCOL --out`"
        ) from error


def _is_result(values: object) -> bool:
    return isinstance(values, dict) and isinstance(values.get("protocol"), str)


def parse_evaluation(path: Path, values: object) -> list[Evaluation]:
    """Return what a result says: one measurement, or of low-shot one per encoder.

    Args:
        path: of the file, for messages.
        values: what it holds.

    Raises:
        FeaturesError: it is no result.
    """
    if not isinstance(values, dict) or not _is_result(values):
        raise FeaturesError(f"{path} is no result; give a file that `unreel evaluate PROTOCOL --out` wrote")
    settings = {**as_mapping(values.get("settings"))}
    for name in ("features", "model"):
        if isinstance(values.get(name), dict):
            settings[name] = values[name]
    if values["protocol"] == "low-shot":
        return _parse_curves(path, values, settings)
    if values["protocol"] == "average":
        return [_parse_average(path, values)]
    is_pair = values["protocol"] in _OF_SEVERAL
    hashes = () if is_pair else tuple(find_hashes({"settings": settings}))
    confusion = find_confusion(values)
    return [
        Evaluation(
            path=path,
            protocol=values["protocol"],
            encoder_hash=hashes[0] if hashes else "",
            settings=settings,
            numbers=list_numbers(values),
            confusion=confusion,
            classes=list_classes(confusion or {}),
            encoder=f"{values.get('first')} to {values.get('second')}" if is_pair else _find_name(settings),
            hashes=hashes,
        )
    ]


def _parse_curves(path: Path, values: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Evaluation]:
    curves = [curve for curve in as_list(values.get("curves")) if isinstance(curve, dict)]
    tables = as_list(settings.get("features"))
    found = []
    for number, curve in enumerate(curves):
        features = as_mapping(tables[number]) if len(tables) == len(curves) else {}
        points = [point for point in as_list(curve.get("points")) if isinstance(point, dict)]
        numbers = {
            f"{100 * point['fraction']:g} %.{name}": float(point[name])
            for point in points
            for name in ("mean", "deviation")
            if is_number(point.get("fraction")) and is_number(point.get(name))
        }
        hashes = tuple(find_hashes(features))
        found.append(
            Evaluation(
                path=path,
                protocol="low-shot",
                encoder_hash=hashes[0] if hashes else "",
                settings={**settings, "features": features},
                numbers=numbers,
                encoder=str(features.get("encoder") or curve.get("name") or ""),
                hashes=hashes,
            )
        )
    return found


def _parse_average(path: Path, values: Mapping[str, Any]) -> Evaluation:
    spreads = {
        name: spread
        for name, spread in as_mapping(values.get("numbers")).items()
        if isinstance(spread, dict) and is_number(spread.get("mean")) and "by_class" not in name
    }
    numbers = {name: float(spread["mean"]) for name, spread in spreads.items() if "confusion" not in name}
    sources = as_list(values.get("sources"))
    return Evaluation(
        path=path,
        protocol=str(values.get("averaged_protocol")),
        encoder_hash="",
        settings={
            "sources": sources,
            "splits": values.get("splits"),
            "differences": values.get("differences"),
        },
        numbers=numbers,
        encoder=f"mean of {len(sources)} results",
        num_averaged=max(len(sources), 1),
    )


def _find_name(settings: Mapping[str, Any]) -> str:
    names = (
        as_mapping(settings.get("features")).get("encoder"),
        as_mapping(settings.get("model")).get("name"),
        settings.get("encoder"),
        Path(str(settings["run"])).name if settings.get("run") else None,
    )
    return next((str(name) for name in names if name), "")
