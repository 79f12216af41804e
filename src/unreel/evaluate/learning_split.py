"""What is learned from and what is tested, checked: the start of every protocol that fits a classifier."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.errors import FeaturesError
from unreel.evaluate.ranking import Level, RankingConfig, are_alike, take_with_target
from unreel.features.table import FeatureTable

# X training vectors


@dataclass(frozen=True, eq=False)
class LearningSplit:
    """Vectors that have a target, to learn from and to test.

    Attributes:
        test: vectors that are tested.
        train: vectors that are learned from.
        classes: names of what there is to learn, sorted, two or more.
        class_X: place of every training vector's target among them.
        group_X: numbers what cross-validation must not tear apart: groups where all training vectors have
            one, else videos.
        without_target: further vectors of the test split that have no target and could not be counted.
        train_without_target: the same of the training split.
    """

    test: FeatureTable
    train: FeatureTable
    classes: tuple[str, ...]
    class_X: NDArray[np.int64]
    group_X: NDArray[np.int64]
    without_target: int
    train_without_target: int


def take_to_learn(
    table: FeatureTable, level: Level, config: RankingConfig, *, learner: str = "a classifier"
) -> LearningSplit:
    """Return what a classifier is to be fitted to and tested on.

    Args:
        table: the features.
        level: videos, by the mean of their vectors, or clips.
        config: splits and target; the gallery is what is learned from.
        learner: for messages, with its article.

    Raises:
        FeaturesError: the table lacks a split, the two have a video in common, none of the vectors of one
            has a target, training has a single class or one vector throughout, or there is NaN or infinity.
        ValueError: ``config`` asks for centred vectors.
    """
    if config.is_centered:
        raise ValueError(f"{learner} takes the vectors as they are, so is_centered must be False, got True")
    query_split, gallery_split = config.resolve_splits(table.split_names)
    test, num_without = take_with_target(table, query_split, level, config.by, kind="test vectors")
    train, num_train_without = take_with_target(
        table, gallery_split, level, config.by, kind="training vectors"
    )
    _check(test, train, query_split, gallery_split, table.split_names)
    names, class_X = np.unique(train.column(config.by), return_inverse=True)
    if len(names) < 2:
        raise FeaturesError(
            f"all {len(train)} training vectors have the {config.by} {names[0]!r}; {learner} needs two "
            "classes: scan with labels of all classes and extract again, or name another split"
        )
    return LearningSplit(
        test=test,
        train=train,
        classes=tuple(map(str, names)),
        class_X=class_X,
        group_X=_group(train, config),
        without_target=num_without,
        train_without_target=num_train_without,
    )


def _check(
    test: FeatureTable, train: FeatureTable, query_split: str, gallery_split: str, known: list[str]
) -> None:
    num_shared = len(np.intersect1d(test.video_ids, train.video_ids))
    if num_shared:
        raise FeaturesError(
            f"{num_shared} videos are both to be learned from (gallery split {gallery_split!r}) and to be "
            f"tested (query split {query_split!r}); name two splits that share no video, of "
            f"{', '.join(map(repr, known)) or 'none: scan with splits and extract again'}"
        )
    for name, table in (("test", test), ("training", train)):
        is_bad = ~np.isfinite(table.vectors).all(axis=1)
        if is_bad.any():
            raise FeaturesError(
                f"{is_bad.sum()} {name} vectors hold NaN or infinity, the first of video "
                f"{table.column('path')[is_bad][0]}; extract again"
            )
    if are_alike(train.vectors):
        raise FeaturesError(
            f"all {len(train)} training vectors are the same: the encoder has collapsed, and nothing can be "
            "learned from them; train it again, with another recipe or a lower learning rate"
        )


def _group(train: FeatureTable, config: RankingConfig) -> NDArray[np.int64]:
    """Number what cross-validation must not tear apart: groups where all vectors have one, else videos."""
    groups = train.column("group")
    is_usable = config.by != "group" and bool((groups != "").all())
    numbers: NDArray[np.int64] = np.unique(groups if is_usable else train.video_ids, return_inverse=True)[1]
    return numbers
