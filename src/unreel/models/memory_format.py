"""The order in memory that convolutions like best."""

from typing import TypeVar

import torch
from torch import nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def to_channels_last(network: NetworkT) -> NetworkT:
    """Store all convolution kernels with channels innermost, in place; results are the same up to rounding.

    A network may mix 2D and 3D convolutions, which ``network.to(memory_format=...)`` does not allow. Clips
    should follow: ``clips_BCTHW.to(memory_format=torch.channels_last_3d)``. Backbones that treat frames alone
    turn such clips into channels-last frames without a copy.
    """
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])
    return network
