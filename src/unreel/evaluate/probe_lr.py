"""The learning rate of a linear probe, chosen by cross-validation over what it learns from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.errors import TrainingError
from unreel.evaluate.folds import split_folds
from unreel.evaluate.probe_training import FittedProbe, LinearProbeConfig, fit_probe
from unreel.progress import Progress, ignore_progress, shift_progress

# X training vectors, D features


@dataclass(frozen=True)
class LrTrial:
    """What cross-validation found for one learning rate.

    Attributes:
        lr: for a batch of 256.
        accuracy: share of the training vectors that were classified right when they were left out.
        diverged: folds in which the loss ran over; all that they left out counts as wrong.
    """

    lr: float
    accuracy: float
    diverged: int


@dataclass(frozen=True)
class BestProbe:
    """What was learned with the best learning rate.

    Attributes:
        lr: the learning rate.
        trials: what was found for each, in their order; nothing when there is only one.
        fitted: what was learned from all training vectors.
    """

    lr: float
    trials: list[LrTrial]
    fitted: FittedProbe


def fit_best_lr(
    features_XD: NDArray[np.float32],
    class_X: NDArray[np.int64],
    group_X: NDArray[np.int64],
    config: LinearProbeConfig,
    *,
    progress: Progress = ignore_progress,
) -> BestProbe:
    """Choose the learning rate by cross-validation over the training vectors alone, and learn from all.

    Each fold is classified by what was learned from the others; folds have the classes in like shares. Among
    rates of equal accuracy the smallest wins.

    Args:
        features_XD: the training vectors.
        class_X: their classes, from 0 on.
        group_X: vectors of one group, such as the clips of a video, are in the same fold.
        config: the learning rates.
        progress: is told the number of epochs done, of those of all rates and folds.

    Raises:
        FeaturesError: there are too few groups, or vectors of a class, for two folds.
        TrainingError: the loss ran over with the only or best learning rate.
    """
    lrs = config.lrs if len(config.lrs) > 1 else ()
    folds = split_folds(class_X, group_X, config.num_folds, choice="learning rate") if lrs else []
    total = config.epochs * (len(lrs) * len(folds) + 1)
    done, trials = 0, []
    for lr in lrs:
        num_right = diverged = 0
        for number, (learn, left_out) in enumerate(folds, start=1):
            # A class may have all its vectors in one fold: then it is not learned there, and they are missed.
            known, class_of_learn = np.unique(class_X[learn], return_inverse=True)
            try:
                fitted = fit_probe(
                    features_XD[learn],
                    class_of_learn,
                    lr,
                    config,
                    progress=shift_progress(progress, done, total),
                    note=f"learning rate {lr:g}, fold {number} of {len(folds)}",
                )
                told = known[fitted.predict(features_XD[left_out])]
                num_right += int((told == class_X[left_out]).sum())
            except TrainingError:
                diverged += 1
            done += config.epochs
        trials.append(LrTrial(lr, num_right / len(class_X), diverged))
    order = sorted(trials, key=lambda trial: (-trial.accuracy, trial.lr))
    best = order[0].lr if order else config.lrs[0]
    shifted = shift_progress(progress, done, total)
    fitted = fit_probe(features_XD, class_X, best, config, progress=shifted, note=f"learning rate {best:g}")
    return BestProbe(best, trials, fitted)
