"""Linear probe: how well does one linear layer, trained by SGD on frozen features, tell the classes?"""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.evaluate.accuracy import Accuracy, measure_scores
from unreel.evaluate.learning_split import LearningSplit, take_to_learn
from unreel.evaluate.linear_classifier import LinearClassifier, normalize_rows
from unreel.evaluate.probe_lr import LrTrial, fit_best_lr
from unreel.evaluate.probe_training import LinearProbeConfig
from unreel.evaluate.ranking import Level, RankingConfig, RankingResult, describe_settings
from unreel.features.table import FeatureTable
from unreel.progress import Progress, ignore_progress

# Q test vectors, V tested videos or clips, X training vectors, C classes of training, D features

_QUERIES_PER_BLOCK = 4096

Average = Literal["none", "logits", "probabilities"]
"""What of the clips of a test video is averaged; with "none" each clip is tested by itself."""


@dataclass(frozen=True)
class LevelLinear(Accuracy):
    """What the linear layer of one level achieves; shares are in [0, 1].

    Attributes:
        gallery: vectors that it learned from.
        without_target: further vectors of the test split that have no target and could not be counted.
        gallery_without_target: the same of the training split.
        lr: learning rate for a batch of 256, as given or as chosen.
        trials: what cross-validation found, when there were several rates.
        training_top1: accuracy on the vectors that were learned from.
        loss_by_epoch: mean cross-entropy of the batches of every epoch.
        final_loss: cross-entropy of all training vectors at the end; log of the number of classes is that of
            a guess.
        relative_gradient: length of the gradient at the end, as share of that at weights of zero; near 0 the
            weights are the best there are, near 1 hardly anything was learned.
    """

    gallery: int
    without_target: int
    gallery_without_target: int
    lr: float
    trials: list[LrTrial]
    training_top1: float
    loss_by_epoch: list[float]
    final_loss: float
    relative_gradient: float


@dataclass(frozen=True)
class LinearResult:
    """The measurement, and the classifier that was measured."""

    ranking: RankingResult[LevelLinear]
    classifier: LinearClassifier

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as plain values."""
        return self.ranking.to_json()


def evaluate_linear(
    table: FeatureTable,
    *,
    level: Level = "video",
    average: Average = "none",
    probe: LinearProbeConfig | None = None,
    config: RankingConfig | None = None,
    progress: Progress = ignore_progress,
) -> LinearResult:
    """Train a linear layer on a training split and measure it on another.

    At video level it learns from, and is tested on, the mean of each video's vectors. At clip level each
    vector is learned from by itself; a video is then told by the mean of its clips' logits or probabilities,
    or each clip is tested by itself.

    Args:
        table: the features.
        level: videos or clips.
        average: what of a video's clips is averaged, at clip level.
        probe: how the layer is trained.
        config: splits and target; the gallery is what is learned from.
        progress: is told the number of epochs done, those of cross-validation included.

    Raises:
        FeaturesError: the table lacks a split, the two have a video in common, none of the vectors of one
            has a target, training has a single class or one vector throughout, or there is NaN or infinity.
        TrainingError: the loss ran over.
        ValueError: ``config`` asks for centred vectors, or ``average`` for clips at video level.

    Reference: SCVRL, section 4.2; CCL, section 4.3 (linear classification).
    """
    started = time.monotonic()
    probe, config = probe or LinearProbeConfig(), config or RankingConfig()
    if average != "none" and level != "clip":
        raise ValueError(
            f"average is {average!r}, and at level {level!r} the vectors of a video are averaged before; "
            "choose level 'clip', or average 'none'"
        )
    split = take_to_learn(table, level, config, learner="a linear probe")
    vectors_XD = split.train.vectors
    best = fit_best_lr(
        normalize_rows(vectors_XD) if probe.is_l2_normalized else vectors_XD,
        split.class_X,
        split.group_X,
        probe,
        progress=progress,
    )
    classifier = LinearClassifier(
        classes=split.classes,
        weights_CD=best.fitted.weights_CD,
        bias_C=best.fitted.bias_C,
        encoder_hash=table.info.encoder_hash,
        pooling=table.info.pooling,
        is_l2_normalized=probe.is_l2_normalized,
    )
    measured = _measure(classifier, split, average, config)
    ranking = RankingResult(
        protocol="linear",
        levels={
            level: LevelLinear(
                **vars(measured),
                gallery=len(split.train),
                without_target=split.without_target,
                gallery_without_target=split.train_without_target,
                lr=best.lr,
                trials=best.trials,
                training_top1=_find_training_accuracy(classifier, split),
                loss_by_epoch=best.fitted.loss_by_epoch,
                final_loss=best.fitted.final_loss,
                relative_gradient=best.fitted.relative_gradient,
            )
        },
        settings={**describe_settings(table, config), "average": average, **config_to_dict(probe)},
        features=config_to_dict(table.info),
        seconds=time.monotonic() - started,
    )
    return LinearResult(ranking, classifier)


def _measure(
    classifier: LinearClassifier, split: LearningSplit, average: Average, config: RankingConfig
) -> Accuracy:
    """Return what follows from the scores of the test vectors, averaged where that is asked for."""
    vectors_QD, truth_Q = split.test.vectors, split.test.column(config.by)
    row_Q, first_V = np.arange(len(vectors_QD)), np.arange(len(vectors_QD))
    if average != "none":
        _, first_V, row_Q = np.unique(split.test.video_ids, return_index=True, return_inverse=True)
    # The classes of one video come in the same order by their sums as by their means.
    sums_VC = np.zeros((len(first_V), len(classifier.classes)))
    for start in range(0, len(vectors_QD), _QUERIES_PER_BLOCK):
        block = slice(start, start + _QUERIES_PER_BLOCK)
        scores_BC = classifier.scores(vectors_QD[block]).astype(np.float64)
        np.add.at(sums_VC, row_Q[block], _soften(scores_BC) if average == "probabilities" else scores_BC)
    counts = dict(zip(split.classes, np.bincount(split.class_X).tolist(), strict=True))
    return measure_scores(sums_VC.astype(np.float32), split.classes, truth_Q[first_V], counts)


def _soften(scores_BC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of every row."""
    powers_BC = np.exp(scores_BC - scores_BC.max(axis=1, keepdims=True))
    shares_BC: NDArray[np.float64] = powers_BC / powers_BC.sum(axis=1, keepdims=True)
    return shares_BC


def _find_training_accuracy(classifier: LinearClassifier, split: LearningSplit) -> float:
    right = 0
    for start in range(0, len(split.class_X), _QUERIES_PER_BLOCK):
        block = slice(start, start + _QUERIES_PER_BLOCK)
        told_B = classifier.scores(split.train.vectors[block]).argmax(axis=1)
        right += int((told_B == split.class_X[block]).sum())
    return right / len(split.class_X)
