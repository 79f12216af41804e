"""Accuracies by class, read from results of other protocols or measured from features."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.errors import FeaturesError
from unreel.evaluate.ranking import Level
from unreel.evaluate.svm import evaluate_svm
from unreel.features.table import FeatureTable
from unreel.runs import read_json

_FITTING = ("protocol", "level", "k", "by", "query_split", "gallery_split")
"""What two results must have in common; other settings may differ, and are named."""


@dataclass(frozen=True)
class ClassAccuracies:
    """How well one encoder does, class by class.

    Attributes:
        source: file that this was read from.
        encoder: its name.
        accuracy_by_class: in [0, 1].
        queries_by_class: how many videos, or clips, were tested.
        fitting: what another result must have in common with this one.
        settings: what else it depends on.
    """

    source: str
    encoder: str
    accuracy_by_class: dict[str, float]
    queries_by_class: dict[str, int]
    fitting: dict[str, Any]
    settings: dict[str, Any]

    @classmethod
    def load(cls, path: Path, *, level: Level = "video", k: int = 1) -> "ClassAccuracies":
        """Read a result of `evaluate svm`, `linear` or `retrieval`, or fit an SVM to a table of features.

        Args:
            path: ends in .json, or else is a table of features.
            level: videos or clips.
            k: number of neighbours, of a result of retrieval.

        Raises:
            FeaturesError: the file is missing, is no such result, or lacks the level or k; or the features
                have no labels or splits to learn from.
        """
        path = Path(path)
        if path.suffix.lower() != ".json":
            values = evaluate_svm(FeatureTable.load(path), level=level).to_json()
            return cls.from_json(values, str(path), level=level, k=k)
        try:
            values = read_json(path)
        except (OSError, ValueError) as error:
            raise FeaturesError(
                f"{path} cannot be read as a result ({error}); write one with `unreel evaluate svm --out`"
            ) from error
        return cls.from_json(values, str(path), level=level, k=k)

    @classmethod
    def from_json(cls, values: Any, source: str, *, level: Level = "video", k: int = 1) -> "ClassAccuracies":  # noqa: ANN401
        """Take the accuracies from the plain values of a result.

        Raises:
            FeaturesError: they are no such result, or lack the level or k.
        """
        protocol = values.get("protocol") if isinstance(values, dict) else None
        if protocol not in ("svm", "linear", "retrieval"):
            raise FeaturesError(
                f"{source} is no result with accuracies by class; give what `unreel evaluate svm --out`, "
                "`linear --out` or `retrieval --out` wrote, or a table of features"
            )
        try:
            return cls._take(values, source, level, k)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FeaturesError(
                f"{source} is damaged or not whole ({type(error).__name__}: {error}); write it again with "
                f"`unreel evaluate {protocol} --out`"
            ) from error

    @classmethod
    def _take(cls, values: Mapping[str, Any], source: str, level: Level, k: int) -> "ClassAccuracies":
        protocol = values["protocol"]
        levels: Mapping[str, Any] = values["levels"]
        if level not in levels:
            raise FeaturesError(
                f"{source} has no level {level!r}, only {', '.join(levels)}; choose another --level"
            )
        found, settings = levels[level], values["settings"]
        queries: dict[str, int] = dict(found["queries_by_class"])
        if protocol != "retrieval":
            accuracy: dict[str, float] = dict(found["accuracy_by_class"])
        else:
            accuracy = _take_recall(found, k, source)
        fitting = {"protocol": protocol, "level": level, "k": k if protocol == "retrieval" else None}
        fitting |= {name: settings[name] for name in ("by", "query_split", "gallery_split")}
        features = values["features"]
        own = {"encoder", "encoder_hash", "dimension", "root", "split"}
        return cls(
            source=source,
            encoder=features["encoder"],
            accuracy_by_class=accuracy,
            queries_by_class=queries,
            fitting=fitting,
            settings={
                **{name: value for name, value in settings.items() if name not in fitting},
                **{name: value for name, value in features.items() if name not in own},
            },
        )

    def check_fits(self, other: "ClassAccuracies") -> None:
        """Refuse another result that was not measured on the same videos in the same way.

        Raises:
            FeaturesError: it was not.
        """
        for name in _FITTING:
            if self.fitting[name] != other.fitting[name]:
                raise FeaturesError(
                    f"{name} is {self.fitting[name]!r} in {self.source} and {other.fitting[name]!r} in "
                    f"{other.source}; measure both in the same way"
                )
        if self.queries_by_class != other.queries_by_class:
            name = next(
                name
                for name in sorted({*self.queries_by_class, *other.queries_by_class})
                if self.queries_by_class.get(name) != other.queries_by_class.get(name)
            )
            raise FeaturesError(
                f"{self.queries_by_class.get(name, 0)} of {name!r} were tested in {self.source} and "
                f"{other.queries_by_class.get(name, 0)} in {other.source}; measure both on the same videos"
            )

    def find_differences(self, other: "ClassAccuracies") -> list[str]:
        """Return the settings in which two results differ, as ``name: own, not other's``."""
        names = sorted({*self.settings, *other.settings})
        return [
            f"{name}: {self.settings.get(name)!r}, not {other.settings.get(name)!r}"
            for name in names
            if self.settings.get(name) != other.settings.get(name)
        ]


def _take_recall(found: Mapping[str, Any], k: int, source: str) -> dict[str, float]:
    # In a file the ks have become words.
    by_class = {
        name: {int(number): share for number, share in own.items()}
        for name, own in found["recall_by_class"].items()
    }
    known = sorted({number for own in by_class.values() for number in own})
    if k not in known:
        raise FeaturesError(f"{source} has no recall@{k}, only k = {', '.join(map(str, known))}; choose --k")
    return {name: own[k] for name, own in by_class.items()}
