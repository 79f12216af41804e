"""What differs when several processes train one model; with one, every function here is the identity."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

ItemT = TypeVar("ItemT")

_SIGNS_OF_LOSS = ("gloo", "nccl", "connection reset", "connection closed by peer", "socket")
"""In the messages of torch's own errors, which have no class that tells them from others."""


@dataclass(frozen=True)
class Rank:
    """This process's place among those that train together."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0


def read_rank() -> Rank:
    """Read torchrun's environment, or SLURM's, or be alone.

    Raises:
        ValueError: a variable is not an integer.
    """
    for rank, world_size, local_rank in (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ):
        if rank in os.environ and world_size in os.environ:
            return Rank(_int_env(rank), _int_env(world_size), _int_env(local_rank, default="0"))
    return Rank()


def _int_env(name: str, default: str | None = None) -> int:
    text = os.environ.get(name, default)
    try:
        return int(text or "")
    except ValueError:
        raise ValueError(f"environment variable {name} must be an integer, got {text!r}") from None


def start_process_group(rank: Rank, device: torch.device, *, timeout_sec: float = 600.0) -> None:
    """Join the other processes: NCCL on CUDA, gloo elsewhere. Does nothing when alone or already joined.

    Raises:
        ValueError: there are several processes but no ``MASTER_ADDR`` to meet at.
    """
    if rank.world_size == 1 or dist.is_initialized():
        return
    if "MASTER_ADDR" not in os.environ:
        raise ValueError(
            f"{rank.world_size} processes but MASTER_ADDR is not set; start with `torchrun`, or set "
            "MASTER_ADDR and MASTER_PORT to the first node's address and a free port"
        )
    os.environ.setdefault("MASTER_PORT", "29500")
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        rank=rank.rank,
        world_size=rank.world_size,
        timeout=timedelta(seconds=timeout_sec),
    )


def stop_process_group() -> None:
    """Leave the other processes, if any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_loss_of_peer(error: RuntimeError) -> bool:
    """Say whether an error means that another process is gone or does not answer."""
    if world_size() == 1:
        return False
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in _SIGNS_OF_LOSS)


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank_index() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401
        ctx.num_rows = len(rows)
        gathered = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        start = rank_index() * ctx.num_rows
        return grad[start : start + ctx.num_rows]


def gather_rows(rows: Tensor) -> Tensor:
    """Stack the rows of all processes in order of rank; every process must bring the same number of rows.

    The gradient flows back to the process that owns a row, summed over all processes. With DDP's averaging of
    gradients, a loss that is the mean over local rows then has the gradient of the mean over all rows.
    """
    if world_size() == 1:
        return rows
    if rows.requires_grad:
        gathered: Tensor = _GatherWithGradient.apply(rows)  # type: ignore[no-untyped-call]
        return gathered
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def sum_over_ranks(value: Tensor) -> Tensor:
    """Add up a tensor over all processes, without gradient."""
    if world_size() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value


def gather_objects(item: ItemT) -> list[ItemT]:
    """Collect one Python object of our own, never a file's, from every process, in order of rank."""
    if world_size() == 1:
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def wait_for_all() -> None:
    """Return when every process has come this far."""
    if world_size() > 1:
        dist.barrier()
