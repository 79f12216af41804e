import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from unreel.evaluate.liblinear import COSTS, MOST_ITERATIONS, SVMConfig, count_fits, fit_one_vs_rest

EXACT = SVMConfig(tolerance=1e-9)
Matrix = NDArray[np.float64]


def draw(
    seed: int, num_vectors: int, num_classes: int, num_features: int
) -> tuple[Matrix, NDArray[np.int64]]:
    """Return vectors around a centre for each class, not all on the right side; every class is there."""
    rng = np.random.default_rng(seed)
    classes = np.concatenate(
        [np.arange(num_classes), rng.integers(0, num_classes, num_vectors - num_classes)]
    )
    centres = rng.normal(size=(num_classes, num_features))
    return centres[classes] + rng.normal(size=(num_vectors, num_features)), classes


def objective(weights: Matrix, features: Matrix, sign: Matrix, cost: float) -> float:
    """The sum that liblinear's manual defines, in plain Python."""
    length = sum(float(w) ** 2 for w in weights)
    error = 0.0
    for row, y in zip(features, sign, strict=True):
        margin = float(y) * sum(float(w) * float(x) for w, x in zip(weights, row, strict=True))
        error += max(0.0, 1 - margin) ** 2
    return length / 2 + cost * error


def solve_by_newton(features: Matrix, sign: Matrix, cost: float) -> Matrix:
    """Minimise the same by Newton's method with halved steps; it is quadratic where no sign changes."""
    weights = np.zeros(features.shape[1])
    for _ in range(200):
        margin = sign * (features @ weights)
        active = features[margin < 1]
        gradient = weights - 2 * cost * active.T @ ((1 - margin) * sign)[margin < 1]
        if np.abs(gradient).max() < 1e-11:
            break
        step = np.linalg.solve(np.eye(len(weights)) + 2 * cost * active.T @ active, gradient)
        share = 1.0
        start = objective(weights, features, sign, cost)
        while share > 1e-6 and objective(weights - share * step, features, sign, cost) > start:
            share /= 2
        weights = weights - share * step
    return weights


@pytest.mark.parametrize("has_bias", [False, True])
@given(
    seed=st.integers(0, 10_000),
    num_vectors=st.integers(5, 25),
    num_classes=st.integers(2, 4),
    num_features=st.integers(1, 6),
    cost=st.sampled_from([0.01, 0.3, 1.0, 5.0]),
)
def test_the_weights_minimise_the_published_sum(
    seed: int, num_vectors: int, num_classes: int, num_features: int, cost: float, has_bias: bool
) -> None:
    features, classes = draw(seed, num_vectors, num_classes, num_features)
    fitted = fit_one_vs_rest(features, classes, cost, replace(EXACT, has_bias=has_bias))
    assert fitted.weights_CD.shape == (num_classes, num_features)
    assert fitted.has_converged_C.all()
    # A bias is the weight of one more feature that is always 1, and as small as the others are to be.
    seen = np.hstack([features, np.ones((num_vectors, 1))]) if has_bias else features
    for number in range(num_classes):
        expected = solve_by_newton(seen, np.where(classes == number, 1.0, -1.0), cost)
        found = fitted.weights_CD[number]
        if has_bias:
            assert fitted.bias_C is not None
            found = np.append(found, fitted.bias_C[number])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (fitted.bias_C is None) is not has_bias


def test_one_number_by_hand() -> None:
    # x = 1 of class 1 and x = -1 of class 0: both have the margin w, so w^2 / 2 + 2 C (1 - w)^2 is least at
    # w = 4 C / (1 + 4 C), which is 0.8 for C = 1 and 0.5 for C = 1/4.
    features, classes = np.array([[1.0], [-1.0]]), np.array([1, 0])
    for cost, expected in ((1.0, 0.8), (0.25, 0.5)):
        fitted = fit_one_vs_rest(features, classes, cost, EXACT)
        np.testing.assert_allclose(fitted.weights_CD, [[-expected], [expected]], atol=1e-8)


def test_two_classes_have_opposite_weights_and_bias() -> None:
    features, classes = draw(3, 20, 2, 4)
    fitted = fit_one_vs_rest(features, classes, 1.0, replace(EXACT, has_bias=True))
    assert fitted.bias_C is not None
    assert fitted.weights_CD[0].tolist() == (-fitted.weights_CD[1]).tolist()
    assert fitted.bias_C[0] == -fitted.bias_C[1] != 0
    assert len(fitted.iterations_C) == len(fitted.has_converged_C) == 2
    swapped = fit_one_vs_rest(features, 1 - classes, 1.0, replace(EXACT, has_bias=True))
    np.testing.assert_allclose(swapped.weights_CD, fitted.weights_CD[::-1], rtol=1e-6, atol=1e-8)


