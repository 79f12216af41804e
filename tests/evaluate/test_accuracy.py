from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    top_k_accuracy_score,
)

from unreel.evaluate.accuracy import Accuracy, measure_ranks, measure_scores, number_classes, rank_classes

Scores = NDArray[np.float32]
NAMES = ("clap", "jump", "run", "sit", "walk", "wave", "yawn")


def tell(answers: list[str], classes: tuple[str, ...]) -> Scores:
    """Return scores that tell these answers."""
    return np.array([[name == answer for name in classes] for answer in answers], dtype=np.float32)


def measure(answers: str, truth: str, classes: str, counts: dict[str, int] | None = None) -> Accuracy:
    """Classes are letters here."""
    return measure_scores(tell(list(answers), tuple(classes)), tuple(classes), list(truth), counts)


@given(
    seed=st.integers(0, 10_000),
    num_queries=st.integers(1, 40),
    num_classes=st.integers(2, 7),
    num_present=st.integers(1, 7),
)
def test_the_numbers_are_those_of_scikit_learn(
    seed: int, num_queries: int, num_classes: int, num_present: int
) -> None:
    rng = np.random.default_rng(seed)
    classes = NAMES[:num_classes]
    scores = rng.normal(size=(num_queries, num_classes)).astype(np.float32)
    truth = [classes[n] for n in rng.integers(0, min(num_present, num_classes), num_queries)]
    told = [classes[n] for n in scores.argmax(axis=1)]
    found = measure_scores(scores, classes, truth, Counter(truth))
    assert found.top1 == pytest.approx(accuracy_score(truth, told))
    labels = sorted({*truth, *told})
    for average, value in (("macro", found.macro_f_measure), ("micro", found.micro_f_measure)):
        expected = f1_score(truth, told, labels=labels, average=average, zero_division=0)
        assert value == pytest.approx(expected)
    own = f1_score(truth, told, labels=labels, average=None, zero_division=0)
    assert found.f_measure_by_class == pytest.approx(dict(zip(labels, own, strict=True)))
    recalls = find_recalls(truth, told)
    assert found.accuracy_by_class == pytest.approx(recalls)
    assert found.mean_class == pytest.approx(np.mean(list(recalls.values())))
    if set(told) <= set(truth) and len(set(truth)) > 1:  # of others it warns
        assert found.mean_class == pytest.approx(balanced_accuracy_score(truth, told))
    if num_classes > 5:
        expected = top_k_accuracy_score(truth, scores, k=5, labels=classes)
        assert found.top5 == pytest.approx(expected)
    else:
        assert found.top5 is None
    matrix = confusion_matrix(truth, told, labels=classes)
    for row, true in enumerate(classes):
        for column, name in enumerate(classes):
            assert found.confusion.get(true, {}).get(name, 0) == matrix[row, column]
    assert found.queries_by_class == dict(Counter(truth))
    assert found.queries == sum(found.queries_by_class.values()) == num_queries


def find_recalls(truth: list[str], told: list[str]) -> dict[str, float]:
    return {
        name: sum(b == name for a, b in zip(truth, told, strict=True) if a == name) / truth.count(name)
        for name in set(truth)
    }


def test_a_case_by_hand() -> None:
    # a: 2 of 3 right, b: 1 of 1, and b is told twice, c once.
    found = measure("aabbc", "aaabc", "abcd", {"a": 5, "b": 9, "c": 1, "d": 1})
    assert found.top1 == found.micro_f_measure == 4 / 5
    assert found.accuracy_by_class == {"a": 2 / 3, "b": 1.0, "c": 1.0}
    assert found.mean_class == pytest.approx((2 / 3 + 2) / 3)
    # a: P = 1, R = 2/3, F = 4/5. b: P = 1/2, R = 1, F = 2/3. c: 1. d is neither there nor told.
    assert found.f_measure_by_class == pytest.approx({"a": 4 / 5, "b": 2 / 3, "c": 1.0})
    assert found.macro_f_measure == pytest.approx((4 / 5 + 2 / 3 + 1) / 3)
    assert found.confusion == {"a": {"a": 2, "b": 1}, "b": {"b": 1}, "c": {"c": 1}}
    assert (found.chance, found.constant) == (1 / 4, 1 / 5)
    assert found.queries_by_class == {"a": 3, "b": 1, "c": 1}
    assert (found.queries, found.classes, found.unknown, found.unknown_classes) == (5, 4, 0, [])


