import numpy as np
import pytest

from unreel.errors import FeaturesError
from unreel.evaluate.folds import split_folds


def test_every_vector_is_left_out_once_and_groups_stay_together() -> None:
    classes, groups = np.arange(24) % 3, np.arange(24) // 2
    folds = split_folds(classes, groups, 4, choice="cost")
    assert len(folds) == 4
    assert sorted(np.concatenate([left_out for _, left_out in folds])) == list(range(24))
    for learn, left_out in folds:
        assert sorted([*learn, *left_out]) == list(range(24))
        assert not set(groups[learn]) & set(groups[left_out])


def test_classes_have_like_shares_in_every_fold() -> None:
    classes = np.repeat([0, 1], [30, 10])
    for _, left_out in split_folds(classes, np.arange(40), 5, choice="cost"):
        assert np.bincount(classes[left_out]).tolist() == [6, 2]


def test_the_folds_are_the_same_every_time_and_no_more_than_groups() -> None:
    classes, groups = np.arange(12) % 2, np.arange(12) // 4
    first, second = (split_folds(classes, groups, 5, choice="cost") for _ in range(2))
    assert len(first) == 3
    for (learn, left_out), (again, left_out_again) in zip(first, second, strict=True):
        assert (learn.tolist(), left_out.tolist()) == (again.tolist(), left_out_again.tolist())


def test_what_cannot_be_shared_out_is_refused_by_what_was_to_be_chosen() -> None:
    with pytest.raises(
        FeaturesError, match=r"4 training vectors of 1 groups .*among several learning rates;"
    ):
        split_folds(np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.int64), 5, choice="learning rate")
    with pytest.raises(
        FeaturesError, match=r"a fold leaves a single class .*no cost can be chosen; give one"
    ):
        split_folds(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 2, choice="cost")
