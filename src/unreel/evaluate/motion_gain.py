"""Does one encoder gain on another in the classes in which there is much motion?

Motion is that of `unreel motion`: edges of the flow, which a camera that pans does not make. Table 3 of SCVRL
has the magnitude of the flow, which it does, so the two order classes differently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unreel.config import config_from_dict, config_to_dict
from unreel.data.catalog import Catalog
from unreel.data.motion_table import MotionTable
from unreel.errors import CatalogError, FeaturesError
from unreel.evaluate.motion_gain_results import ClassAccuracies
from unreel.evaluate.ranking import Target
from unreel.runs import read_json

# V videos, X classes


@dataclass(frozen=True)
class ClassGain:
    """What one class gains, and how much it moves.

    Attributes:
        name: of the class.
        queries: videos, or clips, that were tested.
        first: accuracy of the first encoder, in [0, 1].
        second: of the second one.
        motion: median over the videos of the class of the median over their windows; None where no video of
            the class could be measured.
        normalized_motion: ``motion``, 0 in the class that moves least and 1 in the one that moves most.
        measured: videos that the median is over.
        unmeasured: videos of the class whose motion could not be measured.
    """

    name: str = ""
    queries: int = 0
    first: float = 0.0
    second: float = 0.0
    motion: float | None = None
    normalized_motion: float | None = None
    measured: int = 0
    unmeasured: int = 0

    @property
    def gain(self) -> float:
        """How much better the second encoder is."""
        return self.second - self.first


@dataclass(frozen=True)
class MotionGain:
    """Gain and motion of all classes.

    Attributes:
        first: name of the encoder that is the yardstick.
        second: name of the one that may gain.
        classes: largest gain first; of equal gains, the name.
        differences: settings in which the two results differ.
        settings: what was compared, and how.
    """

    first: str
    second: str
    classes: tuple[ClassGain, ...]
    differences: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def with_motion(self) -> tuple[ClassGain, ...]:
        """The classes whose motion is known."""
        return tuple(own for own in self.classes if own.motion is not None)

    @property
    def mean_gain(self) -> float:
        """Mean over all classes."""
        return float(np.mean([own.gain for own in self.classes]))

    @property
    def correlation(self) -> float | None:
        """Rank correlation of gain and motion over the classes; None where one of them does not vary."""
        known = self.with_motion
        return rank_correlation([own.gain for own in known], [own.motion or 0.0 for own in known])

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "protocol": "motion-gain",
            **config_to_dict(self),
            "classes": [{**config_to_dict(own), "gain": own.gain} for own in self.classes],
            "mean_gain": self.mean_gain,
            "correlation": self.correlation,
        }

    @classmethod
    def load(cls, path: Path) -> "MotionGain":
        """Read what `unreel evaluate motion-gain` wrote.

        Raises:
            FeaturesError: the file is missing, or is something else.
        """
        try:
            values = read_json(Path(path))
            if values["protocol"] != "motion-gain":
                raise ValueError(f"a result of {values['protocol']}")
            for own in values["classes"]:
                del own["gain"]
            classes = tuple(config_from_dict(ClassGain(), own) for own in values["classes"])
            settings, differences = values["settings"], tuple(values["differences"])
            return cls(values["first"], values["second"], classes, differences, settings)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FeaturesError(
                f"{path} is no result of `unreel evaluate motion-gain` ({error}); write one with --out"
            ) from error


def compare_by_motion(
    first: ClassAccuracies, second: ClassAccuracies, catalog: Catalog, table: MotionTable, *, split: str = ""
) -> MotionGain:
    """Set what a second encoder gains in every class beside how much moves in the class.

    Args:
        first: accuracies of the encoder that is the yardstick.
        second: of the one that may gain.
        catalog: the videos of the classes.
        table: their motion.
        split: part of the catalog that a class's motion is taken from, "" for all.

    Raises:
        CatalogError: the catalog lacks the split or a class, or the table lacks videos.
        FeaturesError: the two were not measured on the same videos in the same way.

    Reference: SCVRL, table 3.
    """
    first.check_fits(second)
    names = sorted(first.accuracy_by_class)
    moved = measure_class_motion(catalog.select(split), table, first.fitting["by"])
    missing = [name for name in names if name not in moved]
    if missing:
        raise CatalogError(
            f"the catalog has no video of {missing[0]!r}, which was tested; give the catalog that the "
            "features were extracted from"
        )
    known = {name: [value for value in moved[name] if value is not None] for name in names}
    medians = {name: float(np.median(values)) for name, values in known.items() if values}
    low, high = min(medians.values(), default=0.0), max(medians.values(), default=0.0)
    span = (high - low) or 1.0
    classes = [
        ClassGain(
            name=name,
            queries=first.queries_by_class[name],
            first=first.accuracy_by_class[name],
            second=second.accuracy_by_class[name],
            motion=medians.get(name),
            normalized_motion=(medians[name] - low) / span if name in medians else None,
            measured=len(known[name]),
            unmeasured=len(moved[name]) - len(known[name]),
        )
        for name in names
    ]
    return MotionGain(
        first=first.encoder,
        second=second.encoder,
        classes=tuple(sorted(classes, key=lambda own: (-own.gain, own.name))),
        differences=tuple(first.find_differences(second)),
        settings={
            **first.fitting,
            "first": first.source,
            "second": second.source,
            "motion_split": split,
            "motion": config_to_dict(table.config),
            "catalog_hash": catalog.hash,
        },
    )


def measure_class_motion(catalog: Catalog, table: MotionTable, by: Target) -> dict[str, list[float | None]]:
    """Return the motion of every video of every class: the median over its windows, None where not known.

    Args:
        catalog: the videos; those without a class are left out.
        table: their motion.
        by: the column that is the class.

    Raises:
        CatalogError: the table lacks a video that has a class, or was measured before the video changed.
    """
    classes = catalog.labels if by == "label" else catalog.groups
    values = table.rows["motion"].combine_chunks()
    moved: dict[str, list[float | None]] = {}
    for row, (name, found) in enumerate(zip(classes, table.find_rows(catalog).tolist(), strict=True)):
        if not name:
            continue
        if found < 0:
            raise CatalogError(
                f"the table of motion lacks {catalog.video(row).path}, or the video has changed; run "
                "`unreel motion` on this catalog again, which measures what is missing"
            )
        motion = values[found].values
        moved.setdefault(name, []).append(None if motion is None else float(np.median(motion.to_numpy())))
    return moved


def rank_correlation(first_X: Sequence[float], second_X: Sequence[float]) -> float | None:
    """Return Spearman's correlation: Pearson's of the ranks, in [-1, 1]; equal numbers share their mean rank.

    None where one of the two does not vary, or there are fewer than two numbers.
    """
    if len(first_X) < 2:
        return None
    first, second = (ranks - ranks.mean() for ranks in (rank_numbers(first_X), rank_numbers(second_X)))
    lengths = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / lengths if lengths > 0 else None


def rank_numbers(numbers_X: ArrayLike) -> NDArray[np.float64]:
    """Return the rank of every number, counted from 1; equal numbers share the mean of their ranks."""
    _, place_X, counts = np.unique(np.asarray(numbers_X), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks_X: NDArray[np.float64] = (last - (counts - 1) / 2)[place_X]
    return ranks_X
