"""S3D: Inception blocks over space and time, every 3D convolution split in two."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.width import scale_channels

# B batch, C channels, T frames, H W pixels, D features

Variant = Literal["coclr", "torchvision"]
Widths = tuple[int, int, int, int, int, int]

# Pooling alone would take 5 frames, but with fewer than 8 the gradient of conv1 over time, channels last, is
# written outside its memory by torch 2.13 on the CPU.
_MIN_FRAMES, _MIN_PIXELS = 8, 17
# Channels of each block in the order of its convolutions: branch 0; 1, reduced and out; 2, the same; 3.
_STAGE3: tuple[Widths, ...] = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
_STAGE4: tuple[Widths, ...] = (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
)
_STAGE5: tuple[Widths, ...] = ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))


class SeparableConv(nn.Sequential):
    """A convolution over space, then one over time, each with batch normalisation and ReLU.

    Reference: Xie et al., 2018.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> None:
        spatial = _build_layer(in_channels, out_channels, (1, kernel, kernel), (1, stride, stride))
        temporal = _build_layer(out_channels, out_channels, (kernel, 1, 1), (stride, 1, 1))
        super().__init__(OrderedDict(spatial=spatial, temporal=temporal))


class InceptionBlock(nn.Module):
    """Four ways side by side: 1x1x1; reduced to few channels, then 3x3x3 (twice); max-pooled, then 1x1x1.

    Attributes:
        out_channels: those of the four ways together.

    Reference: Szegedy et al., 2015, figure 2b, with separable convolutions.
    """

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__()
        out0, mid1, out1, mid2, out2, out3 = widths
        self.branch0 = _build_layer(in_channels, out0)
        self.branch1 = _build_reduced(in_channels, mid1, out1)
        self.branch2 = _build_reduced(in_channels, mid2, out2)
        self.branch3 = nn.Sequential(
            OrderedDict(pool=nn.MaxPool3d(3, stride=1, padding=1), project=_build_layer(in_channels, out3))
        )
        self.out_channels = out0 + out1 + out2 + out3

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the channels of the four ways, one behind the other; the size stays."""
        ways = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([way(x_BCTHW) for way in ways], dim=1)


class S3D(Backbone):
    """Separable Inception network without gating; 1024 features, 7 910 048 parameters.

    A clip of 32 frames and 128x128 pixels gives a map of 1024 x 4 x 4 x 4: time is divided by 8, space by 32.

    Args:
        variant: "coclr" draws weights of deviation 0.01 and normalises as PyTorch does; "torchvision" has
            PyTorch's weights and normalises with eps and momentum 0.001, as its published weights expect.
            Weights that small give almost nothing when a fresh network is evaluated: only training brings
            the statistics that normalise them.
        width: multiplies the channels of every layer.

    Reference: Xie et al., 2018, without the gates of S3D-G; CoCLR (Han et al., 2020) and VCLR, section A.3.
    """

    def __init__(self, *, variant: Variant = "coclr", width: float = 1.0) -> None:
        super().__init__()
        c1, c2 = scale_channels(64, width), scale_channels(192, width)
        self.conv1 = SeparableConv(3, c1, 7, stride=2)
        self.pool2 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.conv2b = _build_layer(c1, c1)
        self.conv2c = SeparableConv(c1, c2, 3)
        self.pool3 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.mixed3, c3 = _build_stage(c2, _STAGE3, width)
        self.pool4 = nn.MaxPool3d(3, stride=2, padding=1)
        self.mixed4, c4 = _build_stage(c3, _STAGE4, width)
        self.pool5 = nn.MaxPool3d(2)
        self.mixed5, self.num_features = _build_stage(c4, _STAGE5, width)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d) and variant == "torchvision":
                module.eps = module.momentum = 0.001
            if isinstance(module, nn.Conv3d) and variant == "coclr":
                nn.init.normal_(module.weight, std=0.01)

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of the last block, shape (B, D, T / 8, H / 32, W / 32).

        The first halvings round up, the last (of time and of space) rounds down.

        Raises:
            ValueError: a clip has fewer than 8 frames or a side below 17 pixels.
        """
        num_frames, height, width = clips_BCTHW.shape[2:]
        if num_frames < _MIN_FRAMES or min(height, width) < _MIN_PIXELS:
            raise ValueError(
                f"S3D needs clips of at least {_MIN_FRAMES} frames and {_MIN_PIXELS}x{_MIN_PIXELS} pixels, "
                f"got {num_frames} frames of {height}x{width}; take more frames, larger crops, or r3d_18"
            )
        x = self.conv2c(self.conv2b(self.pool2(self.conv1(clips_BCTHW))))
        x = self.mixed4(self.pool4(self.mixed3(self.pool3(x))))
        map_BDTHW: Tensor = self.mixed5(self.pool5(x))
        return map_BDTHW


def _build_layer(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int, int] = (1, 1, 1),
    stride: tuple[int, int, int] = (1, 1, 1),
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False)
    return nn.Sequential(
        OrderedDict(conv=conv, norm=nn.BatchNorm3d(out_channels), relu=nn.ReLU(inplace=True))
    )


def _build_reduced(in_channels: int, mid_channels: int, out_channels: int) -> nn.Sequential:
    reduce = _build_layer(in_channels, mid_channels)
    return nn.Sequential(OrderedDict(reduce=reduce, separable=SeparableConv(mid_channels, out_channels, 3)))


def _build_stage(channels: int, blocks: tuple[Widths, ...], width: float) -> tuple[nn.Sequential, int]:
    """Build blocks one behind the other and return them with the number of channels that come out."""
    stage = nn.Sequential()
    for widths in blocks:
        out0, mid1, out1, mid2, out2, out3 = (scale_channels(number, width) for number in widths)
        block = InceptionBlock(channels, (out0, mid1, out1, mid2, out2, out3))
        stage.append(block)
        channels = block.out_channels
    return stage, channels


@dataclass(frozen=True)
class S3DConfig:
    """Inception blocks with convolutions split into space and time (7.9 million parameters)."""

    architecture: Literal["s3d"] = "s3d"
    """Name of the architecture."""
    variant: Variant = "coclr"
    """Fresh weights and batch normalisation. ``coclr``: normal weights of deviation 0.01, PyTorch's
    normalisation. ``torchvision``: PyTorch's weights, eps and momentum 0.001, as its weights expect."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> S3D:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``width`` is not positive.
        """
        return S3D(variant=self.variant, width=self.width)
