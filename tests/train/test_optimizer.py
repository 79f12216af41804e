import pytest
import torch
from torch import nn

from unreel.methods.method import ParameterGroup
from unreel.train.optimizer import build_optimizer, clip_gradients, set_learning_rate
from unreel.train.recipe import OptimizerConfig


def build_network() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[2].requires_grad_(False)
    return network


def groups_of(network: nn.Module) -> list[ParameterGroup]:
    return [ParameterGroup(list(network.parameters()))]


def test_sgd_takes_the_numbers_of_the_recipe_and_only_what_learns() -> None:
    optimizer = build_optimizer(
        OptimizerConfig("sgd", lr=0.3, momentum=0.8, weight_decay=0.01), groups_of(build_network())
    )
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.8, 0.01)
    assert len(group["params"]) == 4


def test_adamw_decays_weights_but_not_norms_when_told_so() -> None:
    config = OptimizerConfig("adamw", lr=1e-3, weight_decay=0.05, decay_norms=False)
    optimizer = build_optimizer(config, groups_of(build_network()))
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, free = optimizer.param_groups
    assert [p.dim() for p in decayed["params"]] == [2]
    assert [p.dim() for p in free["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0.0)
    assert decayed["betas"] == (0.9, 0.999)


def test_adam_adds_the_decay_to_the_gradient_and_adamw_does_not() -> None:
    # Decay 0.1 on a weight of 2 and no other gradient: Adam divides the 0.2 by its own size and moves by the
    # rate; AdamW shrinks the weight by rate times decay.
    for name, expected in (("adam", 2 - 0.01), ("adamw", 2 * (1 - 0.01 * 0.1))):
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, 2.0)
        optimizer = build_optimizer(OptimizerConfig(name, lr=0.01, weight_decay=0.1), groups_of(layer))  # type: ignore[arg-type]
        layer.weight.grad = torch.zeros(1, 1)
        optimizer.step()
        assert layer.weight.item() == pytest.approx(expected, rel=1e-6)
    assert type(optimizer) is torch.optim.AdamW


def test_the_rate_reaches_every_group() -> None:
    optimizer = build_optimizer(OptimizerConfig(decay_norms=False), groups_of(build_network()))
    set_learning_rate(optimizer, 0.123)
    assert [group["lr"] for group in optimizer.param_groups] == [0.123, 0.123]


def test_a_group_moves_by_its_own_factors_or_at_its_own_rate() -> None:
    first, second, third = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [
        ParameterGroup(list(first.parameters())),
        ParameterGroup([second.weight], lr_factor=5.0, decay_factor=2.0),
        ParameterGroup([second.bias], lr_factor=10.0, decay_factor=0.0),
        ParameterGroup(list(third.parameters()), fixed_lr=0.001),
    ]
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.01), groups)
    for lr in (0.2, 0.1):
        set_learning_rate(optimizer, lr)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            [lr, 5 * lr, 10 * lr, 0.001]
        )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.02, 0.0, 0.01]


def test_a_checkpoint_from_before_factors_goes_on_and_a_newer_one_keeps_them() -> None:
    layer = nn.Linear(2, 2)
    groups = [ParameterGroup([layer.weight], lr_factor=5.0), ParameterGroup([layer.bias], fixed_lr=0.001)]
    state = build_optimizer(OptimizerConfig(), groups).state_dict()
    plain = [ParameterGroup([layer.weight]), ParameterGroup([layer.bias])]
    restored = build_optimizer(OptimizerConfig(), plain)
    restored.load_state_dict(state)
    set_learning_rate(restored, 0.2)
    assert [group["lr"] for group in restored.param_groups] == pytest.approx([1.0, 0.001])
    for group in state["param_groups"]:
        del group["lr_factor"], group["fixed_lr"]
    restored.load_state_dict(state)
    set_learning_rate(restored, 0.2)
    assert [group["lr"] for group in restored.param_groups] == [0.2, 0.2]


def test_a_group_without_anything_that_learns_is_left_out() -> None:
    frozen, free = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    groups = [ParameterGroup(list(frozen.parameters())), ParameterGroup(list(free.parameters()))]
    (group,) = build_optimizer(OptimizerConfig(), groups).param_groups
    assert group["params"] == list(free.parameters())


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.0, 5.0), (2.0, 2.0), (9.0, 5.0)])
def test_gradients_are_scaled_down_to_the_norm_and_never_up(clip_norm: float, expected: float) -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    clip_gradients(layer, clip_norm)
    assert layer.weight.grad.norm().item() == pytest.approx(expected, rel=1e-5)
