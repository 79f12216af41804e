"""A slowly moving copy of a network."""

import copy
from typing import Any

import torch
from torch import nn


class MomentumEncoder(nn.Module):
    """An exponential average of another network's weights; it never receives gradient.

    Parameters are averaged; buffers, such as the statistics of batch normalisation, are its own and follow
    its own forward passes in training mode (decision E4).

    Args:
        online: the network to copy and follow. It is not held, only copied.
    """

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(online).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:  # noqa: ANN401 (whatever the network takes and gives)
        """Run the copy without gradient."""
        return self.network(*inputs)

    @torch.no_grad()
    def follow(self, online: nn.Module, *, momentum: float) -> None:
        """Move every parameter: ``key <- momentum * key + (1 - momentum) * online``.

        Args:
            online: the network that this one was copied from.
            momentum: in [0, 1]; 0.999 in MoCo.

        Raises:
            ValueError: ``momentum`` is outside [0, 1].

        Reference: He et al., 2020, eq. 2; VCLR, eq. 12.
        """
        check_momentum(momentum)
        torch._foreach_lerp_(list(self.network.parameters()), list(online.parameters()), 1.0 - momentum)


def check_momentum(momentum: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: ``momentum`` is outside [0, 1].
    """
    if not 0.0 <= momentum <= 1.0:
        raise ValueError(f"momentum must lie in [0, 1], got {momentum}; the papers use 0.999")
