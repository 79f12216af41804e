"""Few labels with encoders that stay as they are: an SVM or a linear layer learns from their features."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.subset import choose_fraction
from unreel.errors import FeaturesError
from unreel.evaluate.accuracy import Accuracy
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.linear_probe import Average, evaluate_linear
from unreel.evaluate.low_shot import TEST_FACTS, LowShotConfig, LowShotResult, measure_curves
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.ranking import Level, RankingConfig, describe_settings
from unreel.evaluate.svm import evaluate_svm
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress


@dataclass(frozen=True)
class FeatureLearning:
    """How classes are learned from features.

    Raises:
        ValueError: clips are to be averaged where there are none.
    """

    learner: SVMConfig | LinearProbeConfig
    """What is fitted: linear SVMs, or one layer by SGD, whose seed is then that of the choice."""
    level: Level = "video"
    """Whether it learns from videos, by the mean of their vectors, or from clips one by one."""
    average: Average = "none"
    """Of a linear layer at clip level: what of a video's clips is averaged."""

    def __post_init__(self) -> None:
        if self.average != "none" and (self.level != "clip" or isinstance(self.learner, SVMConfig)):
            raise ValueError(
                f"average is {self.average!r}, which is for a linear layer that learns from clips; leave it "
                "at 'none'"
            )


def evaluate_low_shot(
    tables: Mapping[str, FeatureTable],
    learning: FeatureLearning,
    *,
    low_shot: LowShotConfig | None = None,
    config: RankingConfig | None = None,
    progress: Progress = ignore_progress,
) -> LowShotResult:
    """Learn from a share of the training videos, again and again, and test on the whole test split.

    All encoders learn from the same videos. The choice depends on the seed and on each video, so it is the
    same wherever the features were made.

    Args:
        tables: features of the same videos by every encoder, by its name.
        learning: what is fitted to them.
        low_shot: shares and seeds.
        config: splits and target; the gallery is what is learned from.
        progress: is told the number of fits done.

    Raises:
        FeaturesError: the tables are not of the same videos with the same classes, or one cannot be learned
            from; see `evaluate_svm`.
        TrainingError: the loss of a linear layer ran over.
        ValueError: a number is out of range, or ``config`` asks for centred vectors.

    Reference: SCVRL, section 4.4 (there with all layers fine-tuned).
    """
    started = time.monotonic()
    low_shot, config = low_shot or LowShotConfig(), config or RankingConfig()
    names, encoders = list(tables), list(tables.values())
    _check_same_videos(tables, config)
    known: dict[tuple[int, bytes], tuple[int, float]] = {}
    tested: dict[str, float] = {}

    def measure(number: int, fraction: float, seed: int) -> tuple[int, float]:
        rows, num_videos = _choose_rows(encoders[number], fraction, seed, config)
        # Of all videos there is one choice: what does not draw itself need not be fitted again.
        key = (number, rows.tobytes())
        if key not in known or not isinstance(learning.learner, SVMConfig):
            found = _learn(encoders[number].take(rows), learning, seed, config)
            known[key] = (num_videos, float(getattr(found, low_shot.metric)))
            tested.update({name: getattr(found, name) for name in TEST_FACTS})
        return known[key]

    curves = measure_curves(names, low_shot, measure, progress=progress)
    return LowShotResult(
        curves=curves,
        settings={
            **describe_settings(encoders[0], config),
            **config_to_dict(low_shot),
            "learner": "svm" if isinstance(learning.learner, SVMConfig) else "linear",
            **config_to_dict(learning.learner),
            "level": learning.level,
            "average": learning.average,
            "features": [config_to_dict(table.info) for table in encoders],
            **tested,
        },
        seconds=time.monotonic() - started,
    )


def _choose_rows(
    table: FeatureTable, fraction: float, seed: int, config: RankingConfig
) -> tuple[NDArray[np.int64], int]:
    """Return the rows of the test videos and of the chosen training videos, and how many these are."""
    query_split, gallery_split = config.resolve_splits(table.split_names)
    splits = table.column("split")
    training = np.flatnonzero(splits == gallery_split)
    targets, video_ids = table.column(config.by)[training], table.video_ids[training]
    chosen = training[choose_fraction(targets.tolist(), video_ids.tolist(), fraction, seed=seed)]
    rows = np.union1d(np.flatnonzero(splits == query_split), chosen)
    return rows, len(np.unique(table.video_ids[chosen]))


def _learn(table: FeatureTable, learning: FeatureLearning, seed: int, config: RankingConfig) -> Accuracy:
    learner, level = learning.learner, learning.level
    if isinstance(learner, SVMConfig):
        return evaluate_svm(table, level=level, svm=learner, config=config).ranking.levels[level]
    probe = replace(learner, seed=seed)
    result = evaluate_linear(table, level=level, average=learning.average, probe=probe, config=config)
    return result.ranking.levels[level]


def _check_same_videos(tables: Mapping[str, FeatureTable], config: RankingConfig) -> None:
    """Refuse tables of other videos, splits or classes than the first."""
    first_name, first = "", None
    for name, table in tables.items():
        query_split, gallery_split = config.resolve_splits(table.split_names)
        if query_split == gallery_split or not (query_split and gallery_split):
            raise FeaturesError(
                f"{name} has no two splits to learn from and to test on (its splits: "
                f"{', '.join(map(repr, table.split_names)) or 'none'}); scan with splits and extract again, "
                "or name two"
            )
        splits = table.column("split")
        own = {
            (str(video_id), str(split), str(target))
            for video_id, split, target in zip(table.video_ids, splits, table.column(config.by), strict=True)
            if split in (query_split, gallery_split)
        }
        if first is None:
            first_name, first = name, own
        elif own != first:
            only_one = {video_id for video_id, *_ in own ^ first}
            raise FeaturesError(
                f"{first_name} and {name} differ in {len(only_one)} videos, their splits or their "
                f"{config.by}s; extract both from the same catalog"
            )
