"""How well does CACL tell how far a shuffled clip is from the clip?"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.augment.shuffle_degree import possible_degrees
from unreel.config import config_to_dict
from unreel.data.batch import Rejection, VideoBatch
from unreel.evaluate.failures import check_fraction
from unreel.evaluate.view_sweep import ViewSweep, check_finite
from unreel.methods.method import Method

# B clips, C classes of the degree: true in rows, predicted in columns


@dataclass(frozen=True)
class DegreeResult:
    """How often each degree was taken for which, with all that is needed to measure it again.

    All scores follow from the counts. Their yardsticks are chance, a guess among all degrees alike, and the
    constant, whichever single answer scores best.

    Attributes:
        degrees: C possible degrees, ascending: 0, 2, 3, ...
        confusion_CC: int64, clips by true and predicted degree.
        videos: videos that took part.
        rejected: videos that could not be read, with the reason.
        settings: what was measured, and how.
        seconds: duration.
    """

    degrees: tuple[int, ...]
    confusion_CC: NDArray[np.int64]
    videos: int
    rejected: list[Rejection]
    settings: dict[str, Any]
    seconds: float

    @property
    def clips(self) -> int:
        """Clips that took part, one per video and round."""
        return int(self.confusion_CC.sum())

    @property
    def accuracy(self) -> float:
        """Share of the clips whose degree was told."""
        return self._average(self._distance == 0)

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        return 1 / len(self.degrees)

    @property
    def constant_accuracy(self) -> float:
        """Accuracy of the constant."""
        return float(self._average_of_constants(self._distance == 0).max())

    @property
    def mean_absolute_error(self) -> float:
        """Mean distance between true and predicted degree, in degrees."""
        return self._average(self._distance)

    @property
    def chance_error(self) -> float:
        """Mean distance of a guess."""
        return float(self._average_of_constants(self._distance).mean())

    @property
    def constant_error(self) -> float:
        """Mean distance of the constant."""
        return float(self._average_of_constants(self._distance).min())

    @property
    def within_one(self) -> float:
        """Share of the clips whose degree was told or missed by one; 0 and 2 are two apart."""
        return self._average(self._distance <= 1)

    @property
    def chance_within_one(self) -> float:
        """The same share of a guess."""
        return float(self._average_of_constants(self._distance <= 1).mean())

    @property
    def constant_within_one(self) -> float:
        """The same share of the constant."""
        return float(self._average_of_constants(self._distance <= 1).max())

    @property
    def _distance(self) -> NDArray[np.int64]:
        degrees_C = np.array(self.degrees, dtype=np.int64)
        distance_CC: NDArray[np.int64] = np.abs(degrees_C[:, None] - degrees_C[None, :])
        return distance_CC

    def _average(self, value_CC: NDArray[Any]) -> float:
        return float((self.confusion_CC * value_CC).sum() / self.clips)

    def _average_of_constants(self, value_CC: NDArray[Any]) -> NDArray[np.float64]:
        """Return what each degree would score as the answer to all clips; a guess scores their mean."""
        average_C: NDArray[np.float64] = self.confusion_CC.sum(axis=1) @ value_CC / self.clips
        return average_C

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "protocol": "degree",
            "settings": self.settings,
            "videos": self.videos,
            "clips": self.clips,
            "rejected": [config_to_dict(item) for item in self.rejected],
            "accuracy": self.accuracy,
            "chance": self.chance,
            "constant_accuracy": self.constant_accuracy,
            "mean_absolute_error": self.mean_absolute_error,
            "chance_error": self.chance_error,
            "constant_error": self.constant_error,
            "within_one": self.within_one,
            "chance_within_one": self.chance_within_one,
            "constant_within_one": self.constant_within_one,
            "degrees": list(self.degrees),
            "confusion": self.confusion_CC.tolist(),
            "seconds": self.seconds,
        }


def evaluate_degree(
    method: Method,
    batches: Iterable[VideoBatch],
    *,
    max_rejected_fraction: float = 0.05,
    settings: Mapping[str, Any] | None = None,
) -> DegreeResult:
    """Let a CACL predict the degree of every shuffle and compare with the truth.

    Clips are augmented as in training and shuffled by the method's own settings, which draw all degrees alike
    with the preset "uniform_exact". Nothing in the method changes.

    Args:
        method: a trained CACL in evaluation mode.
        batches: every video once per round, such as those of `sweep_batches`.
        max_rejected_fraction: share of the videos that may fail.
        settings: of the caller, such as seed and split; they go into the result.

    Raises:
        ValueError: the method is no CACL, is in training mode, or predicts no degree; or
            ``max_rejected_fraction`` is no share.
        FeaturesError: too many videos fail, or there is none.
        TrainingError: the network gives NaN or infinity.

    Reference: CACL, section 3.2 and eq. 6.
    """
    started = time.monotonic()
    check_fraction(max_rejected_fraction)
    sweep = ViewSweep(method, batches)
    config = sweep.method.config
    if not config.degree_weight:
        raise ValueError(
            "this run predicts no shuffle degree (method.degree_weight is 0); give a run that does, or ask "
            "`unreel evaluate similarity`"
        )
    degrees = possible_degrees(config.clips.num_frames)
    confusion_CC = np.zeros((len(degrees), len(degrees)), dtype=np.int64)
    for views in sweep:
        logits_BC = check_finite(sweep.method.predict_degree(views))
        true_B, told_B = views.degree_class_B.cpu().numpy(), logits_BC.argmax(dim=1).cpu().numpy()
        np.add.at(confusion_CC, (true_B, told_B), 1)
    sweep.check(max_rejected_fraction)
    return DegreeResult(
        degrees=degrees,
        confusion_CC=confusion_CC,
        videos=sweep.num_videos,
        rejected=sweep.rejected,
        settings={**(settings or {}), "method": config_to_dict(config)},
        seconds=time.monotonic() - started,
    )
