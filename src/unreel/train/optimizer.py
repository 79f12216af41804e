"""Optimisers from their configuration."""

import torch
from torch import nn

from unreel.train.recipe import OptimizerConfig


def build_optimizer(config: OptimizerConfig, module: nn.Module) -> torch.optim.Optimizer:
    """Build an optimiser over the parameters that require gradient.

    With ``decay_norms`` off, parameters with fewer than two axes (biases and normalisation weights) form a
    second group without weight decay.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [{"params": parameters, "weight_decay": config.weight_decay}]
    if not config.decay_norms:
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
    is_cuda = parameters[0].is_cuda
    if config.name in ("adam", "adamw"):
        kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
        return kind(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=is_cuda)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=is_cuda)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip_gradients(module: nn.Module, clip_norm: float) -> None:
    """Scale all gradients down to a common norm; 0 leaves them."""
    if clip_norm > 0:
        nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
