"""Linear SVM: can the class of a video be read from its vector by one weighted sum per class?"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.evaluate.accuracy import Accuracy, measure_ranks, number_classes, rank_classes
from unreel.evaluate.learning_split import take_to_learn
from unreel.evaluate.liblinear import OneVsRest, SVMConfig
from unreel.evaluate.linear_classifier import LinearClassifier
from unreel.evaluate.ranking import (
    Level,
    RankingConfig,
    RankingResult,
    describe_settings,
)
from unreel.evaluate.svm_cost import CostTrial, fit_best_cost
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress

# Q test vectors, X training vectors, C classes of training, D features

_QUERIES_PER_BLOCK = 4096


@dataclass(frozen=True)
class LevelSVM(Accuracy):
    """What the SVM of one level achieves; shares are in [0, 1].

    Attributes:
        gallery: vectors that it learned from.
        without_target: further vectors of the test split that have no target and could not be counted.
        gallery_without_target: the same of the training split.
        cost: weight of the errors, as given or as chosen.
        trials: what cross-validation found, when there were several costs.
        iterations_by_class: steps of each solver.
        unconverged: classes whose solver was stopped before it was done.
    """

    gallery: int
    without_target: int
    gallery_without_target: int
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
    split = take_to_learn(table, level, config, learner="an SVM")
    features_XD = np.ascontiguousarray(split.train.vectors, dtype=np.float64)
    best = fit_best_cost(features_XD, split.class_X, split.group_X, svm, progress=progress)
    classifier = _build_classifier(best.fitted, split.classes, table)
    measured = _measure(classifier, split.test.vectors, split.test.column(config.by), split.class_X)
    converged = dict(zip(classifier.classes, best.fitted.has_converged_C.tolist(), strict=True))
    ranking = RankingResult(
        protocol="svm",
        levels={
            level: LevelSVM(
                **vars(measured),
                gallery=len(split.train),
                without_target=split.without_target,
                gallery_without_target=split.train_without_target,
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


def _build_classifier(fitted: OneVsRest, classes: tuple[str, ...], table: FeatureTable) -> LinearClassifier:
    # No overflow: weights are no longer than sqrt(2 * cost * vectors), since zero has that objective.
    return LinearClassifier(
        classes=classes,
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
) -> Accuracy:
    """Return what follows from the answers to the test vectors, whose scores are never there at once."""
    true_Q = number_classes(targets_Q, classifier.classes)
    blocks = [slice(start, start + _QUERIES_PER_BLOCK) for start in range(0, len(true_Q), _QUERIES_PER_BLOCK)]
    ranked = [rank_classes(classifier.scores(vectors_QD[block]), true_Q[block]) for block in blocks]
    told_Q, rank_Q = (np.concatenate(parts) for parts in zip(*ranked, strict=True))
    counts = dict(zip(classifier.classes, np.bincount(class_X).tolist(), strict=True))
    return measure_ranks(told_Q, rank_Q, classifier.classes, targets_Q, counts)
