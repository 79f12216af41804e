"""ResNet-18 and ResNet-50 on every frame by itself, or with the temporal shift of TSM between frames."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from unreel.config import ADDED_LATER
from unreel.models.backbone import Backbone
from unreel.models.initialization import init_convs_kaiming
from unreel.models.temporal_shift import check_shift, shift_frames
from unreel.models.width import scale_channels

# B batch, C channels, T frames, H W pixels, D features, F = B * T frames of a batch

_NUM_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
_EXPANSION = 4
_FEWEST_SHIFTED_FRAMES = 2


class BasicBlock2D(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Reference: He et al., 2016, figure 5 left.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, shift_divisor: int = 0) -> None:
        super().__init__()
        self.shift_divisor = shift_divisor
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _build_shortcut(in_channels, out_channels, stride)

    def forward(self, x_FCHW: Tensor, num_frames: int = 1) -> Tensor:
        """Return the sum of both ways after ReLU; only what goes through the convolutions is shifted."""
        shifted = shift_frames(x_FCHW, num_frames, self.shift_divisor) if self.shift_divisor else x_FCHW
        y = F.relu(self.norm1(self.conv1(shifted)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x_FCHW), inplace=True)


class Bottleneck2D(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution beside a shortcut; the 3x3 one carries the stride.

    Reference: He et al., 2016, figure 5 right, with the stride where torchvision and MoCo have it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, shift_divisor: int = 0) -> None:
        super().__init__()
        self.shift_divisor = shift_divisor
        mid_channels = out_channels // _EXPANSION
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(mid_channels)
        self.conv2 = nn.Conv2d(mid_channels, mid_channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(mid_channels)
        self.conv3 = nn.Conv2d(mid_channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.shortcut = _build_shortcut(in_channels, out_channels, stride)

    def forward(self, x_FCHW: Tensor, num_frames: int = 1) -> Tensor:
        """Return the sum of both ways after ReLU; only what goes through the convolutions is shifted."""
        shifted = shift_frames(x_FCHW, num_frames, self.shift_divisor) if self.shift_divisor else x_FCHW
        y = F.relu(self.norm1(self.conv1(shifted)), inplace=True)
        y = F.relu(self.norm2(self.conv2(y)), inplace=True)
        y = self.norm3(self.conv3(y))
        return F.relu(y + self.shortcut(x_FCHW), inplace=True)


class ResidualStage(nn.Sequential):
    """Residual blocks, one after the other, that know how many frames a clip has."""

    def forward(self, x_FCHW: Tensor, num_frames: int = 1) -> Tensor:
        """Return the output of the last block."""
        for block in self:
            x_FCHW = block(x_FCHW, num_frames)
        return x_FCHW


class ResNet2D(Backbone):
    """A 2D network that sees each frame alone; 512 (depth 18) or 2048 (depth 50) features per frame.

    Time passes through: a clip of T frames and 224x224 pixels gives a map of D x T x 7 x 7. When evaluating,
    no frame influences another; when training they share the statistics of batch normalisation.

    With a temporal shift (TSM) every residual block sees some channels of the frames before and behind. The
    weights are the same, by number and by name, so those of a network without shift fit.

    Attributes:
        has_max_pool: whether the stem ends with a 3x3 max-pooling of stride 2.
        shift_divisor: 1 / shift_divisor of the channels comes from the next frame, as many from the previous
            one; 0 where frames are seen alone.

    Reference: He et al., 2016, table 1; Lin et al., 2019, section 4 on the shift inside residual blocks.
    """

    def __init__(
        self, *, depth: int = 50, width: float = 1.0, has_max_pool: bool = True, shift_divisor: int = 0
    ) -> None:
        super().__init__()
        if depth not in _NUM_BLOCKS:
            raise ValueError(f"depth must be one of {sorted(_NUM_BLOCKS)}, got {depth!r}")
        self.has_max_pool = has_max_pool
        self.shift_divisor = shift_divisor
        expansion = 1 if depth == 18 else _EXPANSION
        stem, *outs = (scale_channels(channels, width) for channels in (64, 64, 128, 256, 512))
        outs = [channels * expansion for channels in outs]
        if shift_divisor:
            check_shift(shift_divisor, stem)
        n2, n3, n4, n5 = _NUM_BLOCKS[depth]
        conv = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.stem = nn.Sequential(
            OrderedDict(conv=conv, norm=nn.BatchNorm2d(stem), relu=nn.ReLU(inplace=True))
        )
        block = BasicBlock2D if depth == 18 else Bottleneck2D
        self.res2 = _build_stage(block, stem, outs[0], n2, stride=1, shift_divisor=shift_divisor)
        self.res3 = _build_stage(block, outs[0], outs[1], n3, stride=2, shift_divisor=shift_divisor)
        self.res4 = _build_stage(block, outs[1], outs[2], n4, stride=2, shift_divisor=shift_divisor)
        self.res5 = _build_stage(block, outs[2], outs[3], n5, stride=2, shift_divisor=shift_divisor)
        self.num_features = outs[3]
        init_convs_kaiming(self)

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of res5 for every frame, shape (B, D, T, H / 32, W / 32).

        Sides are rounded up at each halving; without max-pooling they are H / 16 and W / 16.

        Raises:
            ValueError: the network shifts channels between frames and is given clips of one frame.
        """
        batch, _, num_frames = clips_BCTHW.shape[:3]
        if self.shift_divisor and num_frames < _FEWEST_SHIFTED_FRAMES:
            raise ValueError(
                "a network with temporal_shift needs clips of at least 2 frames, got 1: without neighbours a "
                "quarter of what it looks for is missing; feed it clips, or set temporal_shift to False"
            )
        frames_FCHW = clips_BCTHW.transpose(1, 2).flatten(0, 1)
        x = self.stem(frames_FCHW)
        if self.has_max_pool:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in (self.res2, self.res3, self.res4, self.res5):
            x = stage(x, num_frames)
        map_FDHW: Tensor = x
        return map_FDHW.reshape(batch, num_frames, *map_FDHW.shape[1:]).transpose(1, 2)


