"""Read batches ahead of their use, in processes of their own."""

import signal
from typing import Protocol, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

from unreel.machine import end_with_parent

BatchT = TypeVar("BatchT")
_BatchT_co = TypeVar("_BatchT_co", covariant=True)

_PREFETCHED_BATCHES = 2


class Numbered(Protocol[_BatchT_co]):
    """Number of a part of a batch -> that part, a pure function of the number."""

    def __getitem__(self, number: int, /) -> _BatchT_co:
        """Read a part."""


def build_loader(
    batches: Numbered[BatchT],
    *,
    first: int,
    last: int,
    num_workers: int,
    is_pinned: bool,
) -> DataLoader[BatchT]:
    """Read the parts ``first`` to ``last - 1`` ahead of their use; each worker decodes with one thread.

    Args:
        batches: number of a part -> the part, such as `TrainingBatches`.
        first: number of the first part.
        last: number behind that of the last part.
        num_workers: processes that decode; 0 decodes in this one.
        is_pinned: whether pictures go to page-locked memory.
    """
    return DataLoader(
        cast(Dataset[BatchT], batches),
        batch_size=None,
        sampler=range(first, last),
        num_workers=num_workers,
        pin_memory=is_pinned,
        worker_init_fn=_start_worker,
        prefetch_factor=_PREFETCHED_BATCHES if num_workers else None,
        # torch's loader draws a number when it starts; from the global generator, a resumed run would then
        # draw others than the uninterrupted one.
        generator=torch.Generator(),
    )


def _start_worker(worker: int) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):  # the training process decides when to stop
        signal.signal(number, signal.SIG_IGN)
