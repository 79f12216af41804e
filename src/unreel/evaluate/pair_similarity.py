"""How near are the embeddings that CACL's pairs bring together?"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.data.batch import Rejection, VideoBatch
from unreel.evaluate.failures import check_fraction
from unreel.evaluate.view_sweep import ViewSweep, check_finite
from unreel.losses.contrastive import normalize
from unreel.losses.cross_architecture import Pair
from unreel.methods.method import Method

# B clips of all videos, E embedding

PAIRS: tuple[Pair, ...] = get_args(Pair)


@dataclass(frozen=True)
class PairSimilarity:
    """Cosines of one pair of embeddings, in [-1, 1].

    Attributes:
        mean: of the two embeddings of one clip; a perfect pair has 1.
        deviation: standard deviation of these over all clips.
        others: mean over embeddings of different videos, the yardstick of ``mean``; None with one video.
        is_trained: whether the method was trained to bring this pair together.
    """

    mean: float
    deviation: float
    others: float | None
    is_trained: bool


@dataclass(frozen=True)
class SimilarityResult:
    """The pairs that the method has the networks for, with all that is needed to measure them again.

    Attributes:
        pairs: by name, in the order of the paper.
        videos: videos that took part.
        clips: clips that took part, one per video and round.
        rejected: videos that could not be read, with the reason.
        settings: what was measured, and how.
        seconds: duration.
    """

    pairs: dict[Pair, PairSimilarity]
    videos: int
    clips: int
    rejected: list[Rejection]
    settings: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "protocol": "similarity",
            "settings": self.settings,
            "videos": self.videos,
            "clips": self.clips,
            "rejected": [config_to_dict(item) for item in self.rejected],
            "pairs": {name: config_to_dict(pair) for name, pair in self.pairs.items()},
            "seconds": self.seconds,
        }


def evaluate_similarity(
    method: Method,
    batches: Iterable[VideoBatch],
    *,
    max_rejected_fraction: float = 0.05,
    settings: Mapping[str, Any] | None = None,
) -> SimilarityResult:
    """Measure the mean cosine of CACL's pairs of embeddings on views made as in training.

    Every clip is augmented and shuffled by the method's own settings. Nothing in the method changes: the
    momentum encoders are not moved, and no key enters the queue.

    Args:
        method: a trained CACL in evaluation mode.
        batches: every video once per round, such as those of `sweep_batches`.
        max_rejected_fraction: share of the videos that may fail.
        settings: of the caller, such as seed and split; they go into the result.

    Raises:
        ValueError: the method is no CACL, is in training mode, or contrasts nothing; or
            ``max_rejected_fraction`` is no share.
        FeaturesError: too many videos fail, or there is none.
        TrainingError: the network gives NaN or infinity.

    Reference: CACL, table 3.
    """
    started = time.monotonic()
    check_fraction(max_rejected_fraction)
    sweep = ViewSweep(method, batches)
    config = sweep.method.config
    if not config.has_contrast:
        raise ValueError(
            "this run contrasts nothing (method.pairs is empty or method.contrast_weight is 0), so it has no "
            "pairs to compare; give a run with pairs, or ask `unreel evaluate degree`"
        )
    found: dict[str, list[NDArray[np.float64]]] = {}
    for views in sweep:
        for name, embedding_BE in sweep.method.embed(views).items():
            unit_BE = normalize(check_finite(embedding_BE))
            found.setdefault(name, []).append(unit_BE.double().cpu().numpy())
    sweep.check(max_rejected_fraction)
    unit = {name: np.concatenate(parts) for name, parts in found.items()}
    owners_B = np.array(sweep.owners)
    return SimilarityResult(
        pairs={
            pair: _compare(unit[pair[:2]], unit[pair[3:]], owners_B, is_trained=pair in config.pairs)
            for pair in PAIRS
            if pair[:2] in unit and pair[3:] in unit
        },
        videos=sweep.num_videos,
        clips=len(owners_B),
        rejected=sweep.rejected,
        settings={**(settings or {}), "method": config_to_dict(config)},
        seconds=time.monotonic() - started,
    )


def mean_of_others(
    left_BE: NDArray[np.float64], right_BE: NDArray[np.float64], owners_B: NDArray[np.int64]
) -> float | None:
    """Return the mean dot product of a left and a right row over all that belong to different videos.

    Sums are multiplied in place of rows: all rows with all rows, less those of one video with each other.

    Args:
        left_BE: one row per clip.
        right_BE: one row per clip.
        owners_B: video of each clip.

    Returns:
        The mean, or None where all rows belong to one video.
    """
    _, place_B, count_V = np.unique(owners_B, return_inverse=True, return_counts=True)
    num_pairs = len(owners_B) ** 2 - int((count_V**2).sum())
    if not num_pairs:
        return None
    left_VE, right_VE = (np.zeros((len(count_V), left_BE.shape[1])) for _ in range(2))
    np.add.at(left_VE, place_B, left_BE)
    np.add.at(right_VE, place_B, right_BE)
    return float((left_VE.sum(axis=0) @ right_VE.sum(axis=0) - (left_VE * right_VE).sum()) / num_pairs)


def _compare(
    left_BE: NDArray[np.float64],
    right_BE: NDArray[np.float64],
    owners_B: NDArray[np.int64],
    *,
    is_trained: bool,
) -> PairSimilarity:
    cosine_B = (left_BE * right_BE).sum(axis=1)
    return PairSimilarity(
        mean=float(cosine_B.mean()),
        deviation=float(cosine_B.std()),
        others=mean_of_others(left_BE, right_BE, owners_B),
        is_trained=is_trained,
    )
