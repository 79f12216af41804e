"""C3D with batch normalisation: eight plain 3x3x3 convolutions."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.width import scale_channels

# B batch, C channels, T frames, H W pixels, D features

_MIN_FRAMES, _MIN_PIXELS = 8, 16


class C3D(Backbone):
    """Convolutions of 3x3x3 with four max-poolings between them; 512 features, 27 661 440 parameters.

    A clip of 16 frames and 112x112 pixels gives a map of 512 x 2 x 7 x 7: time is divided by 8, space by 16.
    Every convolution has a bias and is followed by batch normalisation and ReLU; weights start as PyTorch
    draws them.

    Reference: Tran et al., 2015, with the batch normalisation of CACL's released code.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, c4 = (scale_channels(channels, width) for channels in (64, 128, 256, 512))
        self.conv1 = _build_layer(3, c1)
        self.pool1 = nn.MaxPool3d((1, 2, 2))
        self.conv2 = _build_layer(c1, c2)
        self.pool2 = nn.MaxPool3d(2)
        self.conv3a = _build_layer(c2, c3)
        self.conv3b = _build_layer(c3, c3)
        self.pool3 = nn.MaxPool3d(2)
        self.conv4a = _build_layer(c3, c4)
        self.conv4b = _build_layer(c4, c4)
        self.pool4 = nn.MaxPool3d(2)
        self.conv5a = _build_layer(c4, c4)
        self.conv5b = _build_layer(c4, c4)
        self.num_features = c4

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the output of conv5b, shape (B, D, T // 8, H // 16, W // 16).

        Raises:
            ValueError: a clip has fewer than 8 frames or a side below 16 pixels, so pooling leaves nothing.
        """
        num_frames, height, width = clips_BCTHW.shape[2:]
        if num_frames < _MIN_FRAMES or min(height, width) < _MIN_PIXELS:
            raise ValueError(
                f"C3D needs clips of at least {_MIN_FRAMES} frames and {_MIN_PIXELS}x{_MIN_PIXELS} pixels, "
                f"got {num_frames} frames of {height}x{width}; take more frames, larger crops, or r3d_18"
            )
        x = self.pool1(self.conv1(clips_BCTHW))
        x = self.pool2(self.conv2(x))
        x = self.pool3(self.conv3b(self.conv3a(x)))
        x = self.pool4(self.conv4b(self.conv4a(x)))
        map_BDTHW: Tensor = self.conv5b(self.conv5a(x))
        return map_BDTHW


def _build_layer(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(
        OrderedDict(conv=conv, norm=nn.BatchNorm3d(out_channels), relu=nn.ReLU(inplace=True))
    )


@dataclass(frozen=True)
class C3DConfig:
    """Eight plain 3x3x3 convolutions (27.7 million parameters)."""

    architecture: Literal["c3d"] = "c3d"
    """Name of the architecture."""
    width: float = 1.0
    """Multiplies the number of channels of every layer; 1 is the published network."""

    def build(self) -> C3D:
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: ``width`` is not positive.
        """
        return C3D(width=self.width)
