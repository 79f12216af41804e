import torch
from torch import nn

from unreel.models.memory_format import to_channels_last
from unreel.models.r3d_plus1 import R3DPlus1


def test_every_kernel_has_channels_innermost_and_keeps_its_values() -> None:
    network = nn.Sequential(nn.Conv3d(3, 8, 3), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert to_channels_last(network) is network
    assert network[0].weight.stride(1) == 1
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert network[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[3].weight.is_contiguous()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_optimiser_built_before_still_owns_the_parameters() -> None:
    network = nn.Conv3d(3, 8, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    to_channels_last(network)
    before = network.weight.detach().clone()
    network(torch.randn(1, 3, 3, 3, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.weight)


def test_frames_of_channels_last_clips_are_channels_last_without_a_copy() -> None:
    clips = torch.randn(2, 3, 4, 32, 32).to(memory_format=torch.channels_last_3d)
    seen: list[torch.Tensor] = []
    network = to_channels_last(R3DPlus1(width=0.125))
    network.frames.stem.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network(clips)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert seen[0].data_ptr() == clips.data_ptr()
