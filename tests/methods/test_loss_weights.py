import math
from dataclasses import replace

import pytest
import torch

from unreel.methods.loss_weights import check_loss_weights, choose_losses, sum_losses
from unreel.methods.seco import SeCo

LOSSES = ("inter", "intra", "order")
CONFIG = SeCo.Config(inter_weight=0.5, intra_weight=0.0, order_weight=3.0)


def test_a_weight_of_0_leaves_a_loss_out() -> None:
    assert choose_losses(CONFIG, LOSSES) == ("inter", "order")


def test_losses_are_weighed_and_reported_as_they_are() -> None:
    """0.5 * 2 + 3 * 4 = 13."""
    inter = torch.tensor(2.0, requires_grad=True)
    results = {
        "inter": (inter, torch.tensor(0.25)),
        "order": (torch.tensor(4.0, requires_grad=True), torch.tensor(0.75)),
    }
    output = sum_losses(CONFIG, results)
    assert output.loss.item() == 13.0
    assert {name: value.item() for name, value in output.terms.items()} == {
        "inter": 2.0,
        "inter_accuracy": 0.25,
        "order": 4.0,
        "order_accuracy": 0.75,
    }
    assert not any(value.requires_grad for value in output.terms.values())
    output.loss.backward()
    assert inter.grad is not None
    assert inter.grad.item() == 0.5


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_weights_that_mean_nothing_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=f"method.order_weight must be 0 or a positive number, got {weight}"):
        replace(CONFIG, order_weight=weight)


def test_something_must_be_learned() -> None:
    with pytest.raises(ValueError, match=r"nothing is learned: give one of method.inter_weight, .* positive"):
        replace(CONFIG, inter_weight=0.0, order_weight=0.0)
    check_loss_weights(CONFIG, LOSSES)
