"""What every backbone is to the rest of the system."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

# B batch, C channels, T frames, H W pixels, D features


class Backbone(nn.Module, ABC):
    """A network without head: clips in, features out.

    Attributes:
        num_features: D, length of a feature vector.
    """

    num_features: int

    @property
    def average_is_of_map(self) -> bool:
        """Whether the features of a clip are the average of its last map; a class token is not."""
        return True

    @property
    def frames_are_of_map(self) -> bool:
        """Whether the features of a time position are the average of its last map there."""
        return True

    @abstractmethod
    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the last feature map, shape (B, D, T', H', W')."""

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Return one feature vector per clip, the average of the last map: shape (B, D)."""
        return self.forward_map(clips_BCTHW).mean(dim=(2, 3, 4))

    def forward_frames_and_video(self, clips_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return one vector per time position and one per clip: shapes (B, T', D) and (B, D).

        Both are averages of the last map unless the architecture has frame features of its own (R3D-18+1).
        """
        map_BDTHW = self.forward_map(clips_BCTHW)
        return map_BDTHW.mean(dim=(3, 4)).transpose(1, 2), map_BDTHW.mean(dim=(2, 3, 4))
