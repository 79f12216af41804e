"""What the numbers of every protocol are called in a table, and which of them are shown."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from unreel.report.chart_axes import format_number


@dataclass(frozen=True)
class Measure:
    """A column of a table, or one for every k.

    Attributes:
        title: above the column; ``{}`` stands for what ``*`` is.
        name: of the number in `Evaluation.numbers`; one ``*`` stands for anything.
        is_share: whether it is a share, to be written in percent.
        beside: name of the number that it is to be read beside, such as that of chance.
        beside_title: what that is called.
    """

    title: str
    name: str
    is_share: bool = True
    beside: str = ""
    beside_title: str = "chance"

    def expand(self, names: Iterable[str]) -> list["Measure"]:
        """Return a measure for every name that this one stands for, by number."""
        if "*" not in self.name:
            return [self] if self.name in names else []
        before, after = map(re.escape, self.name.split("*"))
        found = [match for name in names if (match := re.fullmatch(f"{before}(.+?){after}", name))]
        parts = sorted({match[1] for match in found}, key=_by_number)
        return [
            Measure(
                self.title.format(part),
                self.name.replace("*", part),
                self.is_share,
                self.beside.replace("*", part),
                self.beside_title,
            )
            for part in parts
        ]

    def write(self, numbers: Mapping[str, float], name: str = "") -> str:
        """Write the number as it stands in a table, "" where there is none."""
        value = numbers.get(name or self.name)
        if value is None:
            return ""
        if self.is_share:
            return f"{100 * value:.1f}"
        return f"{value:.3f}" if abs(value) <= 1 or not value.is_integer() else format_number(value)


def _by_number(part: str) -> tuple[float, str]:
    try:
        return float(part), part
    except ValueError:
        return float("inf"), part


@dataclass(frozen=True)
class Protocol:
    """How the results of one protocol are shown.

    Attributes:
        title: above all of them.
        text: what the numbers mean, in a sentence.
        groups: a table for each: its title, and its measures.
    """

    title: str
    text: str
    groups: tuple[tuple[str, tuple[Measure, ...]], ...]


def _recall(prefix: str) -> tuple[Measure, ...]:
    return (Measure("recall@{}", f"{prefix}recall.*", beside=f"{prefix}chance.*"),)


def _accuracy(prefix: str) -> tuple[Measure, ...]:
    return (
        Measure("top 1", f"{prefix}top1", beside=f"{prefix}chance"),
        Measure("top 5", f"{prefix}top5"),
        Measure("mean over classes", f"{prefix}mean_class"),
        Measure("macro F-measure", f"{prefix}macro_f_measure"),
        Measure("most frequent class", f"{prefix}constant"),
        Measure("top 1, unreadable wrong", f"{prefix}top1_of_all"),
    )


def _shuffled(prefix: str) -> tuple[Measure, ...]:
    return (
        Measure("in order", f"{prefix}normal", beside=f"{prefix}chance"),
        Measure("shuffled", f"{prefix}mean_shuffled", beside=f"{prefix}deviation", beside_title="±"),
        Measure("difference", f"{prefix}difference"),
    )


_VOTES = (("one vote each", "majority"), ("votes weighted by similarity", "weighted"))
_LEVELS = ("video", "clip")
_TASKS = {
    "A, frame to video": "frame_to_video",
    "B, video to frame": "video_to_frame",
    "C, frame to frame": "frame_to_frame",
    "C, video to video": "video_to_video",
}

PROTOCOLS = {
    "retrieval": Protocol(
        "Retrieval",
        "Share of queries with at least one right video among the k nearest by cosine, in percent.",
        tuple((f"{level} level", _recall(f"{level}.")) for level in _LEVELS),
    ),
    "knn": Protocol(
        "k-NN accuracy",
        "Share of queries whose k nearest neighbours choose the right class, in percent.",
        tuple(
            (f"{level} level, {vote}", (Measure("k = {}", f"{level}.{name}.*"),))
            for level in _LEVELS
            for vote, name in _VOTES
        ),
    ),
    "svm": Protocol(
        "Linear SVM",
        "Accuracy of one linear SVM per class on frozen features, in percent.",
        tuple((f"{level} level", _accuracy(f"{level}.")) for level in _LEVELS),
    ),
    "linear": Protocol(
        "Linear probe",
        "Accuracy of a linear layer that was trained on frozen features, in percent.",
        tuple((f"{level} level", _accuracy(f"{level}.")) for level in _LEVELS),
    ),
    "recognition": Protocol(
        "Recognition",
        "Accuracy of a trained classifier on videos that it has not seen, in percent.",
        (("", _accuracy("")),),
    ),
    "shuffle-sensitivity": Protocol(
        "Sensitivity to the order of frames",
        "Test clips as they are and with their frames shuffled: what has learned from order loses.",
        (
            ("linear SVM, accuracy in percent", _shuffled("svm.")),
            ("retrieval, recall@1 in percent", _shuffled("retrieval.")),
            (
                "cosines",
                (
                    Measure("to itself shuffled", "cosine", False),
                    Measure("to other videos", "cosine_of_others", False),
                    Measure("distance, shuffled to others", "relative_distance", False),
                ),
            ),
        ),
    ),
    "cycle": Protocol(
        "The tasks of CCL",
        "Share of queries that find a right frame or clip among the k nearest, in percent.",
        tuple((title, _recall(f"tasks.{name}.")) for title, name in _TASKS.items()),
    ),
    "similarity": Protocol(
        "The pairs of CACL",
        "Mean cosine of the embeddings of one clip, to be read beside that of different videos.",
        (("", (Measure("{}", "pairs.*.mean", False, "pairs.*.others", "others"),)),),
    ),
    "degree": Protocol(
        "The shuffle degree of CACL",
        "How well the network tells how far a shuffled clip is from the clip, in percent and in degrees.",
        (
            (
                "",
                (
                    Measure("accuracy", "accuracy", beside="chance"),
                    Measure("within one degree", "within_one", beside="chance_within_one"),
                    Measure("mean error", "mean_absolute_error", False, "chance_error"),
                ),
            ),
        ),
    ),
    "low-shot": Protocol(
        "Few labels",
        "Mean over the draws of the labelled videos, by their share, in percent.",
        (("", (Measure("{} % of the labels", "* %.mean", beside="* %.deviation", beside_title="±"),)),),
    ),
    "average recall of temporal proposals": Protocol(
        "Localisation",
        "Average recall of proposals with N per video, and the area below that curve, in percent.",
        (
            (
                "",
                (
                    Measure(
                        "AR@{}", "proposals.average_recall.*", True, "uniform.average_recall.*", "uniform"
                    ),
                    Measure("area (AUC)", "proposals.auc", False, "uniform.auc", "uniform"),
                ),
            ),
        ),
    ),
    "motion-gain": Protocol(
        "Gain over motion",
        "What the second encoder gains on the first, in points, and its rank correlation with motion.",
        (("", (Measure("mean gain", "mean_gain"), Measure("rank correlation", "correlation", False))),),
    ),
}
"""By the name that results give themselves, in the order of a report."""

_MOST_COLUMNS = 12


def describe_protocol(name: str, numbers: Iterable[str]) -> Protocol:
    """Return how results of a protocol are shown; of an unknown one, their first numbers as they are."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    shown = [Measure(own.replace("_", " "), own, is_share=False) for own in numbers if "*" not in own]
    return Protocol(name, "Numbers as they stand in the files.", (("", tuple(shown[:_MOST_COLUMNS])),))


def name_protocol(name: str) -> str:
    """Return what a protocol is called in a heading."""
    return PROTOCOLS[name].title if name in PROTOCOLS else name
