"""Linear SVM: can the class of a video be read from its vector by one weighted sum per class?"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.errors import FeaturesError
from unreel.evaluate.liblinear import OneVsRest, SVMConfig
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.ranking import (
    Level,
    RankingConfig,
    RankingResult,
    are_alike,
    describe_settings,
    take_with_target,
)
from unreel.evaluate.svm_cost import CostTrial, fit_best_cost
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress

# Q test vectors, X training vectors, C classes of training, D features

_TOP = 5
_QUERIES_PER_BLOCK = 4096


@dataclass(frozen=True)
class LevelSVM:
    """What the SVM of one level achieves; shares are in [0, 1].

    Attributes:
        queries: vectors that were classified.
        gallery: vectors that it learned from.
        classes: number of classes that it learned.
        without_target: further vectors of the test split that have no target and could not be counted.
        gallery_without_target: the same of the training split.
        unknown_classes: classes of the test split that training lacks; their vectors count as wrong.
        unknown: number of these vectors.
        top1: accuracy.
        top5: share with the right class among the five highest scores; None with five classes or fewer.
        mean_class: mean of the accuracies of the classes of the test split.
        chance: accuracy of a guess among the classes of training.
        constant: accuracy of the most frequent class of training as the answer to all.
        accuracy_by_class: by name.
        queries_by_class: number of classified vectors by name.
        confusion: by true class, then by predicted class; pairs that do not occur are left out.
        cost: weight of the errors, as given or as chosen.
        trials: what cross-validation found, when there were several costs.
        iterations_by_class: steps of each solver.
        unconverged: classes whose solver was stopped before it was done.
    """

    queries: int
    gallery: int
    classes: int
    without_target: int
    gallery_without_target: int
    unknown_classes: list[str]
    unknown: int
    top1: float
    top5: float | None
    mean_class: float
    chance: float
    constant: float
    accuracy_by_class: dict[str, float]
    queries_by_class: dict[str, int]
    confusion: dict[str, dict[str, int]]
    cost: float
    trials: list[CostTrial]
    iterations_by_class: dict[str, int]
    unconverged: list[str]


@dataclass(frozen=True)
class SVMResult:
    """The measurement, and the classifier that was measured."""

    ranking: RankingResult[LevelSVM]
    classifier: LinearClassifier

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as plain values."""
        return self.ranking.to_json()


def evaluate_svm(
    table: FeatureTable,
    *,
    level: Level = "video",
    svm: SVMConfig | None = None,
    config: RankingConfig | None = None,
    progress: Progress = ignore_progress,
) -> SVMResult:
    """Fit linear SVMs, one per class against all others, to a training split and measure them on another.

    Vectors are taken as they are, neither normalised nor centred: at video level the mean of a video's
    vectors, at clip level each by itself.

    Args:
        table: the features.
        level: videos or clips.
        svm: how the SVMs are fitted.
        config: splits and target; the gallery is what is learned from.
        progress: is told the number of SVMs fitted, those of cross-validation included.

    Raises:
        FeaturesError: the table lacks a split, the two have a video in common, none of the vectors of one
            has a target, training has a single class or one vector throughout, or there
            is NaN or infinity.
        ValueError: ``config`` asks for centred vectors.

    Reference: VCLR, section 4.3.
    """
    started = time.monotonic()
    svm, config = svm or SVMConfig(), config or RankingConfig()
    if config.is_centered:
        raise ValueError("an SVM takes the vectors as they are, so is_centered must be False, got True")
    query_split, gallery_split = config.resolve_splits(table.split_names)
    test, num_without = take_with_target(table, query_split, level, config.by, kind="test vectors")
    train, num_train_without = take_with_target(
        table, gallery_split, level, config.by, kind="training vectors"
    )
    _check(test, train, query_split, gallery_split, table.split_names)
    names, class_X = np.unique(train.column(config.by), return_inverse=True)
    if len(names) < 2:
        raise FeaturesError(
            f"all {len(train)} training vectors have the {config.by} {names[0]!r}; an SVM needs two classes"
        )
    features_XD = np.ascontiguousarray(train.vectors, dtype=np.float64)
    best = fit_best_cost(features_XD, class_X, _group(train, config), svm, progress=progress)
    classifier = _build_classifier(best.fitted, names, table)
    measured = _measure(classifier, test.vectors, test.column(config.by), class_X)
    converged = dict(zip(classifier.classes, best.fitted.has_converged_C.tolist(), strict=True))
    ranking = RankingResult(
        protocol="svm",
        levels={
            level: LevelSVM(
                **measured,
                gallery=len(train),
                without_target=num_without,
                gallery_without_target=num_train_without,
                cost=best.cost,
                trials=best.trials,
                iterations_by_class=dict(
                    zip(classifier.classes, best.fitted.iterations_C.tolist(), strict=True)
                ),
                unconverged=[name for name, is_done in converged.items() if not is_done],
            )
        },
        settings={**describe_settings(table, config), **config_to_dict(svm)},
        features=config_to_dict(table.info),
        seconds=time.monotonic() - started,
    )
    return SVMResult(ranking, classifier)


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


