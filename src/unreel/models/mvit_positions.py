"""What tells the tokens of a transformer apart: a class token, and places in time and in the picture."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unreel.models.mvit_blocks import Grid

# B batch, T frames of tokens, H W rows and columns of tokens, P = H * W, N = 1 + T * P, C channels

_INIT_STD = 0.02


class TokenPositions(nn.Module):
    """A learnable class token, and one learnable vector for every time, every place and the class token.

    A token gets the sum of the vectors of its time and its place. On another grid than that of the settings
    the vectors are interpolated, over time linearly and over places bilinearly, as if both grids covered the
    same clip; on the grid of the settings they are taken as they are.

    Attributes:
        grid: for which there are vectors.

    Reference: Fan et al., 2021, section 3.2, with separate embeddings of space and time.
    """

    def __init__(self, channels: int, grid: Grid) -> None:
        super().__init__()
        num_frames, height, width = grid
        self.grid = grid
        self.class_token = nn.Parameter(torch.empty(channels))
        self.spatial = nn.Parameter(torch.empty(height * width, channels))
        self.temporal = nn.Parameter(torch.empty(num_frames, channels))
        self.class_position = nn.Parameter(torch.empty(channels))
        for parameter in self.parameters():
            nn.init.trunc_normal_(parameter, std=_INIT_STD)

    def forward(self, cubes_BTPC: Tensor, grid: Grid) -> Tensor:
        """Return the tokens of the first block, shape (B, N, C); float32 under autocast too.

        Args:
            cubes_BTPC: tokens without places.
            grid: their T, H and W.
        """
        tokens_BTPC = cubes_BTPC + self.resize(grid)
        class_B1C = (self.class_token + self.class_position).expand(len(cubes_BTPC), 1, -1)
        return torch.cat([class_B1C, tokens_BTPC.flatten(1, 2)], dim=1)

    def resize(self, grid: Grid) -> Tensor:
        """Return the vector of every token of a grid but the class token, shape (T, P, C)."""
        temporal_TC: Tensor = self.temporal
        spatial_PC: Tensor = self.spatial
        if grid[0] != self.grid[0]:
            temporal_1CT = F.interpolate(temporal_TC.T[None], size=grid[0], mode="linear")
            temporal_TC = temporal_1CT[0].T
        if grid[1:] != self.grid[1:]:
            spatial_1CHW = spatial_PC.T.reshape(1, -1, *self.grid[1:])
            spatial_1CHW = F.interpolate(spatial_1CHW, size=grid[1:], mode="bilinear")
            spatial_PC = spatial_1CHW[0].flatten(1).T
        return temporal_TC[:, None] + spatial_PC
