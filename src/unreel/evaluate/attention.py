"""Which frames CACL's transformer looks at, on average over random clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.data.batch import Rejection, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling
from unreel.data.loader import DataConfig
from unreel.data.sweep import sweep_batches
from unreel.evaluate.view_sweep import ViewSweep, check_finite
from unreel.methods.cacl_settings import CACLSettings
from unreel.methods.method import Method
from unreel.progress import Progress, ignore_progress
from unreel.seeding import build_generator

# B batch, T frames of a clip, N = 1 + 2T tokens: the class token, the clip, its shuffled copy


@dataclass(frozen=True)
class AttentionResult:
    """Attention of one block, averaged.

    Attributes:
        attention_NN: float64; row i says with what weight token i takes from each token, and sums to 1. Token
            0 is the class token, then come the frames of the clip and those of the shuffled clip.
        num_clips: clips that were averaged.
        num_videos: different videos that these are of.
        block: which block, counted from 0.
        rejected: videos that could not be read, with the reason.
    """

    attention_NN: NDArray[np.float64]
    num_clips: int
    num_videos: int
    block: int
    rejected: tuple[Rejection, ...] = ()

    @property
    def num_frames(self) -> int:
        """T, frames of a clip."""
        return (len(self.attention_NN) - 1) // 2

    @property
    def tokens(self) -> list[str]:
        """What each row and column stands for; frames are counted from 0."""
        kinds = ("clip", "shuffled")
        return ["class", *(f"{kind} {frame}" for kind in kinds for frame in range(self.num_frames))]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "figure": "attention",
            "block": self.block,
            "clips": self.num_clips,
            "videos": self.num_videos,
            "rejected": [{"path": item.path, "reason": item.reason} for item in self.rejected],
            "tokens": self.tokens,
            "attention": self.attention_NN.tolist(),
        }


def read_random_clips(
    catalog: Catalog,
    clips: ClipSampling,
    config: DataConfig,
    *,
    num_clips: int,
    seed: int = 0,
    batch_size: int = 8,
    num_workers: int = -1,
) -> Iterator[VideoBatch]:
    """Read at least so many clips of videos in a random order, each anew before one comes a second time.

    Args:
        catalog: the videos to choose from, such as those of `keep_whole_clips`.
        clips: how a clip is cut.
        config: size of the frames and limit of time.
        num_clips: clips that are needed; fewer come only where videos cannot be read.
        seed: of the order, the clips and their augmentation.
        batch_size: videos per batch.
        num_workers: processes that decode; -1 takes one per core, 0 decodes in this process.

    Raises:
        CatalogError: the catalog is empty, or not one of its videos can be read.
        ValueError: a number is out of range.
    """
    _check_num_clips(num_clips)
    order = build_generator(seed, "attention").permutation(len(catalog))
    return sweep_batches(
        catalog.take(order),
        clips,
        config,
        seed=seed,
        batch_size=min(batch_size, num_clips),
        num_rounds=max(1, -(-num_clips // max(1, len(catalog)))),
        num_workers=num_workers,
    )


def average_attention(
    method: Method,
    batches: Iterable[VideoBatch],
    *,
    block: int = 0,
    num_clips: int = 50,
    progress: Progress = ignore_progress,
) -> AttentionResult:
    """Average the attention of one block over clips and heads.

    The clips are augmented and shuffled as in training; what is read is the online transformer on the query
    view. Nothing in the method changes. No more batches are taken than are needed.

    Args:
        method: a CACL with a transformer, in evaluation mode.
        batches: videos as the method's ``clips`` cut them, such as those of `read_random_clips`.
        block: which block, counted from 0.
        num_clips: clips to average; fewer when the batches hold no more.
        progress: is told the number of clips done.

    Raises:
        ValueError: the method is no CACL, has no transformer, one that never learned, or no such block; or it
            is in training mode.
        FeaturesError: there is no clip.
        TrainingError: the transformer gives NaN or infinity.

    Reference: CACL, figure 3.
    """
    _check_num_clips(num_clips)
    sweep = ViewSweep(method, batches)
    _check_transformer(sweep.method.config)
    total_NN = np.zeros(())
    done = 0
    for views in sweep:
        attention_BHNN = check_finite(sweep.method.attention(views, block=block))
        attention_BNN = attention_BHNN.double().mean(dim=1)[: num_clips - done]
        total_NN = total_NN + attention_BNN.sum(dim=0).cpu().numpy()
        done += len(attention_BNN)
        progress(done, num_clips, "")
        if done == num_clips:
            break
    sweep.check(max_rejected_fraction=1.0)
    return AttentionResult(
        total_NN / done,
        num_clips=done,
        num_videos=len(set(sweep.owners[:done])),
        block=block,
        rejected=tuple(sweep.rejected),
    )


def _check_transformer(config: CACLSettings) -> None:
    """Refuse a run whose online transformer is not there, or never learned."""
    pairs = f"this run contrasts the pairs ({', '.join(config.pairs)}) with weight {config.contrast_weight}"
    remedy = "take a run with Tq in a pair, such as --method.pairs gq_gk gq_tq"
    if not config.has_transformer:
        raise ValueError(f"{pairs}, so it has no transformer whose attention could be shown; {remedy}")
    if not any("tq" in pair for pair in config.pairs):
        raise ValueError(
            f"{pairs}: Tq is in none of them, so its transformer never learned and still has the random "
            f"weights it began with; {remedy}"
        )


def _check_num_clips(num_clips: int) -> None:
    if num_clips < 1:
        raise ValueError(f"num_clips must be at least 1, got {num_clips}; the published figure averages 50")
