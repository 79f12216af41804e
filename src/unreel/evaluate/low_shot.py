"""Few labels: how well do classes become known from a part of the training videos?"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unreel.config import config_to_dict
from unreel.progress import Progress, ignore_progress

Metric = Literal["top1", "mean_class", "macro_f_measure"]
"""What is compared."""

TEST_FACTS = ("queries", "classes", "chance")
"""What the settings of a result say of its test, as `Accuracy` has it: the same for every share, since every
share has all classes."""


@dataclass(frozen=True)
class LowShotConfig:
    """Which parts of the training videos are learned from.

    Raises:
        ValueError: a share is out of range, or a share or seed comes twice.
    """

    fractions: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    """Shares of the videos of every class, one video at least; each smaller choice is part of the larger."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the choice; every share is learned once per seed."""
    metric: Metric = "top1"
    """What is compared: accuracy, its mean over the classes, or the macro F-measure."""

    def __post_init__(self) -> None:
        if not self.fractions or not all(0 < fraction <= 1 for fraction in self.fractions):
            raise ValueError(
                f"fractions must be one or more shares above 0 and at most 1, got {list(self.fractions)}"
            )
        for name, values in (("fractions", self.fractions), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be one or more, each different, got {list(values)}")


@dataclass(frozen=True)
class LowShotPoint:
    """What one share of the videos gives.

    Attributes:
        fraction: the share, of every class.
        videos: labelled videos that were learned from, by seed.
        values: what was reached on the test videos, in [0, 1], by seed.
    """

    fraction: float
    videos: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds, with n - 1 below the root; 0 with one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class LowShotCurve:
    """What an encoder reaches with few labels and with many.

    Attributes:
        name: of the encoder.
        points: by share, ascending.
    """

    name: str
    points: tuple[LowShotPoint, ...]


@dataclass(frozen=True)
class LowShotResult:
    """What one or more encoders reach.

    Attributes:
        curves: of every encoder, in the order in which they were given.
        settings: what was compared, and how.
        seconds: duration.
    """

    curves: tuple[LowShotCurve, ...]
    settings: dict[str, Any]
    seconds: float

    @property
    def relative_gains(self) -> dict[str, list[float | None]]:
        """What the first encoder has more than each other one, as share of what it has, by share of labels.

        None where the first has nothing. This is how SCVRL's Table 7 counts: (A - B) / A, not (A - B) / B.
        """
        first, *others = self.curves
        return {
            other.name: [
                (own.mean - theirs.mean) / own.mean if own.mean > 0 else None
                for own, theirs in zip(first.points, other.points, strict=True)
            ]
            for other in others
        }

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "protocol": "low-shot",
            "settings": self.settings,
            "curves": [
                {
                    "name": curve.name,
                    "points": [
                        {**config_to_dict(point), "mean": point.mean, "deviation": point.deviation}
                        for point in curve.points
                    ],
                }
                for curve in self.curves
            ],
            "relative_gains": self.relative_gains,
            "seconds": self.seconds,
        }


Measure = Callable[[int, float, int], tuple[int, float]]
"""Called as ``measure(number of the encoder, fraction, seed)``; returns how many videos were learned from,
and what was reached."""


def measure_curves(
    names: Sequence[str], config: LowShotConfig, measure: Measure, *, progress: Progress = ignore_progress
) -> tuple[LowShotCurve, ...]:
    """Measure every encoder with every share and seed, from few videos to many.

    Args:
        names: of the encoders, each different.
        config: shares and seeds.
        measure: learns and tests.
        progress: is told the number of measurements done.

    Raises:
        ValueError: there is no name, or one comes twice.

    Reference: SCVRL, section 4.4 and Table 7.
    """
    if not names or len(set(names)) < len(names):
        raise ValueError(f"encoders must be one or more with different names, got {list(names)}")
    total = len(names) * len(config.fractions) * len(config.seeds)
    done, points = 0, {}
    for fraction in sorted(config.fractions):
        for number, name in enumerate(names):
            found = []
            for seed in config.seeds:
                progress(done, total, f"{name}, {100 * fraction:g} % of the labels, seed {seed}")
                found.append(measure(number, fraction, seed))
                done += 1
            videos, values = zip(*found, strict=True)
            points[number, fraction] = LowShotPoint(fraction, videos, values)
    progress(done, total, "")
    return tuple(
        LowShotCurve(name, tuple(points[number, fraction] for fraction in sorted(config.fractions)))
        for number, name in enumerate(names)
    )