def test_a_class_that_is_told_and_not_there_has_an_f_measure_of_zero_and_no_accuracy() -> None:
    found = measure("ac", "aa", "abc")
    assert found.f_measure_by_class == {"a": pytest.approx(2 / 3), "c": 0.0}
    assert found.macro_f_measure == pytest.approx(1 / 3)
    assert found.accuracy_by_class == {"a": 0.5}
    assert found.mean_class == 0.5


def test_classes_absent_from_the_test_take_nothing_from_a_perfect_classifier() -> None:
    found = measure("ab", "ab", "abcdef")
    assert found.top1 == found.top5 == found.mean_class == found.macro_f_measure == 1
    assert found.chance == 1 / 6


def test_unknown_classes_are_named_and_count_as_wrong() -> None:
    found = measure("aaba", "axyx", "ab")
    assert (found.unknown_classes, found.unknown) == (["x", "y"], 3)
    assert found.top1 == found.micro_f_measure == 1 / 4
    assert found.accuracy_by_class == {"a": 1.0, "x": 0.0, "y": 0.0}
    # a: told three times, there once, right once: 2 / 4. b, x and y: 0.
    assert found.f_measure_by_class == {"a": 0.5, "b": 0.0, "x": 0.0, "y": 0.0}
    assert found.macro_f_measure == 1 / 8
    assert found.chance == 1 / 4 / 2
    assert found.confusion["x"] == {"a": 2}
    six = measure("a", "x", "abcdef")
    assert six.top5 == 0


def test_the_constant_is_the_most_frequent_class_of_training() -> None:
    assert measure("aab", "aab", "ab", {"a": 1, "b": 3}).constant == 1 / 3
    assert measure("aab", "aab", "ab", {"b": 3, "a": 3}).constant == 2 / 3  # the first by name
    assert measure("aab", "aab", "abc", {"c": 9, "a": 3}).constant == 0
    assert measure("aab", "aab", "ab").constant is None


def test_the_five_highest_are_found_with_ties_by_number() -> None:
    scores = np.zeros((2, 6), dtype=np.float32)
    found = measure_scores(scores, tuple("abcdef"), ["e", "f"])
    assert (found.top5, found.top1) == (0.5, 0)


@given(seed=st.integers(0, 1000), num_classes=st.integers(1, 6), num_vectors=st.integers(1, 5))
def test_ranks_count_the_classes_before_the_true_one(seed: int, num_classes: int, num_vectors: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (num_vectors, num_classes)).astype(np.float32)  # with many equal ones
    true = rng.integers(-1, num_classes, num_vectors)
    told, ranks = rank_classes(scores, true)
    for row, truth, answer, rank in zip(scores, true, told, ranks, strict=True):
        order = sorted(range(num_classes), key=lambda number: (-row[number], number))
        assert answer == order[0]
        assert rank == (order.index(truth) if truth >= 0 else num_classes)


def test_more_queries_than_a_block_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(23, 7)).astype(np.float32)
    truth = [NAMES[number] for number in rng.integers(0, 7, 23)]
    whole = measure_scores(scores, NAMES, truth)
    monkeypatch.setattr("unreel.evaluate.accuracy._QUERIES_PER_BLOCK", 5)
    assert measure_scores(scores, NAMES, truth) == whole
    told, ranks = rank_classes(scores, number_classes(truth, NAMES))
    assert measure_ranks(told, ranks, NAMES, np.array(truth, dtype=object)) == whole


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a row for each of 1 queries and a column for each of 2 classes"):
        measure_scores(np.zeros((1, 3), dtype=np.float32), ("a", "b"), ["a"])
    with pytest.raises(ValueError, match="the class of one query at least, got none"):
        measure_scores(np.zeros((0, 2), dtype=np.float32), ("a", "b"), [])
    with pytest.raises(ValueError, match="scores_QC holds NaN"):
        measure_scores(np.array([[1, np.nan]], dtype=np.float32), ("a", "b"), ["a"])
    with pytest.raises(ValueError, match="classes must be different names, got"):
        measure_scores(np.zeros((1, 2), dtype=np.float32), ("a", "a"), ["a"])
