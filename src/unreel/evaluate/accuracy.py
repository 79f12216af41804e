"""What scores of classes are worth: accuracies and F-measures, over all and class by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Q queries: what is to be classified; C classes of training

_TOP = 5
_QUERIES_PER_BLOCK = 4096


@dataclass(frozen=True)
class Accuracy:
    """How often the right class has the highest score; shares are in [0, 1].

    Attributes:
        queries: what was classified.
        classes: number of classes among which one was told.
        unknown_classes: classes of the queries that are not among these; their queries count as wrong.
        unknown: number of these queries.
        top1: accuracy.
        top5: share with the right class among the five highest scores; None with five classes or fewer.
        mean_class: mean of the accuracies of the classes of the queries.
        macro_f_measure: mean of the F-measures of all classes that the queries have or were told to have.
        micro_f_measure: F-measure of the errors of all classes together; with one class per query it is the
            accuracy.
        chance: accuracy of a guess among the known classes.
        constant: accuracy of the most frequent class of training as the answer to all; None where it is not
            known which that is.
        accuracy_by_class: by name, for the classes of the queries.
        f_measure_by_class: by name, for the classes that the queries have or were told to have.
        queries_by_class: number of queries by name.
        confusion: by true class, then by predicted class; pairs that do not occur are left out.
    """

    queries: int
    classes: int
    unknown_classes: list[str]
    unknown: int
    top1: float
    top5: float | None
    mean_class: float
    macro_f_measure: float
    micro_f_measure: float
    chance: float
    constant: float | None
    accuracy_by_class: dict[str, float]
    f_measure_by_class: dict[str, float]
    queries_by_class: dict[str, int]
    confusion: dict[str, dict[str, int]]


def measure_scores(
    scores_QC: NDArray[np.float32],
    classes: Sequence[str],
    truth_Q: Sequence[str] | NDArray[np.object_],
    training_counts: Mapping[str, int] | None = None,
) -> Accuracy:
    """Measure how well the highest of each query's scores tells its class.

    Args:
        scores_QC: one row per query: logits, probabilities, or any numbers that are larger for likelier
            classes.
        classes: names of the columns, each different.
        truth_Q: name of every query's class; it need not be among ``classes``.
        training_counts: how often each class was learned from, by name; None where nobody knows.

    Raises:
        ValueError: there is no query, the shapes do not agree, or a score is NaN.

    Reference: F-measure of a class with precision P and recall R: 2 P R / (P + R), and 0 where that is not
        defined, as in MMAct (Kong et al., 2019).
    """
    if scores_QC.shape != (len(truth_Q), len(classes)):
        raise ValueError(
            f"scores_QC must have a row for each of {len(truth_Q)} queries and a column for each of "
            f"{len(classes)} classes, got shape {scores_QC.shape}"
        )
    true_Q = number_classes(truth_Q, classes)
    parts = []
    for start in range(0, len(true_Q), _QUERIES_PER_BLOCK):
        block = slice(start, start + _QUERIES_PER_BLOCK)
        if np.isnan(scores_QC[block]).any():
            raise ValueError("scores_QC holds NaN; a class cannot be told from it")
        parts.append(rank_classes(scores_QC[block], true_Q[block]))
    told_Q, rank_Q = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else (true_Q,) * 2
    return measure_ranks(told_Q, rank_Q, classes, truth_Q, training_counts)


def measure_ranks(
    told_Q: NDArray[np.int64],
    rank_Q: NDArray[np.int64],
    classes: Sequence[str],
    truth_Q: Sequence[str] | NDArray[np.object_],
    training_counts: Mapping[str, int] | None = None,
) -> Accuracy:
    """Measure the same from what `rank_classes` has found, for scores that do not fit into memory at once.

    Args:
        told_Q: number of the class with the highest score.
        rank_Q: how many classes come before the true one.
        classes: as in `measure_scores`.
        truth_Q: as there.
        training_counts: as there.

    Raises:
        ValueError: there is no query.
    """
    if not len(truth_Q):
        raise ValueError("truth_Q must name the class of one query at least, got none")
    names, class_Q = np.unique(np.asarray(truth_Q, dtype=object), return_inverse=True)
    present = [str(name) for name in names]
    queries_P = np.bincount(class_Q, minlength=len(present))
    right_P = np.bincount(class_Q[rank_Q == 0], minlength=len(present))
    by_class = dict(zip(present, (right_P / queries_P).tolist(), strict=True))
    known = frozenset(classes)
    unknown = sum(int(count) for name, count in zip(present, queries_P, strict=True) if name not in known)
    confusion = _count_pairs(class_Q, told_Q, present, classes)
    f_measures = _find_f_measures(confusion)
    num = len(class_Q)
    return Accuracy(
        queries=num,
        classes=len(classes),
        unknown_classes=[name for name in present if name not in known],
        unknown=unknown,
        top1=float(right_P.sum() / num),
        top5=float((rank_Q < _TOP).mean()) if len(classes) > _TOP else None,
        mean_class=float(np.mean(list(by_class.values()))),
        macro_f_measure=float(np.mean(list(f_measures.values()))),
        micro_f_measure=float(right_P.sum() / num),
        chance=(num - unknown) / num / len(classes),
        constant=_measure_constant(dict(zip(present, queries_P.tolist(), strict=True)), training_counts),
        accuracy_by_class=by_class,
        f_measure_by_class=f_measures,
        queries_by_class=dict(zip(present, queries_P.tolist(), strict=True)),
        confusion=confusion,
    )


def number_classes(truth_Q: Sequence[str] | NDArray[np.object_], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of every query's class among some classes, -1 where it is none of them.

    Raises:
        ValueError: two classes have the same name.
    """
    number_of = {name: number for number, name in enumerate(classes)}
    if len(number_of) < len(classes):
        raise ValueError(f"classes must be different names, got {list(classes)}")
    return np.array([number_of.get(str(name), -1) for name in truth_Q], dtype=np.int64)


