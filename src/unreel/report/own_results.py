"""Results of `unreel evaluate` in the units and words of the papers' tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unreel.report.evaluation_files import Evaluation
from unreel.report.own_origin import Origin
from unreel.report.paper_protocols import Measure
from unreel.report.result_values import as_list, is_number

_SHARE, _AS_IT_IS = 100.0, 1.0
"""What numbers are multiplied by to be in the papers' unit: shares become percent."""
_KS = (1, 5, 10, 20, 50)
_CYCLE = ("frame_to_video", "video_to_frame", "frame_to_frame", "video_to_video")
_LEVELS = {"video": "retrieval", "clip": "video_to_video"}
"""Level of a retrieval -> the task of the papers that compares the same."""
_LEVELS_CHOSEN = ("frame_to_frame", "video_to_video")
"""Tasks of cycles that compare clips, or videos by the means of their clips."""
_PAIRS = ("gq_gk", "gq_tq", "gq_tk", "tq_tk")
_SHUFFLED = {"svm.normal": "normal", "svm.mean_shuffled": "shuffled", "svm.difference": "drop"}


@dataclass(frozen=True)
class OwnRow:
    """Numbers of one task of one result.

    Attributes:
        task: one of `TASKS`.
        numbers: by what they count, in the papers' unit.
        level: whether videos or clips were tested; "" where that is no question.
    """

    task: str
    numbers: Mapping[Measure, float]
    level: str = ""


def list_own_rows(evaluation: Evaluation, origin: Origin) -> list[OwnRow]:
    """Return the numbers of a result that papers print too, in their unit; none where they print none."""
    found: dict[tuple[str, str], dict[Measure, float]] = {}
    for name, scale, level, measure in _name_numbers(evaluation, origin):
        if name in evaluation.numbers:
            found.setdefault((measure.task, level), {})[measure] = scale * evaluation.numbers[name]
    return [OwnRow(task, numbers, level) for (task, level), numbers in found.items()]


Named = tuple[str, float, str, Measure]
"""Dotted name of a number, what it is multiplied by, its level, and what it counts."""


def _name_numbers(evaluation: Evaluation, origin: Origin) -> Iterator[Named]:
    name = _NAMED.get(evaluation.protocol)
    if name is not None and _find_target(evaluation) == "label":
        yield from name(evaluation.settings, origin)


def _name_retrieval(_: Mapping[str, Any], __: Origin) -> Iterator[Named]:
    for level, task in _LEVELS.items():
        for k in _KS:
            yield f"{level}.recall.{k}", _SHARE, level, Measure(task, f"top{k}")


def _name_cycle(settings: Mapping[str, Any], _: Origin) -> Iterator[Named]:
    for task in _CYCLE:
        is_averaged = settings.get("is_averaged") and task in _LEVELS_CHOSEN
        for k in _KS:
            level = "video" if is_averaged else "clip"
            yield f"tasks.{task}.recall.{k}", _SHARE, level, Measure(task, f"top{k}")


def _name_svm(_: Mapping[str, Any], __: Origin) -> Iterator[Named]:
    for level in _LEVELS:
        yield from _name_accuracies("svm", level)


def _name_linear(_: Mapping[str, Any], __: Origin) -> Iterator[Named]:
    for level in _LEVELS:
        yield from _name_accuracies("linear", level)


def _name_recognition(_: Mapping[str, Any], origin: Origin) -> Iterator[Named]:
    task = "finetune tsm" if origin.is_shifted else "finetune"
    yield from _name_accuracies("linear" if origin.is_frozen else task, "")


def _name_shuffles(_: Mapping[str, Any], __: Origin) -> Iterator[Named]:
    for name, number in _SHUFFLED.items():
        yield name, _SHARE, "video", Measure("shuffle", number)


def _name_pairs(_: Mapping[str, Any], __: Origin) -> Iterator[Named]:
    for pair in _PAIRS:
        yield f"pairs.{pair}.mean", _AS_IT_IS, "", Measure("similarity", pair)


def _name_proposals(_: Mapping[str, Any], __: Origin) -> Iterator[Named]:
    yield "proposals.auc", _AS_IT_IS, "", Measure("proposals", "AUC")
    yield "proposals.average_recall.100", _SHARE, "", Measure("proposals", "AR@100")


def _name_low_shot(settings: Mapping[str, Any], _: Origin) -> Iterator[Named]:
    if settings.get("learner") == "finetune" and settings.get("metric") == "top1":
        for fraction in filter(is_number, as_list(settings.get("fractions"))):
            share = f"{100 * fraction:g}"
            yield f"{share} %.mean", _SHARE, "", Measure("low-shot", f"{share}%")


def _name_accuracies(task: str, place: str) -> Iterator[Named]:
    start, level = (f"{place}.", place) if place else ("", "video")
    yield f"{start}top1", _SHARE, level, Measure(task, "top1")
    yield f"{start}top5", _SHARE, level, Measure(task, "top5")
    yield f"{start}macro_f_measure", _SHARE, level, Measure("f-measure", "F-measure")
    if task == "linear":
        yield f"{start}top1", _SHARE, level, Measure("shuffle", "normal")


_NAMED: Mapping[str, Callable[[Mapping[str, Any], Origin], Iterator[Named]]] = {
    "retrieval": _name_retrieval,
    "cycle": _name_cycle,
    "svm": _name_svm,
    "linear": _name_linear,
    "recognition": _name_recognition,
    "shuffle-sensitivity": _name_shuffles,
    "similarity": _name_pairs,
    "average recall of temporal proposals": _name_proposals,
    "low-shot": _name_low_shot,
}
"""Protocol -> what names its numbers that the papers print too."""


def explain_absence(evaluation: Evaluation) -> str:
    """Say why a result has no number of the papers' kinds."""
    if _find_target(evaluation) != "label":
        return f"{evaluation.protocol} by {_find_target(evaluation)}; the papers ask for the class"
    if evaluation.protocol == "low-shot":
        return (
            f"{evaluation.settings.get('metric')} with few labels by {evaluation.settings.get('learner')}; "
            "the paper prints top1 of networks that are fine-tuned"
        )
    reasons = {
        "knn": "k-NN accuracy; no paper prints it",
        "degree": "how well the shuffle degree is told; no paper prints it",
        "motion-gain": "gain of one encoder over another, class by class; the paper names ten classes only",
    }
    return reasons.get(evaluation.protocol, f"{evaluation.protocol}; it has no number of the papers' kinds")


def _find_target(evaluation: Evaluation) -> str:
    return str(evaluation.settings.get("by", "label"))
