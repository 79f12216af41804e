"""Run a network over a few clips at a time: what comes out is kept, what is needed on the way is not.

A loss that contrasts inside the batch then sees all of it, while memory holds the activations of one chunk.
In the backward pass every chunk is run a second time, which costs one more forward pass.

Reference: Chen et al., 2016 (recomputation); Gao et al., 2021 (contrast over chunks of a batch).
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from unreel.models.batch_norm import draw_order

# B clips, X rows of a chunk, R any

ResultT = TypeVar("ResultT", Tensor, tuple[Tensor, Tensor])


def forward_in_chunks(
    run: Callable[[Tensor], ResultT], clips_BR: Tensor, *, network: nn.Module, chunk_clips: int
) -> ResultT:
    """Return what a network makes of clips that go through it a few at a time, in the clips' order.

    Chunks are as equal as can be. Where gradients are recorded, a chunk is run again in the backward pass,
    with the random numbers of the first time. Without batch statistics the result is that of all clips at
    once, up to rounding and, where something is dropped at random, up to the draws.

    Batch normalisation in training mode normalises every chunk by itself. Clips are then dealt to chunks at
    random: were the views of a video always in one chunk, its statistics would tell them from other videos.
    Running statistics move once per chunk. Without gradient, as in momentum encoders, such a network is run
    on all clips: Shuffle-BN has chosen what is normalised together.

    Args:
        run: maps clips to one result or two, a row per clip.
        clips_BR: the clips, any shape behind the batch axis.
        network: whose weights and statistics ``run`` uses.
        chunk_clips: most clips of a chunk.
    """
    is_learning = torch.is_grad_enabled()
    has_statistics = bool(_list_batch_norms(network))
    if has_statistics and not is_learning:
        return run(clips_BR)
    num_clips = len(clips_BR)
    num_chunks = -(-num_clips // chunk_clips)
    if not has_statistics:
        return _join([_run_chunk(run, network, chunk) for chunk in clips_BR.tensor_split(num_chunks)])
    order_B = draw_order(num_clips, clips_BR.device)
    results = [
        _run_chunk(lambda clips, rows_X: run(clips[rows_X]), network, clips_BR, rows_X)
        for rows_X in order_B.tensor_split(num_chunks)
    ]
    return _join(results, torch.argsort(order_B))


def _run_chunk(run: Callable[..., ResultT], network: nn.Module, *inputs: Tensor) -> ResultT:
    if not torch.is_grad_enabled():
        return run(*inputs)
    contexts = functools.partial(_build_contexts, network)
    result: ResultT = checkpoint(run, *inputs, use_reentrant=False, context_fn=contexts)
    return result


def _build_contexts(network: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return what surrounds the first run of a chunk, and what surrounds the second."""
    return nullcontext(), _SpareStatistics(network)


class _SpareStatistics:
    """While it is entered, batch normalisation moves copies of the running statistics, which are thrown away.

    Args:
        network: whose statistics are spared.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._kept: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        norms = _list_batch_norms(self.network)
        self._kept = [(norm, *item) for norm in norms for item in norm.named_buffers(recurse=False)]
        for norm, name, buffer in self._kept:
            setattr(norm, name, buffer.clone())

    def __exit__(self, *exception: object) -> None:
        for norm, name, buffer in self._kept:
            setattr(norm, name, buffer)
        self._kept = []


def _list_batch_norms(network: nn.Module) -> list[nn.Module]:
    """Return the batch normalisations that look at the batch now: those in training mode."""
    return [part for part in network.modules() if isinstance(part, _BatchNorm) and part.training]


def _join(results: list[ResultT], home_B: Tensor | None = None) -> ResultT:
    """Stack the results of chunks; ``home_B`` is the row of each clip, None where they are in order."""
    if isinstance(results[0], tuple):
        first, second = zip(*results, strict=True)
        return _join(list(first), home_B), _join(list(second), home_B)
    stacked_BR = torch.cat(results)
    return stacked_BR if home_B is None else stacked_BR[home_B]
