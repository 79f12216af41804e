"""Blocks of a multiscale vision transformer: attention among tokens on grids of several sizes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# B batch, N = 1 + T * H * W tokens with the class token first, T H W positions of a grid, C channels,
# K heads, S size of a head, M maps (of every head of every clip)

Grid = tuple[int, int, int]
"""Positions of the tokens without the class token: T, H, W."""

LAYER_NORM_EPS = 1e-6
_MLP_RATIO = 4


@dataclass(frozen=True)
class BlockPlan:
    """What distinguishes one block from another.

    Attributes:
        in_channels: of the tokens that come in, and of the attention.
        out_channels: of the tokens that go out; the perceptron changes the number.
        num_heads: share the channels of the attention.
        query_stride: divides height and width of the grid; 1 keeps it, without pooling.
        key_stride: divides those of the grid from which keys and values are taken.
        drop_prob: probability that a clip skips the attention of the block, and its perceptron.
    """

    in_channels: int
    out_channels: int
    num_heads: int
    query_stride: int
    key_stride: int
    drop_prob: float = 0.0


class DropPath(nn.Module):
    """Leave a branch out for some clips of a training batch; the others get it enlarged in return.

    The expectation is the branch itself, and so is the result when evaluating. Draws come from torch's global
    generator, as those of dropout.

    Reference: Huang et al., 2016, section 3.
    """

    def __init__(self, prob: float) -> None:
        super().__init__()
        self.prob = prob

    def forward(self, branch_BNC: Tensor) -> Tensor:
        """Return the branch, for each clip times 0 with probability ``prob``, else over ``1 - prob``."""
        if self.prob == 0 or not self.training:
            return branch_BNC
        keep = 1 - self.prob
        # Float32 under autocast too: bfloat16 would round 1 / keep, and with it the expectation.
        factor_B11 = torch.empty(len(branch_BNC), 1, 1, device=branch_BNC.device).bernoulli_(keep) / keep
        return branch_BNC * factor_B11

    def extra_repr(self) -> str:
        """Return the probability, for ``print(network)``."""
        return f"prob={self.prob:g}"


class HeadPooling(nn.Module):
    """A depth-wise 3x3x3 convolution over the grid of every head, with one kernel for all heads.

    The class token has no place on the grid and passes by the convolution; the normalisation sees it too.

    Reference: Fan et al., 2021, section 3.1.
    """

    def __init__(self, head_size: int, *, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            head_size, head_size, 3, (1, stride, stride), padding=1, groups=head_size, bias=False
        )
        self.norm = nn.LayerNorm(head_size, eps=LAYER_NORM_EPS)

    def forward(self, heads_BKNS: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Return the tokens of the smaller grid, and its size: height and width divided, rounded up."""
        batch, num_heads, num_tokens, size = heads_BKNS.shape
        class_BK1S, patches_BKNS = torch.split(heads_BKNS, [1, num_tokens - 1], dim=2)
        num_maps = batch * num_heads
        if heads_BKNS.is_cuda:
            # Of depth-wise 3D convolutions, cuDNN's with channels innermost takes 1 to 4 times as long as
            # PyTorch's own with channels outermost. On CPUs it is the other way round.
            maps_MSTHW = patches_BKNS.transpose(2, 3).contiguous().view(num_maps, size, *grid)
        else:
            maps_MSTHW = patches_BKNS.reshape(num_maps, *grid, size).movedim(-1, 1)
        maps_MSTHW = self._convolve(maps_MSTHW)
        num_frames, height, width = maps_MSTHW.shape[2:]
        patches_BKNS = maps_MSTHW.flatten(2).transpose(1, 2).reshape(batch, num_heads, -1, size)
        pooled_BKNS: Tensor = self.norm(torch.cat([class_BK1S.to(patches_BKNS.dtype), patches_BKNS], dim=2))
        return pooled_BKNS, (num_frames, height, width)

    def _convolve(self, maps_MSTHW: Tensor) -> Tensor:
        # A kernel with one channel per group is in both orders at once, but its strides may name the other
        # and pull cuDNN in; those of a view are plain.
        weight = self.conv.weight.flatten(1).view(self.conv.weight.shape)
        conv = self.conv
        return F.conv3d(maps_MSTHW, weight, None, conv.stride, conv.padding, groups=conv.groups)


