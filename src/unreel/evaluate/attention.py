"""Which frames CACL's transformer looks at, on average over random clips."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.batch import Rejection, VideoBatch
from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling
from unreel.data.loader import DataConfig
from unreel.data.sweep import sweep_batches
from unreel.errors import TrainingError
from unreel.methods.cacl import CACL
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
        block: which block, counted from 0.
        rejected: videos that could not be read, with the reason.
    """

    attention_NN: NDArray[np.float64]
    num_clips: int
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
        catalog: the videos to choose from.
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


@torch.no_grad()
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
        method: a CACL with a transformer.
        batches: videos as the method's ``clips`` cut them.
        block: which block, counted from 0.
        num_clips: clips to average; fewer when the batches hold no more.
        progress: is told the number of clips done.

    Raises:
        ValueError: the method has no transformer or no such block, or there is no clip.
        TrainingError: the transformer gives NaN or infinity.

    Reference: CACL, figure 3.
    """
    if not isinstance(method, CACL) or not method.config.has_transformer:
        raise ValueError(
            f"{_describe(method)} has no transformer whose attention could be shown; take a run of CACL with "
            "a cross-architecture pair, such as --method.pairs gq_gk gq_tq"
        )
    _check_num_clips(num_clips)
    device = next(method.parameters()).device
    total_NN: NDArray[np.float64] | None = None
    rejected: dict[str, Rejection] = {}
    done = 0
    for batch in batches:
        # A video that fails does so in every round.
        rejected |= {item.path: item for item in batch.rejections}
        views = method.make_views(batch.to(device))
        attention_BNN = method.attention(views, block=block).double().mean(dim=1)[: num_clips - done]
        summed_NN = attention_BNN.sum(dim=0).cpu().numpy()
        total_NN = summed_NN if total_NN is None else total_NN + summed_NN
        done += len(attention_BNN)
        progress(done, num_clips, "")
        if done == num_clips:
            break
    if total_NN is None:
        raise ValueError("there is no clip to average the attention over; the batches are empty")
    if not np.isfinite(total_NN).all():
        raise TrainingError(
            "the transformer of this run gives NaN or infinity; look at the loss in metrics.jsonl and train "
            "again with a lower train.optimizer.lr"
        )
    return AttentionResult(total_NN / done, num_clips=done, block=block, rejected=tuple(rejected.values()))


def _check_num_clips(num_clips: int) -> None:
    if num_clips < 1:
        raise ValueError(f"num_clips must be at least 1, got {num_clips}; the published figure averages 50")


def _describe(method: Method) -> str:
    if isinstance(method, CACL):
        pairs, weight = method.config.pairs, method.config.contrast_weight
        return f"CACL with pairs ({', '.join(pairs)}) of weight {weight}"
    return f"method {type(method).__name__}"
