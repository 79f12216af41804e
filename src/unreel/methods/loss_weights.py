"""Several losses in one method, each with a weight that is a setting: ``<name>_weight``; 0 leaves it out."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from unreel.methods.method import MethodConfig, StepOutput


def choose_losses(config: MethodConfig, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the named losses that are not left out."""
    return tuple(name for name in names if getattr(config, f"{name}_weight"))


def check_loss_weights(config: MethodConfig, names: tuple[str, ...]) -> None:
    """Refuse weights that leave nothing to learn, or that mean nothing.

    Raises:
        ValueError: a weight is negative, infinite or not a number, or all are 0.
    """
    for name in names:
        weight = getattr(config, f"{name}_weight")
        if not 0.0 <= weight < math.inf:
            raise ValueError(f"method.{name}_weight must be 0 or a positive number, got {weight}")
    if not choose_losses(config, names):
        raise ValueError(
            f"nothing is learned: give one of {', '.join(f'method.{name}_weight' for name in names)} a "
            "positive value"
        )


def sum_losses(config: MethodConfig, results: Mapping[str, tuple[Tensor, Tensor]]) -> StepOutput:
    """Weigh the losses and add them up.

    Args:
        config: has the weights.
        results: loss and accuracy by name.
    """
    losses = [getattr(config, f"{name}_weight") * loss for name, (loss, _) in results.items()]
    terms: dict[str, Tensor] = {}
    for name, (loss, accuracy) in results.items():
        terms |= {name: loss.detach(), f"{name}_accuracy": accuracy}
    return StepOutput(torch.stack(losses).sum(), terms)