class PoolingAttention(nn.Module):
    """Attention in which keys and values come from a coarser grid, and queries may.

    The class token takes part as one more query, key and value.

    Reference: Fan et al., 2021, section 3.1.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        channels = plan.in_channels
        head_size = channels // plan.num_heads
        self.num_heads = plan.num_heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.pool_query = HeadPooling(head_size, stride=plan.query_stride) if plan.query_stride > 1 else None
        self.pool_key = HeadPooling(head_size, stride=plan.key_stride)
        self.pool_value = HeadPooling(head_size, stride=plan.key_stride)

    def forward(self, tokens_BNC: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Return what every query gathers from all values, and the grid of the queries."""
        batch, num_tokens, _ = tokens_BNC.shape
        qkv_BN3KS = self.qkv(tokens_BNC).view(batch, num_tokens, 3, self.num_heads, -1)
        query_BKNS, key_BKNS, value_BKNS = qkv_BN3KS.permute(2, 0, 3, 1, 4).unbind(0)
        key_BKNS, _ = self.pool_key(key_BKNS, grid)
        value_BKNS, _ = self.pool_value(value_BKNS, grid)
        if self.pool_query is not None:
            query_BKNS, grid = self.pool_query(query_BKNS, grid)
        # Normalisation may have returned keys and values in a wider type than the queries have.
        gathered_BKNS = F.scaled_dot_product_attention(
            query_BKNS, key_BKNS.to(query_BKNS.dtype), value_BKNS.to(query_BKNS.dtype)
        )
        out_BNC: Tensor = self.out(gathered_BKNS.transpose(1, 2).flatten(2))
        return out_BNC, grid


class MultiscaleBlock(nn.Module):
    """Pooling attention and a two-layer perceptron, each on normalised tokens and added to what it was given.

    Where queries are pooled, so is what the attention is added to, by a 3x3 maximum. Where the perceptron
    changes the number of channels, a linear layer on the normalised tokens takes the place of what it would
    be added to.

    Reference: Fan et al., 2021, section 3.2.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        hidden = _MLP_RATIO * plan.in_channels
        self.is_pooled = plan.query_stride > 1
        self.norm1 = nn.LayerNorm(plan.in_channels, eps=LAYER_NORM_EPS)
        self.norm2 = nn.LayerNorm(plan.in_channels, eps=LAYER_NORM_EPS)
        self.attention = PoolingAttention(plan)
        self.mlp = nn.Sequential(
            nn.Linear(plan.in_channels, hidden), nn.GELU(), nn.Linear(hidden, plan.out_channels)
        )
        self.project = (
            nn.Linear(plan.in_channels, plan.out_channels) if plan.in_channels != plan.out_channels else None
        )
        self.drop_path = DropPath(plan.drop_prob)

    def forward(self, tokens_BNC: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Return the tokens, enriched, and the size of their grid."""
        gathered_BNC, smaller = self.attention(self.norm1(tokens_BNC), grid)
        skip_BNC = max_pool_tokens(tokens_BNC, grid) if self.is_pooled else tokens_BNC
        tokens_BNC = skip_BNC + self.drop_path(gathered_BNC)
        normed_BNC = self.norm2(tokens_BNC)
        # Under autocast the layers give bfloat16; what they are added to stays float32 through all blocks.
        skip_BNC = tokens_BNC if self.project is None else self.project(normed_BNC).to(tokens_BNC.dtype)
        return skip_BNC + self.drop_path(self.mlp(normed_BNC)), smaller


def max_pool_tokens(tokens_BNC: Tensor, grid: Grid) -> Tensor:
    """Keep the largest of every 3x3 positions, two apart, frame by frame; the class token stays as it is."""
    num_frames, height, width = grid
    batch, num_tokens, channels = tokens_BNC.shape
    class_B1C, patches_BNC = torch.split(tokens_BNC, [1, num_tokens - 1], dim=1)
    frames_FCHW = patches_BNC.reshape(batch * num_frames, height, width, channels).movedim(-1, 1)
    pooled_FCHW = F.max_pool2d(frames_FCHW, 3, stride=2, padding=1)
    patches_BNC = pooled_FCHW.movedim(1, -1).reshape(batch, -1, channels)
    return torch.cat([class_B1C, patches_BNC], dim=1)
