"""A frame network that no longer learns: clips in, one feature vector per frame out."""

from typing import Self

import torch
from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.resnet2d import ResNet2D

# B batch, C channels, T frames, H W pixels, D features

Color = tuple[float, float, float]


class FrozenFrames(nn.Module):
    """Describes every frame of a clip by itself, always as in evaluation.

    Nothing about the network moves: its parameters take no gradient, it stays in evaluation mode whatever
    `train` says, so running statistics keep still, and no graph is recorded. As every frame is seen alone,
    shuffled frames have the shuffled features: the shuffled copy of a clip need not be computed.

    Clips come normalised as the rest of the method wants them and are re-normalised to what the frame network
    was trained on (decision A7). When the two agree the clips are passed on untouched.

    Args:
        backbone: the frame network, changed in place: frozen.
        view_mean: mean of red, green and blue that was subtracted from the clips; pixels were in [0, 1].
        view_std: standard deviation that divided them.
        mean: mean that the frame network expects to be subtracted.
        std: standard deviation that it expects.

    Attributes:
        num_features: D, length of a frame's features.

    Raises:
        ValueError: the backbone mixes frames, or a standard deviation is not positive.
    """

    scale_C111: Tensor
    shift_C111: Tensor

    def __init__(
        self, backbone: Backbone, *, view_mean: Color, view_std: Color, mean: Color, std: Color
    ) -> None:
        super().__init__()
        if not isinstance(backbone, ResNet2D) or backbone.shift_divisor:
            kind = "temporal_shift" if isinstance(backbone, ResNet2D) else type(backbone).__name__
            raise ValueError(
                f"the frame network must see each frame alone, got {kind}; use the 2D "
                "ResNet (architecture 'resnet')"
            )
        for name, values in (("view_std", view_std), ("std", std)):
            if min(values) <= 0:
                raise ValueError(f"{name} must be positive, got {values}; 1 leaves pixels as they are")
        self.backbone = backbone.requires_grad_(False)
        self.num_features = backbone.num_features
        self.is_renormalized = (view_mean, view_std) != (mean, std)
        # ((x * view_std + view_mean) - mean) / std, as one multiplication and one addition. Not part of the
        # state: both follow from the configuration.
        old_mean, old_std, new_mean, new_std = (
            torch.tensor(values, dtype=torch.float64)[:, None, None, None]
            for values in (view_mean, view_std, mean, std)
        )
        self.register_buffer("scale_C111", (old_std / new_std).float(), persistent=False)
        self.register_buffer("shift_C111", ((old_mean - new_mean) / new_std).float(), persistent=False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, also when the method around it starts to train."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the features of each frame, shape (B, T, D), from one pass over all B * T frames."""
        if self.is_renormalized:
            clips_BCTHW = torch.addcmul(self.shift_C111, clips_BCTHW, self.scale_C111)
        map_BDTHW = self.backbone.forward_map(clips_BCTHW)
        return map_BDTHW.mean(dim=(3, 4)).transpose(1, 2)
