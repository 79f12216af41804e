"""Optimisers from their configuration."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unreel.methods.method import ParameterGroup
from unreel.train.recipe import OptimizerConfig


def build_optimizer(config: OptimizerConfig, groups_of: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
    """Build an optimiser over the parameters that require gradient.

    With ``decay_norms`` off, parameters with fewer than two axes (biases and normalisation weights) form
    groups of their own, without weight decay.

    Args:
        config: how weights move.
        groups_of: the weights, by how their rate and decay differ from that.
    """
    groups = [part for group in groups_of for part in _split(config, group)]
    is_cuda = groups[0]["params"][0].is_cuda
    if config.name in ("adam", "adamw"):
        kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
        return kind(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=is_cuda)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=is_cuda)


def _split(config: OptimizerConfig, group: ParameterGroup) -> list[dict[str, Any]]:
    """Return torch's groups of one of ours: two where norms and biases do not decay, empty ones left out."""
    parameters = [parameter for parameter in group.parameters if parameter.requires_grad]
    decay = config.weight_decay * group.decay_factor
    parts = [(parameters, decay)]
    if not config.decay_norms:
        parts = [
            ([p for p in parameters if p.dim() > 1], decay),
            ([p for p in parameters if p.dim() <= 1], 0.0),
        ]
    own = {"lr_factor": group.lr_factor, "fixed_lr": group.fixed_lr}
    return [{"params": members, "weight_decay": value, **own} for members, value in parts if members]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the rate, times its own factor; a group with a fixed rate keeps that.

    Groups from a checkpoint of a version that knew neither have the rate as it is.
    """
    for group in optimizer.param_groups:
        group["lr"] = group.get("fixed_lr", 0.0) or lr * group.get("lr_factor", 1.0)


def clip_gradients(module: nn.Module, clip_norm: float) -> None:
    """Scale all gradients down to a common norm; 0 leaves them."""
    if clip_norm > 0:
        nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
