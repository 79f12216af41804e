import pytest
import torch
from torch import nn

from unreel.models.momentum import MomentumEncoder


def build_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_a_step_moves_every_parameter_by_one_thousandth_of_the_distance() -> None:
    online = build_network()
    encoder = MomentumEncoder(online)
    before = [p.clone() for p in encoder.network.parameters()]
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(1.0)
    encoder.follow(online, momentum=0.999)
    for old, new, target in zip(before, encoder.network.parameters(), online.parameters(), strict=True):
        for a, b, c in zip(
            old.flatten().tolist(), new.flatten().tolist(), target.flatten().tolist(), strict=True
        ):
            assert b == pytest.approx(0.999 * a + 0.001 * c, abs=1e-6)


@pytest.mark.parametrize(("momentum", "source"), [(1.0, "before"), (0.0, "online")])
def test_the_ends_of_the_range_keep_or_copy(momentum: float, source: str) -> None:
    online = build_network()
    encoder = MomentumEncoder(online)
    before = encoder.network[0].weight.clone()
    with torch.no_grad():
        online[0].weight.mul_(3.0)
    encoder.follow(online, momentum=momentum)
    assert torch.equal(encoder.network[0].weight, before if source == "before" else online[0].weight)


def test_the_copy_shares_nothing_and_takes_no_gradient() -> None:
    online = build_network()
    encoder = MomentumEncoder(online)
    output = encoder(torch.randn(5, 3))
    assert not output.requires_grad
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(p.requires_grad for p in online.parameters())
    assert {p.data_ptr() for p in online.parameters()}.isdisjoint(p.data_ptr() for p in encoder.parameters())


def test_batch_statistics_are_its_own() -> None:
    online = build_network()
    encoder = MomentumEncoder(online)
    encoder(torch.randn(5, 3) + 10.0)
    encoder.follow(online, momentum=0.0)
    assert not torch.equal(encoder.network[1].running_mean, online[1].running_mean)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_outside_the_unit_interval_is_refused(momentum: float) -> None:
    online = build_network()
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\]"):
        MomentumEncoder(online).follow(online, momentum=momentum)