def _build_stage(
    block: type[BasicBlock2D] | type[Bottleneck2D],
    in_channels: int,
    out_channels: int,
    num_blocks: int,
    *,
    stride: int,
    shift_divisor: int,
) -> ResidualStage:
    first = block(in_channels, out_channels, stride=stride, shift_divisor=shift_divisor)
    others = (
        block(out_channels, out_channels, stride=1, shift_divisor=shift_divisor)
        for _ in range(num_blocks - 1)
    )
    return ResidualStage(first, *others)


def _build_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels)))


@dataclass(frozen=True)
class ResNetConfig:
    """2D residual network on each frame alone (depth 50: 23.5 million parameters, 2048 features)."""

    architecture: Literal["resnet"] = "resnet"
    """Name of the architecture."""
    depth: Literal[18, 50] = 50
    """Number of layers."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""
    temporal_shift: bool = field(default=False, metadata=ADDED_LATER)
    """Whether residual blocks see channels of the frames before and behind (TSM); clips only, not frames."""
    shift_divisor: int = field(default=8, metadata=ADDED_LATER)
    """With temporal_shift, 1 / shift_divisor of the channels comes from the next frame, as many from the
    previous one."""

    def build(self) -> ResNet2D:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``depth`` is not known, ``width`` is not positive, or ``shift_divisor`` moves nothing.
        """
        if self.shift_divisor < 1:
            raise ValueError(
                f"shift_divisor must be at least 2, got {self.shift_divisor}; 8 is the published one"
            )
        shift_divisor = self.shift_divisor if self.temporal_shift else 0
        return ResNet2D(depth=self.depth, width=self.width, shift_divisor=shift_divisor)
