import math

import torch
from torch import nn

from unreel.models.initialization import init_convs_kaiming


def test_the_spread_follows_the_number_of_outputs_an_input_reaches() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 96, 5), nn.Conv3d(5, 64, (3, 3, 3)))
    init_convs_kaiming(network)
    # fan_out = output channels x kernel: 96 * 25 = 2400 and 64 * 27 = 1728; the samples are 9600 and 8640.
    for conv, fan_out in zip(network, (2400, 1728), strict=True):
        assert math.isclose(conv.weight.std().item(), math.sqrt(2 / fan_out), rel_tol=0.03)
        assert abs(conv.weight.mean().item()) < 0.05 * math.sqrt(2 / fan_out)


def test_biases_are_zero_and_other_layers_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3), nn.Linear(3, 2))
    before = [network[2].weight.clone(), network[2].bias.clone()]
    init_convs_kaiming(network)
    assert network[0].bias.tolist() == [0, 0, 0]
    assert network[1].weight.tolist() == [1, 1, 1]
    assert network[1].bias.tolist() == [0, 0, 0]
    assert torch.equal(network[2].weight, before[0])
    assert torch.equal(network[2].bias, before[1])


def test_one_seed_gives_one_network() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        conv = nn.Conv2d(3, 4, 3, bias=False)
        init_convs_kaiming(conv)
        return conv.weight.detach()

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