def rank_classes(
    scores_QC: NDArray[np.float32], true_Q: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the class of the highest score, and how many classes come before the true one.

    Of equal scores the class that is first by number comes first.

    Args:
        scores_QC: one row per query.
        true_Q: its class; -1 is none of them, and C classes come before it.
    """
    num_classes = scores_QC.shape[1]
    own_Q1 = np.take_along_axis(scores_QC, np.maximum(true_Q, 0)[:, None], axis=1)
    is_earlier_QC = np.arange(num_classes) < true_Q[:, None]
    before_Q = ((scores_QC > own_Q1) | ((scores_QC == own_Q1) & is_earlier_QC)).sum(axis=1)
    return scores_QC.argmax(axis=1), np.where(true_Q < 0, num_classes, before_Q)


def _count_pairs(
    class_Q: NDArray[np.int64], told_Q: NDArray[np.int64], present: list[str], classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    pairs, counts = np.unique(class_Q * len(classes) + told_Q, return_counts=True)
    confusion: dict[str, dict[str, int]] = {name: {} for name in present}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        true, told = divmod(pair, len(classes))
        confusion[present[true]][classes[told]] = count
    return confusion


def _find_f_measures(confusion: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """Return 2 P R / (P + R) = 2 TP / (present + told) of every class that is present or told, by name."""
    told: dict[str, int] = {}
    for row in confusion.values():
        for name, count in row.items():
            told[name] = told.get(name, 0) + count
    present = {name: sum(row.values()) for name, row in confusion.items()}
    return {
        name: 2 * confusion.get(name, {}).get(name, 0) / (present.get(name, 0) + told.get(name, 0))
        for name in sorted({*present, *told})
    }


def _measure_constant(
    queries_by_class: Mapping[str, int], training_counts: Mapping[str, int] | None
) -> float | None:
    if not training_counts:
        return None
    # Of equally frequent classes the first by name, as everywhere.
    most_frequent = min(training_counts, key=lambda name: (-training_counts[name], name))
    return queries_by_class.get(most_frequent, 0) / sum(queries_by_class.values())