def test_class_after_class_is_what_liblinear_itself_does_with_many() -> None:
    features, classes = draw(5, 60, 5, 7)
    whole = LinearSVC(dual=False, C=1.0, fit_intercept=False, tol=1e-9).fit(features, classes)
    fitted = fit_one_vs_rest(features, classes, 1.0, EXACT)
    np.testing.assert_allclose(fitted.weights_CD, whole.coef_, rtol=1e-6, atol=1e-8)
    assert fitted.predict(features).tolist() == whole.predict(features).tolist()


def test_several_workers_give_the_same_bits() -> None:
    features, classes = draw(6, 80, 7, 9)
    alone = fit_one_vs_rest(features, classes, 1.0, SVMConfig())
    together = fit_one_vs_rest(features, classes, 1.0, SVMConfig(num_workers=3))
    assert alone.weights_CD.tobytes() == together.weights_CD.tobytes()
    assert alone.iterations_C.tolist() == together.iterations_C.tolist()


def test_a_bias_decides_where_all_features_are_zero() -> None:
    features, classes = np.zeros((6, 2)), np.array([0, 1, 1, 2, 2, 2])
    fitted = fit_one_vs_rest(features, classes, 1.0, replace(EXACT, has_bias=True))
    assert fitted.predict(features).tolist() == [2] * 6
    assert fit_one_vs_rest(features, classes, 1.0, EXACT).predict(features).tolist() == [0] * 6


def test_a_solver_that_was_stopped_is_told_from_one_that_was_done() -> None:
    features, classes = draw(8, 60, 3, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopped = fit_one_vs_rest(features, classes, 1.0, SVMConfig(max_iterations=1))
        done = fit_one_vs_rest(features, classes, 1.0, SVMConfig())
    assert stopped.iterations_C.tolist() == [1, 1, 1]
    assert not stopped.has_converged_C.any()
    assert done.has_converged_C.all()
    assert done.iterations_C.min() > 1


def test_every_class_is_told_with_its_note() -> None:
    told: list[tuple[int, int, str]] = []
    features, classes = draw(1, 20, 3, 2)
    fit_one_vs_rest(
        features, classes, 1.0, SVMConfig(), progress=lambda *state: told.append(state), note="cost 1"
    )
    assert told == [(1, 3, "cost 1"), (2, 3, "cost 1"), (3, 3, "cost 1")]


@pytest.mark.parametrize("cost", COSTS)
def test_the_most_extreme_settings_still_come_to_an_end(cost: float) -> None:
    features, classes = draw(1, 20, 3, 2)
    fitted = fit_one_vs_rest(features, classes, cost, SVMConfig((cost,), max_iterations=MOST_ITERATIONS))
    assert np.isfinite(fitted.weights_CD).all()


@given(numbers=st.lists(st.integers(0, 6), min_size=2).filter(lambda numbers: len(set(numbers)) > 1))
def test_as_many_fits_are_announced_as_are_told(numbers: list[int]) -> None:
    class_X = np.unique(numbers, return_inverse=True)[1]
    told: list[int] = []
    features = np.random.default_rng(0).normal(size=(len(class_X), 2))
    fit_one_vs_rest(features, class_X, 1.0, SVMConfig(), progress=lambda done, *_: told.append(done))
    assert told == list(range(1, count_fits(class_X) + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"costs": ()}, r"costs must be one or more numbers between 1e-12 and 1e.12, got \[\]"),
        (
            {"costs": (1.0, 0.0)},
            r"costs must be one or more numbers between 1e-12 and 1e.12, got \[1.0, 0.0\]",
        ),
        ({"costs": (float("inf"),)}, "costs must be one or more numbers between 1e-12 and 1e.12"),
        ({"costs": (float("nan"),)}, "costs must be one or more numbers between 1e-12 and 1e.12"),
        ({"costs": (1e300,)}, r"between 1e-12 and 1e.12, got \[1e.300\]"),
        ({"costs": (1e-13,)}, "between 1e-12 and 1e.12"),
        ({"costs": (1.0, 2.0, 1)}, r"costs must differ from each other, got \[1.0, 2.0, 1\]"),
        ({"max_iterations": 2**31}, "max_iterations must be at most 2147483647, got 2147483648"),
        ({"tolerance": 0.0}, "tolerance must be between 0 and 1, got 0.0"),
        ({"tolerance": 1.0}, "tolerance must be between 0 and 1, got 1.0"),
        ({"max_iterations": 0}, "max_iterations must be at least 1, got 0"),
        ({"num_folds": 1}, "num_folds must be at least 2, got 1"),
        ({"num_workers": 0}, "num_workers must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SVMConfig(), **change)


def test_scikit_learn_is_imported_when_it_is_needed_and_not_before() -> None:
    script = "import sys, unreel.cli.evaluate_svm; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
