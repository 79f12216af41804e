"""R3D-50: the 3D ResNet-50 of CVRL, bottlenecks that look over time in the last two stages only."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from unreel.models.backbone import Backbone
from unreel.models.initialization import init_convs_kaiming
from unreel.models.width import scale_channels

# B batch, C channels, T frames, H W pixels, D features

_EXPANSION = 4


class Bottleneck3D(nn.Module):
    """A kx1x1, a 1x3x3 and a 1x1x1 convolution beside a shortcut; the 1x3x3 one carries the stride.

    The shortcut is the identity; where the size changes, a strided 1x1x1 convolution, normalised.
    """

    def __init__(self, in_channels: int, out_channels: int, *, time_kernel: int, spatial_stride: int) -> None:
        super().__init__()
        mid_channels = out_channels // _EXPANSION
        kernel, padding, stride = (time_kernel, 1, 1), (time_kernel // 2, 0, 0), (1, *(spatial_stride,) * 2)
        self.conv1 = nn.Conv3d(in_channels, mid_channels, kernel, padding=padding, bias=False)
        self.norm1 = nn.BatchNorm3d(mid_channels)
        self.conv2 = nn.Conv3d(mid_channels, mid_channels, (1, 3, 3), stride, (0, 1, 1), bias=False)
        self.norm2 = nn.BatchNorm3d(mid_channels)
        self.conv3 = nn.Conv3d(mid_channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if spatial_stride != 1 or in_channels != out_channels:
            conv = nn.Conv3d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(out_channels)))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the sum of both ways after ReLU."""
        y = F.relu(self.norm1(self.conv1(x_BCTHW)), inplace=True)
        y = F.relu(self.norm2(self.conv2(y)), inplace=True)
        y = self.norm3(self.conv3(y))
        return F.relu(y + self.shortcut(x_BCTHW), inplace=True)


class R3D50(Backbone):
    """3D ResNet-50 with a temporal stride in its stem alone; 2048 features, 31 672 128 parameters.

    A clip of 16 frames and 224x224 pixels gives a map of 2048 x 8 x 7 x 7. The stem looks at 5 frames; res2
    and res3 are purely spatial; in res4 and res5 the first convolution of every block looks at 3. Fresh
    weights are Kaiming normal by fan-out, as those of the 2D network.

    Reference: CVRL (Qian et al., 2021), kernels and strides of its released configuration; VCLR, section 5.3.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        stem, *mids = (scale_channels(channels, width) for channels in (64, 64, 128, 256, 512))
        c2, c3, c4, c5 = (channels * _EXPANSION for channels in mids)
        conv = nn.Conv3d(3, stem, (5, 7, 7), stride=2, padding=(2, 3, 3), bias=False)
        self.stem = nn.Sequential(
            OrderedDict(conv=conv, norm=nn.BatchNorm3d(stem), relu=nn.ReLU(inplace=True))
        )
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.res2 = _build_stage(stem, c2, 3, time_kernel=1, spatial_stride=1)
        self.res3 = _build_stage(c2, c3, 4, time_kernel=1, spatial_stride=2)
        self.res4 = _build_stage(c3, c4, 6, time_kernel=3, spatial_stride=2)
        self.res5 = _build_stage(c4, c5, 3, time_kernel=3, spatial_stride=2)
        self.num_features = c5
        init_convs_kaiming(self)

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of res5, shape (B, D, T / 2, H / 32, W / 32), rounded up at each halving."""
        x = self.pool(self.stem(clips_BCTHW))
        map_BDTHW: Tensor = self.res5(self.res4(self.res3(self.res2(x))))
        return map_BDTHW


def _build_stage(
    in_channels: int, out_channels: int, num_blocks: int, *, time_kernel: int, spatial_stride: int
) -> nn.Sequential:
    first = Bottleneck3D(in_channels, out_channels, time_kernel=time_kernel, spatial_stride=spatial_stride)
    others = [
        Bottleneck3D(out_channels, out_channels, time_kernel=time_kernel, spatial_stride=1)
        for _ in range(num_blocks - 1)
    ]
    return nn.Sequential(first, *others)


@dataclass(frozen=True)
class R3D50Config:
    """3D ResNet-50 of CVRL, with max-pooling and little temporal stride (31.7 million parameters)."""

    architecture: Literal["r3d_50"] = "r3d_50"
    """Name of the architecture."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> R3D50:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``width`` is not positive.
        """
        return R3D50(width=self.width)
