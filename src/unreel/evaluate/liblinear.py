"""One linear SVM per class against all others, solved by liblinear."""

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.progress import Progress, ignore_progress

# X training vectors, C classes, D features


COSTS = (1e-12, 1e12)
"""Beyond these liblinear's numbers run over, and it may never stop, not even for Ctrl-C."""

MOST_ITERATIONS = 2**31 - 1
"""What fits into liblinear's counter."""


@dataclass(frozen=True)
class SVMConfig:
    """How the SVMs are fitted.

    Raises:
        ValueError: a number is out of range.
    """

    costs: tuple[float, ...] = (1.0,)
    """Weight of the errors against the length of the weights; of several, cross-validation chooses."""
    has_bias: bool = False
    """Whether a feature that is always 1 is added; liblinear's default has none (decision V17)."""
    tolerance: float = 1e-4
    """A solver stops when its gradient has shrunk to this share; relative to how rare the class is."""
    max_iterations: int = 1000
    """Steps after which a solver stops anyway, and is reported."""
    num_folds: int = 5
    """Parts of the training vectors, one of which is left out in turn, when there are several costs."""
    num_workers: int = 1
    """Classes that are fitted at the same time; each takes 16 bytes per number of the training vectors."""

    def __post_init__(self) -> None:
        lowest_cost, highest_cost = COSTS
        if not self.costs or not all(lowest_cost <= cost <= highest_cost for cost in self.costs):
            raise ValueError(
                f"costs must be one or more numbers between {lowest_cost:g} and {highest_cost:g}, got "
                f"{list(self.costs)}"
            )
        if len(set(self.costs)) < len(self.costs):
            raise ValueError(f"costs must differ from each other, got {list(self.costs)}")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be between 0 and 1, got {self.tolerance}")
        for name, lowest in (("max_iterations", 1), ("num_folds", 2), ("num_workers", 1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        if self.max_iterations > MOST_ITERATIONS:
            raise ValueError(f"max_iterations must be at most {MOST_ITERATIONS}, got {self.max_iterations}")


@dataclass(frozen=True)
class OneVsRest:
    """The SVMs of all classes.

    Attributes:
        weights_CD: float64, a row per class.
        bias_C: float64, None without a bias.
        iterations_C: steps that each solver took.
        has_converged_C: whether each stopped by itself.
    """

    weights_CD: NDArray[np.float64]
    bias_C: NDArray[np.float64] | None
    iterations_C: NDArray[np.int64]
    has_converged_C: NDArray[np.bool_]

    def predict(self, features_XD: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the class with the highest score of every vector."""
        scores_XC = features_XD @ self.weights_CD.T + (0 if self.bias_C is None else self.bias_C)
        best_X: NDArray[np.int64] = scores_XC.argmax(axis=1)
        return best_X


def count_fits(class_X: NDArray[np.int64]) -> int:
    """Return how many SVMs `fit_one_vs_rest` fits to these classes."""
    num_classes = int(class_X.max()) + 1
    return 1 if num_classes == 2 else num_classes


def fit_one_vs_rest(
    features_XD: NDArray[np.float64],
    class_X: NDArray[np.int64],
    cost: float,
    config: SVMConfig,
    *,
    progress: Progress = ignore_progress,
    note: str = "",
) -> OneVsRest:
    """Fit one SVM per class, with y = 1 for its vectors and -1 for all others.

    Minimises ``|w|^2 / 2 + cost * sum_x max(0, 1 - y_x w.x)^2``. Of two classes one is fitted, and the other
    has its weights with the opposite sign, which are the solution too.

    Args:
        features_XD: taken as they are; C-contiguous, so that they are not copied.
        class_X: numbers from 0 on, each of them at least once, two or more.
        cost: weight of the errors.
        config: how it is solved; its ``costs`` play no role.
        progress: is told the number of classes done.
        note: is passed to it.

    Reference: Fan et al., LIBLINEAR, 2008, solver 2 (L2-regularised L2-loss, primal).
    """
    from sklearn.exceptions import ConvergenceWarning

    num_classes = int(class_X.max()) + 1
    assert num_classes >= 2
    fit = _build_solver(features_XD, class_X, cost, config)
    wanted = [1] if num_classes == 2 else list(range(num_classes))
    rows, biases, iterations = [], [], []
    with warnings.catch_warnings():
        # The caller hears of it by `has_converged_C`, class by class.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for weights_D, bias, steps in _map(fit, wanted, config.num_workers):
            rows.append(weights_D)
            biases.append(bias)
            iterations.append(steps)
            progress(len(rows), len(wanted), note)
    if num_classes == 2:
        rows, biases, iterations = [-rows[0], rows[0]], [-biases[0], biases[0]], iterations * 2
    iterations_C = np.array(iterations, dtype=np.int64)
    return OneVsRest(
        weights_CD=np.stack(rows),
        bias_C=np.array(biases) if config.has_bias else None,
        iterations_C=iterations_C,
        has_converged_C=iterations_C < config.max_iterations,
    )


_Fit = tuple[NDArray[np.float64], float, int]
"""Weights, bias and steps of one solver."""


def _build_solver(
    features_XD: NDArray[np.float64], class_X: NDArray[np.int64], cost: float, config: SVMConfig
) -> Callable[[int], _Fit]:
    from sklearn.svm import LinearSVC

    def fit(number: int) -> _Fit:
        solver = LinearSVC(
            penalty="l2",
            loss="squared_hinge",
            dual=False,
            C=cost,
            fit_intercept=config.has_bias,
            tol=config.tolerance,
            max_iter=config.max_iterations,
        )
        solver.fit(features_XD, class_X == number)
        bias = float(solver.intercept_[0]) if config.has_bias else 0.0
        return solver.coef_[0].astype(np.float64), bias, int(solver.n_iter_)

    return fit


def _map(fit: Callable[[int], _Fit], numbers: list[int], num_workers: int) -> Iterator[_Fit]:
    """Fit class after class, several at a time where that is wanted: liblinear lets other threads run."""
    if num_workers == 1:
        yield from map(fit, numbers)
        return
    with ThreadPoolExecutor(num_workers) as pool:
        yield from pool.map(fit, numbers)
