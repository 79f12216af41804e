"""The cost of an SVM, chosen by cross-validation over what it learns from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.evaluate.folds import split_folds
from unreel.evaluate.liblinear import OneVsRest, SVMConfig, count_fits, fit_one_vs_rest
from unreel.progress import Progress, ignore_progress, shift_progress

# X training vectors, D features


@dataclass(frozen=True)
class CostTrial:
    """What cross-validation found for one cost.

    Attributes:
        cost: the cost.
        accuracy: share of the training vectors that were classified right when they were left out.
        unconverged: solvers, among those of all classes and folds, that did not stop by themselves.
    """

    cost: float
    accuracy: float
    unconverged: int


@dataclass(frozen=True)
class BestFit:
    """What was learned with the best cost.

    Attributes:
        cost: the cost.
        trials: what was found for each, in their order; nothing when there is only one.
        fitted: what was learned from all training vectors.
    """

    cost: float
    trials: list[CostTrial]
    fitted: OneVsRest


def fit_best_cost(
    features_XD: NDArray[np.float64],
    class_X: NDArray[np.int64],
    group_X: NDArray[np.int64],
    config: SVMConfig,
    *,
    progress: Progress = ignore_progress,
) -> BestFit:
    """Choose the cost by cross-validation over the training vectors alone, and learn from all of them.

    Each fold is classified by what was learned from the others; folds have the classes in like shares. Among
    costs of equal accuracy the smallest wins.

    Args:
        features_XD: the training vectors.
        class_X: their classes, from 0 on.
        group_X: vectors of one group, such as the clips of a video, are in the same fold.
        config: the costs.
        progress: is told the number of SVMs fitted, of those of all costs, folds and classes.

    Raises:
        FeaturesError: there are too few groups, or vectors of a class, for two folds.
    """
    costs = config.costs if len(config.costs) > 1 else ()
    folds = split_folds(class_X, group_X, config.num_folds, choice="cost") if costs else []
    # A class may have all its vectors in one fold: then it is not learned there, and they are missed.
    parts = [(learn, left_out, *np.unique(class_X[learn], return_inverse=True)) for learn, left_out in folds]
    done, total = 0, len(costs) * sum(count_fits(part[-1]) for part in parts) + count_fits(class_X)
    trials = []
    for cost in costs:
        num_right = unconverged = 0
        for number, (learn, left_out, known, class_of_learn) in enumerate(parts, start=1):
            fitted = fit_one_vs_rest(
                features_XD[learn],
                class_of_learn,
                cost,
                config,
                progress=shift_progress(progress, done, total),
                note=f"cost {cost:g}, fold {number} of {len(folds)}",
            )
            done += count_fits(class_of_learn)
            num_right += int((known[fitted.predict(features_XD[left_out])] == class_X[left_out]).sum())
            unconverged += int((~fitted.has_converged_C).sum())
        trials.append(CostTrial(cost, num_right / len(class_X), unconverged))
    order = sorted(trials, key=lambda trial: (-trial.accuracy, trial.cost))
    best = order[0].cost if order else config.costs[0]
    shifted = shift_progress(progress, done, total)
    fitted = fit_one_vs_rest(features_XD, class_X, best, config, progress=shifted, note=f"cost {best:g}")
    return BestFit(best, trials, fitted)
