"""Batch normalisation across devices: synchronised statistics, and Shuffle-BN.

Two views of a video that are normalised with the same batch share a clue to which clip belongs to which.
Shuffle-BN takes it away: the keys are normalised in other company than the queries.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unreel.distributed import gather_rows, rank_index, world_size

# B batch


def forward_shuffled(network: Callable[..., Tensor], *inputs_BX: Tensor, group_size: int) -> Tensor:
    """Run a network whose batch statistics tell nothing of the batch's order (Shuffle-BN).

    Among several processes the rows of all are dealt out at random, run, and brought home. In one process the
    rows are shuffled and run in groups of about ``group_size``, each normalised by itself; a batch of fewer
    than two groups is run as it is (decision E2).

    Args:
        network: maps rows to rows, without gradient.
        inputs_BX: what it takes, any shapes behind the batch axis; rows stay together.
        group_size: rows that are normalised together in one process; 0 runs every batch as it is.

    Reference: He et al., 2020, section 3.3 (Shuffling BN).
    """
    batch_size, device = len(inputs_BX[0]), inputs_BX[0].device
    if world_size() > 1 and group_size:
        return _forward_across_ranks(network, inputs_BX)
    num_groups = batch_size // group_size if group_size else 0
    if num_groups < 2:
        return network(*inputs_BX)
    order_B = draw_order(batch_size, device)
    groups = order_B.tensor_split(num_groups)
    outputs = [network(*(rows[group] for rows in inputs_BX)) for group in groups]
    return torch.cat(outputs)[torch.argsort(order_B)]


def draw_order(length: int, device: torch.device) -> Tensor:
    """Draw a permutation by the CPU's generator; from page-locked memory, as a GPU is not waited for then."""
    order = torch.randperm(length, pin_memory=device.type == "cuda")
    return order.to(device, non_blocking=True)


def _forward_across_ranks(network: Callable[..., Tensor], inputs_BX: tuple[Tensor, ...]) -> Tensor:
    batch_size = len(inputs_BX[0])
    order = draw_order(batch_size * world_size(), inputs_BX[0].device)
    dist.broadcast(order, src=0)
    first = rank_index() * batch_size
    mine = slice(first, first + batch_size)
    outputs = network(*(gather_rows(rows)[order[mine]] for rows in inputs_BX))
    return gather_rows(outputs.contiguous())[torch.argsort(order)[mine]]


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ANN401
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


def _sum_over_ranks(value: Tensor) -> Tensor:
    if world_size() == 1:
        return value
    total: Tensor = _SumOverRanks.apply(value)  # type: ignore[no-untyped-call]
    return total


class SynchronizedBatchNorm(_BatchNorm):
    """Batch normalisation with the statistics of all processes, computed alike for one and for many.

    Unlike torch's own, it runs on every device, so what is trained on many GPUs can be checked on CPUs. Its
    sums in float32 are closer to float64 than those of torch's plain batch normalisation on the CPU.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation takes (B, C, ...), got shape {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over all axes but the second."""
        self._check_input_dim(input)
        if not self.training:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        axes = [0, *range(2, input.dim())]
        values = input.float()
        count = values.numel() / values.shape[1] * world_size()
        mean_C = _sum_over_ranks(values.sum(dim=axes)) / count
        shape = [1, -1, *[1] * (input.dim() - 2)]
        centred = values - mean_C.view(shape)
        var_C = _sum_over_ranks(centred.square().sum(dim=axes)) / count
        self._move_statistics(mean_C.detach(), var_C.detach() * count / max(count - 1, 1))
        scale_C = self.weight.float() * torch.rsqrt(var_C + self.eps)
        output: Tensor = centred * scale_C.view(shape) + self.bias.float().view(shape)
        return output.to(input.dtype)

    @torch.no_grad()
    def _move_statistics(self, mean_C: Tensor, var_C: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(var_C, self.momentum)
        self.num_batches_tracked.add_(1)


def synchronize_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalisation inside a module by its synchronised form; weights and state stay."""
    if isinstance(module, _BatchNorm) and not isinstance(module, SynchronizedBatchNorm):
        assert module.affine
        assert module.track_running_stats
        twin = SynchronizedBatchNorm(module.num_features, eps=module.eps, momentum=module.momentum)
        twin.load_state_dict(module.state_dict())
        twin.train(module.training)
        for mine, theirs in zip(twin.parameters(), module.parameters(), strict=True):
            mine.requires_grad_(theirs.requires_grad)
        return twin
    for name, child in module.named_children():
        setattr(module, name, synchronize_batch_norm(child))
    return module
