from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from unreel.errors import FeaturesError
from unreel.evaluate.liblinear import SVMConfig, fit_one_vs_rest
from unreel.evaluate.svm_cost import CostTrial, fit_best_cost

Matrix = NDArray[np.float64]


def draw(seed: int, *, noise: float, num_per_class: int = 20) -> tuple[Matrix, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(3), num_per_class)
    return rng.normal(size=(3, 10))[classes] + noise * rng.normal(size=(len(classes), 10)), classes


def choose_cost(*arguments: Any) -> tuple[float, list[CostTrial]]:
    best = fit_best_cost(*arguments)
    return best.cost, best.trials


def test_a_single_cost_is_taken_as_it_is() -> None:
    features, classes = draw(0, noise=1)
    assert choose_cost(features, classes, np.arange(60), SVMConfig(costs=(3.0,))) == (3.0, [])


def test_the_accuracies_are_those_of_vectors_that_were_left_out() -> None:
    features, classes = draw(1, noise=2)
    groups = np.arange(60) // 2
    config = SVMConfig(costs=(0.001, 1.0), num_folds=4)
    _, trials = choose_cost(features, classes, groups, config)
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    for trial in trials:
        right = 0
        for learn, left_out in folds.split(features, classes, groups):
            assert not set(groups[learn]) & set(groups[left_out])
            fitted = fit_one_vs_rest(features[learn], classes[learn], trial.cost, config)
            told = fitted.predict(features[left_out])
            right += sum(int(a == b) for a, b in zip(told, classes[left_out], strict=True))
        assert trial.accuracy == right / 60


def test_the_best_cost_is_chosen_and_the_smaller_of_equals() -> None:
    features, classes = draw(2, noise=2)
    cost, trials = choose_cost(features, classes, np.arange(60), SVMConfig(costs=(100.0, 1e-4, 0.01, 1.0)))
    assert [trial.cost for trial in trials] == [100.0, 1e-4, 0.01, 1.0]
    best = max(trial.accuracy for trial in trials)
    assert cost == min(trial.cost for trial in trials if trial.accuracy == best)
    assert len({trial.accuracy for trial in trials}) > 1
    # Classes far apart: every cost classifies all of them, and the smallest wins.
    features, classes = draw(2, noise=0.01)
    cost, trials = choose_cost(features, classes, np.arange(60), SVMConfig(costs=(2.0, 0.5, 1.0)))
    assert [trial.accuracy for trial in trials] == [1, 1, 1]
    assert cost == 0.5


def test_copies_of_a_vector_in_its_group_do_not_help() -> None:
    # Noise without any class, each vector five times. Torn apart, copies would be known by heart.
    rng = np.random.default_rng(0)
    features, classes = np.repeat(rng.normal(size=(40, 60)), 5, axis=0), np.repeat(np.arange(40) % 2, 5)
    config = SVMConfig(costs=(1.0, 10.0))
    together = choose_cost(features, classes, np.repeat(np.arange(40), 5), config)[1]
    apart = choose_cost(features, classes, np.arange(200), config)[1]
    assert apart[1].accuracy == 1
    assert together[1].accuracy < 0.8


def test_solvers_that_were_stopped_are_counted_over_all_folds() -> None:
    features, classes = draw(3, noise=2)
    config = SVMConfig(costs=(1.0, 10.0), max_iterations=1, num_folds=3)
    assert [trial.unconverged for trial in choose_cost(features, classes, np.arange(60), config)[1]] == [9, 9]


def test_a_class_in_a_single_group_is_missed_where_it_is_left_out() -> None:
    features, classes = draw(4, noise=0.01)
    groups = np.where(classes == 2, 1000, np.arange(60))
    _, trials = choose_cost(features, classes, groups, SVMConfig(costs=(1.0, 2.0)))
    # All of classes 0 and 1 are easy, all 20 of class 2 are missed.
    assert [trial.accuracy for trial in trials] == [40 / 60, 40 / 60]


def test_small_classes_make_no_noise_and_there_are_no_more_folds_than_groups() -> None:
    features, _ = draw(5, noise=0.01, num_per_class=4)
    told: list[str] = []
    fit_best_cost(
        features,
        np.array([0] * 4 + [1] * 7 + [2]),
        np.arange(12) // 4,
        SVMConfig(costs=(1.0, 2.0)),
        progress=lambda done, total, note: told.append(note),
    )
    assert sorted(set(told)) == [
        "cost 1",
        *(f"cost {cost}, fold {fold} of 3" for cost in (1, 2) for fold in (1, 2, 3)),
    ]


def test_the_fit_is_that_of_the_chosen_cost_to_all_vectors() -> None:
    features, classes = draw(2, noise=2)
    config = SVMConfig(costs=(100.0, 1e-4, 0.01))
    best = fit_best_cost(features, classes, np.arange(60), config)
    expected = fit_one_vs_rest(features, classes, best.cost, config)
    np.testing.assert_array_equal(best.fitted.weights_CD, expected.weights_CD)


@pytest.mark.parametrize(
    ("num_classes", "costs", "total"), [(3, (1.0,), 3), (3, (1.0, 2.0), 2 * 4 * 3 + 3), (2, (1.0, 2.0), 9)]
)
def test_progress_counts_all_costs_folds_and_classes_as_one_job(
    num_classes: int, costs: tuple[float, ...], total: int
) -> None:
    features, classes = draw(6, noise=1)
    kept = classes < num_classes
    told: list[tuple[int, int]] = []
    fit_best_cost(
        features[kept],
        classes[kept],
        np.arange(kept.sum()),
        SVMConfig(costs, num_folds=4),
        progress=lambda done, total, note: told.append((done, total)),
    )
    assert told == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize(
    ("classes", "groups"),
    [([0, 0, 1, 1], [7, 7, 7, 7]), ([0, 1, 2, 3], [0, 1, 2, 3])],
    ids=["one group", "one vector per class"],
)
def test_too_little_to_share_out_is_refused(classes: list[int], groups: list[int]) -> None:
    with pytest.raises(
        FeaturesError, match=r"4 training vectors of \d groups cannot be shared out.*one cost"
    ):
        choose_cost(np.eye(4), np.array(classes), np.array(groups), SVMConfig(costs=(1.0, 2.0)))


def test_a_fold_that_leaves_one_class_is_refused() -> None:
    with pytest.raises(FeaturesError, match="a fold leaves a single class"):
        choose_cost(np.eye(4), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), SVMConfig(costs=(1.0, 2.0)))
