"""R3D-18+1: a residual network on single frames, and one convolution over time on top."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.initialization import init_convs_kaiming
from unreel.models.resnet2d import ResNet2D
from unreel.models.width import scale_channels

# B batch, C channels, T frames, H W pixels, D features


class R3DPlus1(Backbone):
    """All kernels up to res5 are 1xkxk, so frames keep to themselves; conv6 (3x1x1) mixes them into a video.

    512 features, 11 963 968 parameters. A clip of T frames and 112x112 pixels gives maps of 512 x T x 7 x 7
    after res5 and after conv6. The 1xkxk convolutions run as 2D convolutions on the frames, which is the same
    arithmetic (batch normalisation included) and lets weights of a 2D ResNet-18 load as is (decision L16).

    Attributes:
        frames: conv1 to res5, a ResNet-18 without max-pooling.
        conv6: the convolution over time with batch normalisation and ReLU (decision L2).

    Reference: CCL, table 1.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        channels = scale_channels(512, width)
        self.frames = ResNet2D(depth=18, width=width, has_max_pool=False)
        conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.conv6 = nn.Sequential(
            OrderedDict(conv=conv, norm=nn.BatchNorm3d(channels), relu=nn.ReLU(inplace=True))
        )
        init_convs_kaiming(self.conv6)
        self.num_features = channels

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of conv6, shape (B, D, T, H / 16, W / 16), rounded up at each halving."""
        map_BDTHW: Tensor = self.conv6(self.frames.forward_map(clips_BCTHW))
        return map_BDTHW

    @property
    def frames_are_of_map(self) -> bool:
        """Not here: they are of res5, and the last map is conv6's."""
        return False

    def forward_frames_and_video(self, clips_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the averages of res5 per frame and of conv6 per clip: shapes (B, T, D) and (B, D).

        The two are features of different layers, which CCL's losses compare through a shared head.

        Reference: CCL, section 3.1.
        """
        res5_BDTHW = self.frames.forward_map(clips_BCTHW)
        frames_BTD = res5_BDTHW.mean(dim=(3, 4)).transpose(1, 2)
        video_BD: Tensor = self.conv6(res5_BDTHW).mean(dim=(2, 3, 4))
        return frames_BTD, video_BD


@dataclass(frozen=True)
class R3DPlus1Config:
    """ResNet-18 on frames plus one convolution over time, CCL's network (12.0 million parameters)."""

    architecture: Literal["r3d_plus1"] = "r3d_plus1"
    """Name of the architecture."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> R3DPlus1:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``width`` is not positive.
        """
        return R3DPlus1(width=self.width)
