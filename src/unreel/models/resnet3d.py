"""Residual networks over space and time: R3D and R(2+1)D, without max-pooling."""

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
Factorization = Literal["none", "cacl", "torchvision"]

_NUM_BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
_TORCHVISION_STEM_CHANNELS = 45


def count_mid_channels(in_channels: int, out_channels: int, kernel: Size3) -> int:
    """Return between-channels with which a factorised convolution has as many weights as the full one.

    Rounded down, so the factorised one never has more.

    Reference: Tran et al., 2018, section 3.5.
    """
    time, area = kernel[0], kernel[1] * kernel[2]
    return time * area * in_channels * out_channels // (area * in_channels + time * out_channels)


class FactorizedConv(nn.Module):
    """A convolution over space, batch normalisation, ReLU, then a convolution over time, in place of one.

    Reference: Tran et al., 2018, section 3.5.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Size3, stride: Size3, *, mid_channels: int
    ) -> None:
        super().__init__()
        time, space = (kernel[0], 1, 1), (1, kernel[1], kernel[2])
        self.spatial = _build_conv(in_channels, mid_channels, space, (1, stride[1], stride[2]))
        self.norm = nn.BatchNorm3d(mid_channels)
        self.temporal = _build_conv(mid_channels, out_channels, time, (stride[0], 1, 1))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the result of the temporal convolution, not normalised."""
        result: Tensor = self.temporal(F.relu(self.norm(self.spatial(x_BCTHW)), inplace=True))
        return result


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions beside a shortcut.

    The shortcut is the identity; where the size changes, a strided 1x1x1 convolution, normalised.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, factorization: Factorization
    ) -> None:
        super().__init__()
        kernel = (3, 3, 3)
        mid1 = mid2 = count_mid_channels(in_channels, out_channels, kernel)
        if factorization == "cacl":  # torchvision gives the second convolution the width of the first
            mid2 = count_mid_channels(out_channels, out_channels, kernel)
        full = factorization == "none"
        self.conv1 = _build_conv(in_channels, out_channels, kernel, (stride,) * 3, None if full else mid1)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = _build_conv(out_channels, out_channels, kernel, (1, 1, 1), None if full else mid2)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            one = (1, 1, 1)
            mid = count_mid_channels(in_channels, out_channels, one) if factorization == "cacl" else None
            conv = _build_conv(in_channels, out_channels, one, (stride,) * 3, mid)
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(out_channels)))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the sum of both ways after ReLU."""
        y = F.relu(self.norm1(self.conv1(x_BCTHW)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x_BCTHW), inplace=True)


class ResNet3D(Backbone):
    """R3D, or R(2+1)D when the convolutions are factorised; 512 features.

    A clip of 16 frames and 112x112 pixels gives a map of 512 x 2 x 7 x 7: the stem halves space, res3, res4
    and res5 halve time and space. There is no max-pooling.

    Attributes:
        factorization: how the convolutions are split, "none" for R3D.

    Reference: Tran et al., 2018, sections 3.2 and 3.5; VCOP (Xu et al., 2019) and CACL use the same networks.
    """

    def __init__(
        self,
        *,
        depth: int = 18,
        width: float = 1.0,
        factorization: Factorization = "none",
        init: Literal["pytorch", "kaiming"] = "pytorch",
    ) -> None:
        super().__init__()
        if depth not in _NUM_BLOCKS:
            raise ValueError(f"depth must be one of {sorted(_NUM_BLOCKS)}, got {depth!r}")
        self.factorization = factorization
        c2, c3, c4, c5 = (scale_channels(channels, width) for channels in (64, 128, 256, 512))
        n2, n3, n4, n5 = _NUM_BLOCKS[depth]
        self.stem = _build_stem(c2, width, factorization)
        self.res2 = _build_stage(c2, c2, n2, stride=1, factorization=factorization)
        self.res3 = _build_stage(c2, c3, n3, stride=2, factorization=factorization)
        self.res4 = _build_stage(c3, c4, n4, stride=2, factorization=factorization)
        self.res5 = _build_stage(c4, c5, n5, stride=2, factorization=factorization)
        self.num_features = c5
        if init == "kaiming":
            init_convs_kaiming(self)

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of res5, shape (B, D, T / 8, H / 16, W / 16), rounded up at each halving."""
        map_BDTHW: Tensor = self.res5(self.res4(self.res3(self.res2(self.stem(clips_BCTHW)))))
        return map_BDTHW


def _build_conv(
    in_channels: int, out_channels: int, kernel: Size3, stride: Size3, mid_channels: int | None = None
) -> nn.Module:
    """Build a convolution padded to change the size by its stride alone; ``mid_channels`` factorises it."""
    if mid_channels is not None:
        return FactorizedConv(in_channels, out_channels, kernel, stride, mid_channels=mid_channels)
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False)


def _build_stem(channels: int, width: float, factorization: Factorization) -> nn.Sequential:
    kernel = (3, 7, 7)
    mid = {
        "none": None,
        "cacl": count_mid_channels(3, channels, kernel),
        "torchvision": max(1, round(_TORCHVISION_STEM_CHANNELS * width)),
    }
    conv = _build_conv(3, channels, kernel, (1, 2, 2), mid[factorization])
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm3d(channels), relu=nn.ReLU(inplace=True)))


def _build_stage(
    in_channels: int, out_channels: int, num_blocks: int, *, stride: int, factorization: Factorization
) -> nn.Sequential:
    first = ResidualBlock(in_channels, out_channels, stride=stride, factorization=factorization)
    others = [
        ResidualBlock(out_channels, out_channels, stride=1, factorization=factorization)
        for _ in range(num_blocks - 1)
    ]
    return nn.Sequential(first, *others)


@dataclass(frozen=True)
class R3DConfig:
    """Residual network of full 3x3x3 convolutions (depth 18: 33.2 million parameters)."""

    architecture: Literal["r3d"] = "r3d"
    """Name of the architecture."""
    depth: Literal[10, 18, 34] = 18
    """Number of layers. CACL's paper says 18, its released code builds 34, VCOP's 10 (decision A2)."""
    init: Literal["pytorch", "kaiming"] = "pytorch"
    """Fresh weights: PyTorch's default, as CACL; or Kaiming normal by fan-out, as torchvision."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> ResNet3D:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``depth`` is not known or ``width`` is not positive.
        """
        return ResNet3D(depth=self.depth, width=self.width, init=self.init)


@dataclass(frozen=True)
class R2Plus1DConfig:
    """Residual network of convolutions split into space and time (depth 18: 33.2 million parameters)."""

    architecture: Literal["r2plus1d"] = "r2plus1d"
    """Name of the architecture."""
    depth: Literal[10, 18, 34] = 18
    """Number of layers. CACL's paper says 18, its released code builds 10 (decision A2)."""
    factorization: Literal["cacl", "torchvision"] = "cacl"
    """How the convolutions are split. ``cacl``: each by the formula of the R(2+1)D paper, shortcuts too.
    ``torchvision``: 45 channels in the stem, one width per block, plain shortcuts; fits its weights."""
    init: Literal["pytorch", "kaiming"] = "pytorch"
    """Fresh weights: PyTorch's default, as CACL; or Kaiming normal by fan-out, as torchvision."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> ResNet3D:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``depth`` is not known or ``width`` is not positive.
        """
        return ResNet3D(depth=self.depth, width=self.width, factorization=self.factorization, init=self.init)
