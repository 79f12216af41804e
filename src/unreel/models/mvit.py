"""MViT-B: a transformer whose grid of tokens shrinks while their channels grow."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.mvit_blocks import LAYER_NORM_EPS, BlockPlan, Grid, MultiscaleBlock
from unreel.models.mvit_positions import TokenPositions
from unreel.models.width import scale_channels

# B batch, C channels, T frames (of clips or of tokens), H W pixels or rows and columns of tokens,
# P = H * W tokens of a frame, N = 1 + T * P with the class token, D features

_HEAD_SIZE = 96
_NUM_HEADS = (1, 2, 4, 8)
_KEY_STRIDES = (8, 4, 2, 1)
_CUBE_FRAMES, _CUBE_PIXELS = 2, 4
_INIT_STD = _INIT_BIAS = 0.02


@dataclass(frozen=True)
class MViTConfig:
    """Multiscale vision transformer, MViT-B with cubes of two frames (36.3 million parameters, 768 features).

    It wants AdamW, a learning rate near 1e-4 and a warm-up.
    """

    architecture: Literal["mvit"] = "mvit"
    """Name of the architecture."""
    temporal_kernel: Literal[2, 3] = 2
    """Frames that a cube looks at, two apart. With 2, no cube sees another's frames, so that groups of two
    frames can be shuffled after the embedding (SCVRL); 3 is the published MViT-B, as its weights expect."""
    pooling: Literal["class_token", "average"] = "class_token"
    """What the features are: the class token, or the average of all others."""
    drop_path: float = 0.0
    """Probability that a clip skips a branch of the last block in training; it rises linearly from 0 at the
    first. 0.2 in supervised training."""
    width: float = 1.0
    """Multiplies the size of the heads and so the channels of every layer; 1 is the published network."""
    depths: tuple[int, int, int, int] = (1, 2, 11, 2)
    """Blocks of each of the four stages; the grid of tokens is halved between them."""
    num_frames: int = 16
    """Frames of the clips for which there are position embeddings; others get interpolated ones."""
    size_px: int = 224
    """Side of the crops for which there are position embeddings; others get interpolated ones."""

    def build(self) -> "MViT":
        """Build the network with fresh weights from torch's global generator.

        Raises:
            ValueError: a setting has no meaning, such as a width of 0 or a stage without blocks.
        """
        return MViT(self)


class MViT(Backbone):
    """Multiscale vision transformer; 768 features, 36 288 960 parameters (36 303 072 with cubes of 3 frames).

    A clip of 16 frames and 224x224 pixels becomes 8 x 56 x 56 tokens of 96 channels, beside the class token,
    and ends as 8 x 7 x 7 tokens of 768. Sides are rounded up at each halving. Weights start truncated normal
    of deviation 0.02, biases of linear layers and normalisations at 0.02.

    Attributes:
        pooling: what `forward` returns, "class_token" or "average".

    Reference: Fan et al., 2021, section 3; SCVRL, table 1 and section 4.1 (decisions S10 and S11).
    """

    def __init__(self, config: MViTConfig) -> None:
        super().__init__()
        _check(config)
        plans = plan_blocks(config)
        channels, kernel = plans[0].in_channels, config.temporal_kernel
        self.pooling = config.pooling
        self.stem = nn.Conv3d(
            3,
            channels,
            (kernel, 7, 7),
            stride=(_CUBE_FRAMES, _CUBE_PIXELS, _CUBE_PIXELS),
            padding=(kernel // 3, 3, 3),
        )
        side = math.ceil(config.size_px / _CUBE_PIXELS)
        self.positions = TokenPositions(channels, (config.num_frames // _CUBE_FRAMES, side, side))
        self.blocks = nn.ModuleList(MultiscaleBlock(plan) for plan in plans)
        self.num_features = plans[-1].out_channels
        self.norm = nn.LayerNorm(self.num_features, eps=LAYER_NORM_EPS)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv3d)):
                nn.init.trunc_normal_(module.weight, std=_INIT_STD)
            if isinstance(module, (nn.Linear, nn.LayerNorm)):
                nn.init.constant_(module.bias, _INIT_BIAS)

    def embed_cubes(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the tokens without their places, shape (B, T / 2, P, C); P counts row by row.

        Raises:
            ValueError: the number of frames is odd and cubes have two.
        """
        return self._embed(clips_BCTHW).flatten(3).permute(0, 2, 3, 1)

    def forward_tokens(self, cubes_BTPC: Tensor, *, grid: tuple[int, int] | None = None) -> Tensor:
        """Return one feature vector per clip from what `embed_cubes` returned: shape (B, D).

        Args:
            cubes_BTPC: tokens without their places, which they get here: in the order in which they come.
            grid: rows and columns of the tokens of a frame; None where the clips are square.

        Raises:
            ValueError: the tokens of a frame do not form the grid, or without one no square.
        """
        class_BD, patches_BTPD, _ = self._run(cubes_BTPC, grid)
        return self._pool(class_BD, patches_BTPD)

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the normalised tokens without the class token, shape (B, D, T / 2, H / 32, W / 32).

        Raises:
            ValueError: the number of frames is odd and cubes have two.
        """
        _, patches_BTPD, grid = self._run_clips(clips_BCTHW)
        batch, num_frames, _, size = patches_BTPD.shape
        return patches_BTPD.reshape(batch, num_frames, *grid, size).movedim(-1, 1)

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the normalised class token or the average of the last map: shape (B, D).

        Raises:
            ValueError: the number of frames is odd and cubes have two.
        """
        class_BD, patches_BTPD, _ = self._run_clips(clips_BCTHW)
        return self._pool(class_BD, patches_BTPD)

    @property
    def average_is_of_map(self) -> bool:
        """Not where the features are the class token."""
        return self.pooling == "average"

    def forward_frames_and_video(self, clips_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last map averaged over each frame of tokens, and what `forward` returns.

        Raises:
            ValueError: the number of frames is odd and cubes have two.
        """
        class_BD, patches_BTPD, _ = self._run_clips(clips_BCTHW)
        return patches_BTPD.mean(dim=2), self._pool(class_BD, patches_BTPD)

    def _embed(self, clips_BCTHW: Tensor) -> Tensor:
        num_frames, kernel = clips_BCTHW.shape[2], self.stem.kernel_size[0]
        if kernel == _CUBE_FRAMES and num_frames % _CUBE_FRAMES:
            raise ValueError(
                f"MViT takes frames in cubes of two, got clips of {num_frames} frames; take an even number "
                "of frames, or a temporal_kernel of 3, whose cubes overlap"
            )
        cubes_BCTHW: Tensor = self.stem(clips_BCTHW)
        return cubes_BCTHW

    def _run_clips(self, clips_BCTHW: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        cubes_BCTHW = self._embed(clips_BCTHW)
        height, width = cubes_BCTHW.shape[3:]
        return self._run(cubes_BCTHW.flatten(3).permute(0, 2, 3, 1), (height, width))

    def _run(
        self, cubes_BTPC: Tensor, size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return the class token, the other tokens and the rows and columns of their grid, normalised."""
        num_frames, num_places = cubes_BTPC.shape[1:3]
        height, width = size or (math.isqrt(num_places),) * 2
        if height * width != num_places:
            raise ValueError(
                f"forward_tokens got {num_places} tokens a frame, which are no grid of {height} x {width}; "
                "name their rows and columns with grid where clips are not square"
            )
        grid: Grid = (num_frames, height, width)
        tokens_BNC = self.positions(cubes_BTPC, grid)
        for block in self.blocks:
            tokens_BNC, grid = block(tokens_BNC, grid)
        tokens_BND = self.norm(tokens_BNC)
        return tokens_BND[:, 0], tokens_BND[:, 1:].unflatten(1, (num_frames, -1)), grid[1:]

    def _pool(self, class_BD: Tensor, patches_BTPD: Tensor) -> Tensor:
        return class_BD if self.pooling == "class_token" else patches_BTPD.mean(dim=(1, 2))


def plan_blocks(config: MViTConfig) -> list[BlockPlan]:
    """Lay out the blocks of all stages.

    The first block of a stage but the first halves the grid; the last block of a stage doubles the channels
    for the next. Keys and values of the first stage come from a grid of an eighth of the side, and that grid
    keeps its size through the stages.

    Raises:
        ValueError: the width is not positive.

    Reference: Fan et al., 2021, section 3.2; SCVRL, table 1.
    """
    head_size = scale_channels(_HEAD_SIZE, config.width)
    num_blocks = sum(config.depths)
    plans: list[BlockPlan] = []
    for stage, (depth, num_heads, key_stride) in enumerate(
        zip(config.depths, _NUM_HEADS, _KEY_STRIDES, strict=True)
    ):
        for block in range(depth):
            is_last = block == depth - 1 and stage < len(_NUM_HEADS) - 1
            plans.append(
                BlockPlan(
                    in_channels=num_heads * head_size,
                    out_channels=num_heads * head_size * (2 if is_last else 1),
                    num_heads=num_heads,
                    query_stride=2 if block == 0 and stage > 0 else 1,
                    key_stride=key_stride,
                    drop_prob=config.drop_path * len(plans) / (num_blocks - 1),
                )
            )
    return plans


def _check(config: MViTConfig) -> None:
    if config.temporal_kernel not in (2, 3):
        raise ValueError(f"temporal_kernel must be 2 or 3, got {config.temporal_kernel!r}")
    if not 0 <= config.drop_path < 1:
        raise ValueError(f"drop_path must be at least 0 and below 1, got {config.drop_path!r}")
    if len(config.depths) != len(_NUM_HEADS):
        raise ValueError(f"depths must name four stages, got {config.depths}; (1, 2, 11, 2) is MViT-B")
    if min(config.depths) < 1:
        raise ValueError(
            f"depths must be at least 1 in every stage, got {config.depths}; (1, 2, 11, 2) is MViT-B"
        )
    if config.num_frames < _CUBE_FRAMES or config.num_frames % _CUBE_FRAMES:
        raise ValueError(
            f"num_frames must be even and at least 2, got {config.num_frames}: cubes have two frames"
        )
    if config.size_px < 1:
        raise ValueError(f"size_px must be at least 1, got {config.size_px}")
