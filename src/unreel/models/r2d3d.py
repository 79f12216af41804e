"""2D3D-ResNet-18: the network of DPC, over space in its first two stages, over space and time in the last."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from unreel.models.backbone import Backbone
from unreel.models.initialization import init_convs_kaiming
from unreel.models.width import scale_channels

# B batch, C channels, T frames, H W pixels, D features; kernels and strides are (time, height, width)

Size3 = tuple[int, int, int]


class BasicBlock2D3D(nn.Module):
    """Two kx3x3 convolutions beside a shortcut, k being 1 or 3; a block of kernel 1 keeps time as it is.

    The shortcut is the identity; where the size changes, a strided 1x1x1 convolution, normalised.

    Attributes:
        has_final_relu: whether the sum of both ways is rectified.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, time_kernel: int, stride: int, has_final_relu: bool
    ) -> None:
        super().__init__()
        self.has_final_relu = has_final_relu
        kernel, padding = (time_kernel, 3, 3), (time_kernel // 2, 1, 1)
        strides: Size3 = (stride if time_kernel > 1 else 1, stride, stride)
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel, strides, padding, bias=False)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel, padding=padding, bias=False)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv3d(in_channels, out_channels, 1, strides, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(out_channels)))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the sum of both ways, after ReLU where the block has it."""
        y = F.relu(self.norm1(self.conv1(x_BCTHW)), inplace=True)
        y = self.norm2(self.conv2(y)) + self.shortcut(x_BCTHW)
        return F.relu(y, inplace=True) if self.has_final_relu else y


class R2D3D(Backbone):
    """ResNet-18 of 1x3x3 convolutions, then of 3x3x3; 256 features of either sign, 14 057 536 parameters.

    A clip of 5 frames and 128x128 pixels gives a map of 256 x 2 x 4 x 4: res4 and res5 halve time, the stem,
    its max-pooling, res3, res4 and res5 halve space. res5 is as wide as res4, and its last block ends without
    ReLU, so that what is predicted (DPC) is not confined to positive numbers. Fresh weights are Kaiming
    normal by fan-out.

    Reference: DPC (Han et al., 2019) and its released code; VCLR, table 9.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        c2, c3, c4, c5 = (scale_channels(channels, width) for channels in (64, 128, 256, 256))
        conv = nn.Conv3d(3, c2, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        self.stem = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(c2), relu=nn.ReLU(inplace=True)))
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.res2 = _build_stage(c2, c2, time_kernel=1, stride=1)
        self.res3 = _build_stage(c2, c3, time_kernel=1, stride=2)
        self.res4 = _build_stage(c3, c4, time_kernel=3, stride=2)
        self.res5 = _build_stage(c4, c5, time_kernel=3, stride=2, has_final_relu=False)
        self.num_features = c5
        init_convs_kaiming(self)

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of res5, shape (B, D, T / 4, H / 32, W / 32), rounded up at each halving."""
        x = self.pool(self.stem(clips_BCTHW))
        map_BDTHW: Tensor = self.res5(self.res4(self.res3(self.res2(x))))
        return map_BDTHW


def _build_stage(
    in_channels: int, out_channels: int, *, time_kernel: int, stride: int, has_final_relu: bool = True
) -> nn.Sequential:
    first = BasicBlock2D3D(
        in_channels, out_channels, time_kernel=time_kernel, stride=stride, has_final_relu=True
    )
    second = BasicBlock2D3D(
        out_channels, out_channels, time_kernel=time_kernel, stride=1, has_final_relu=has_final_relu
    )
    return nn.Sequential(first, second)


@dataclass(frozen=True)
class R2D3DConfig:
    """ResNet-18 of DPC, 2D in its first stages and 3D in the last (14.1 million parameters)."""

    architecture: Literal["r2d3d"] = "r2d3d"
    """Name of the architecture."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> R2D3D:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``width`` is not positive.
        """
        return R2D3D(width=self.width)
