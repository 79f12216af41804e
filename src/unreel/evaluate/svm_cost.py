"""The cost of an SVM, chosen by cross-validation over what it learns from."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.errors import FeaturesError
from unreel.evaluate.liblinear import SVMConfig, fit_one_vs_rest
from unreel.progress import Progress, ignore_progress

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


def choose_cost(
    features_XD: NDArray[np.float64],
    class_X: NDArray[np.int64],
    group_X: NDArray[np.int64],
    config: SVMConfig,
    *,
    progress: Progress = ignore_progress,
) -> tuple[float, list[CostTrial]]:
    """Choose the cost by cross-validation over the training vectors alone.

    Each fold is classified by what was learned from the others; folds have the classes in like shares. Among
    costs of equal accuracy the smallest wins.

    Args:
        features_XD: the training vectors.
        class_X: their classes, from 0 on.
        group_X: vectors of one group, such as the clips of a video, are in the same fold.
        config: the costs.
        progress: is told the classes done of each fit.

    Returns:
        The cost, and what was found for each, in their order; nothing when there is only one.

    Raises:
        FeaturesError: there are too few groups, or vectors of a class, for two folds.
    """
    if len(config.costs) == 1:
        return config.costs[0], []
    folds = _split(class_X, group_X, config.num_folds)
    trials = []
    for cost in config.costs:
        num_right = unconverged = 0
        for number, (learn, left_out) in enumerate(folds, start=1):
            # A class may have all its vectors in one fold: then it is not learned there, and they are missed.
            known, class_of_learn = np.unique(class_X[learn], return_inverse=True)
            note = f"cost {cost:g}, fold {number} of {len(folds)}"
            fitted = fit_one_vs_rest(
                features_XD[learn], class_of_learn, cost, config, progress=progress, note=note
            )
            num_right += int((known[fitted.predict(features_XD[left_out])] == class_X[left_out]).sum())
            unconverged += int((~fitted.has_converged_C).sum())
        trials.append(CostTrial(cost, num_right / len(class_X), unconverged))
    best = min(trials, key=lambda trial: (-trial.accuracy, trial.cost))
    return best.cost, trials


def _split(
    class_X: NDArray[np.int64], group_X: NDArray[np.int64], num_folds: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    num_groups = len(np.unique(group_X))
    count = min(num_folds, num_groups, int(np.bincount(class_X).max()))
    if count < 2:
        raise FeaturesError(
            f"{len(class_X)} training vectors of {num_groups} groups cannot be shared out to choose among "
            "several costs; give one cost, or more videos"
        )
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class with fewer vectors than folds is missing in some, as the caller expects.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        split = list(folds.split(class_X, class_X, group_X))
    for learn, _ in split:
        if len(np.unique(class_X[learn])) < 2:
            raise FeaturesError(
                "a fold leaves a single class to learn from, so no cost can be chosen; give one cost, or "
                "more groups per class"
            )
    return split