def _build_classifier(fitted: OneVsRest, names: NDArray[Any], table: FeatureTable) -> LinearClassifier:
    # No overflow: weights are no longer than sqrt(2 * cost * vectors), since zero has that objective.
    return LinearClassifier(
        classes=tuple(map(str, names)),
        weights_CD=fitted.weights_CD.astype(np.float32),
        bias_C=None if fitted.bias_C is None else fitted.bias_C.astype(np.float32),
        encoder_hash=table.info.encoder_hash,
        pooling=table.info.pooling,
    )


def _measure(
    classifier: LinearClassifier,
    vectors_QD: NDArray[np.float32],
    targets_Q: NDArray[Any],
    class_X: NDArray[np.int64],
) -> dict[str, Any]:
    """Return what follows from the answers to the test vectors."""
    classes = list(classifier.classes)
    number_of = {name: number for number, name in enumerate(classes)}
    true_Q = np.array([number_of.get(str(name), -1) for name in targets_Q], dtype=np.int64)
    blocks = [slice(start, start + _QUERIES_PER_BLOCK) for start in range(0, len(true_Q), _QUERIES_PER_BLOCK)]
    ranked = [rank_classes(classifier.scores(vectors_QD[block]), true_Q[block]) for block in blocks]
    told_Q, rank_Q = (np.concatenate(parts) for parts in zip(*ranked, strict=True))
    present = sorted({str(name) for name in targets_Q})
    rows = {name: targets_Q == name for name in present}
    by_class = {name: float((rank_Q[is_row] == 0).mean()) for name, is_row in rows.items()}
    return {
        "queries": len(true_Q),
        "classes": len(classes),
        "unknown_classes": [name for name in present if name not in number_of],
        "unknown": int((true_Q < 0).sum()),
        "top1": float((rank_Q == 0).mean()),
        "top5": float((rank_Q < _TOP).mean()) if len(classes) > _TOP else None,
        "mean_class": float(np.mean(list(by_class.values()))),
        "chance": float((true_Q >= 0).mean()) / len(classes),
        "constant": float((true_Q == np.bincount(class_X).argmax()).mean()),
        "accuracy_by_class": by_class,
        "queries_by_class": {name: int(is_row.sum()) for name, is_row in rows.items()},
        "confusion": {name: _count(told_Q[is_row], classes) for name, is_row in rows.items()},
    }


def rank_classes(
    scores_QC: NDArray[np.float32], true_Q: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the class of the highest score, and how many classes come before the true one.

    Of equal scores the class that is first by number comes first.

    Args:
        scores_QC: one row per vector.
        true_Q: its class; -1 is none of them, and C classes come before it.
    """
    num_classes = scores_QC.shape[1]
    own_Q1 = np.take_along_axis(scores_QC, np.maximum(true_Q, 0)[:, None], axis=1)
    is_earlier_QC = np.arange(num_classes) < true_Q[:, None]
    before_Q = ((scores_QC > own_Q1) | ((scores_QC == own_Q1) & is_earlier_QC)).sum(axis=1)
    return scores_QC.argmax(axis=1), np.where(true_Q < 0, num_classes, before_Q)


def _count(told_Q: NDArray[np.int64], classes: list[str]) -> dict[str, int]:
    numbers, counts = np.unique(told_Q, return_counts=True)
    return {classes[number]: int(count) for number, count in zip(numbers, counts, strict=True)}
