"""A transformer over the frames of a clip: CACL's video transformer, without its frozen frame network."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# B batch, T frame tokens, N = 1 + T tokens with the class token, D features of a frame, W width,
# H heads, S size of a head

_EMBEDDING_STD = 0.02
_LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True)
class FrameTransformerConfig:
    """Size of the transformer; the defaults are the published ones, 44.2 million parameters in all.

    Raises:
        ValueError: a size is not positive or the width cannot be shared among the heads.
    """

    width: int = 768
    """Length of a token."""
    depth: int = 6
    """Number of blocks."""
    num_heads: int = 6
    """Heads of the attention; each has width / num_heads numbers."""
    mlp_ratio: int = 4
    """Width of the hidden layer of a block, in widths of a token."""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "num_heads", "mlp_ratio"):
            if getattr(self, name) < 1:
                raise ValueError(f"transformer.{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.num_heads:
            raise ValueError(
                f"transformer.width must be a multiple of transformer.num_heads, got {self.width} and "
                f"{self.num_heads}; every head takes an equal share of the width"
            )


class SelfAttention(nn.Module):
    """Attention of all tokens to all tokens; no dropout.

    Queries, keys and values come from one linear layer without bias, the output layer has one.

    Reference: Vaswani et al., 2017, section 3.2.
    """

    def __init__(self, width: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def split_heads(self, tokens_BNW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each of shape (B, H, N, S)."""
        qkv_BNW3: Tensor = self.qkv(tokens_BNW)
        batch, num_tokens = tokens_BNW.shape[:2]
        heads_3BHNS = qkv_BNW3.view(batch, num_tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query_BHNS, key_BHNS, value_BHNS = heads_3BHNS.unbind(0)
        return query_BHNS, key_BHNS, value_BHNS

    def forward(self, tokens_BNW: Tensor) -> Tensor:
        """Return what every token gathers from all tokens, of the tokens' shape."""
        gathered_BHNS = F.scaled_dot_product_attention(*self.split_heads(tokens_BNW))
        out_BNW: Tensor = self.out(gathered_BHNS.transpose(1, 2).flatten(2))
        return out_BNW

    def weigh(self, tokens_BNW: Tensor) -> Tensor:
        """Return the weights with which `forward` gathers, float32, shape (B, H, N, N); rows sum to 1."""
        query_BHNS, key_BHNS, _ = self.split_heads(tokens_BNW)
        with torch.autocast(tokens_BNW.device.type, enabled=False):
            query_BHNS = query_BHNS.float() * query_BHNS.shape[-1] ** -0.5
            weights_BHNN: Tensor = (query_BHNS @ key_BHNS.float().transpose(2, 3)).softmax(dim=3)
        return weights_BHNN


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each on normalised tokens and added to what it was given.

    Reference: Dosovitskiy et al., 2021, eq. 2 and 3.
    """

    def __init__(self, width: int, *, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)
        self.attention = SelfAttention(width, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )

    def forward(self, tokens_BNW: Tensor) -> Tensor:
        """Return the tokens, enriched."""
        tokens_BNW = tokens_BNW + self.attention(self.norm1(tokens_BNW))
        enriched_BNW: Tensor = tokens_BNW + self.mlp(self.norm2(tokens_BNW))
        return enriched_BNW

    def weigh(self, tokens_BNW: Tensor) -> Tensor:
        """Return the attention of this block, float32, shape (B, H, N, N)."""
        return self.attention.weigh(self.norm1(tokens_BNW))


class FrameTransformer(nn.Module):
    """Relates the frames of a clip to each other; frame features in, one embedding per clip out.

    A learnable class token goes before the frames and every place has its learnable embedding, so the order
    of the frames counts. The embedding is read from the class token. Nothing depends on whether the module
    trains or evaluates: there is no dropout and LayerNorm (epsilon 1e-5) looks at one token at a time.

    Args:
        config: size of the blocks.
        num_features: length of the feature vector of a frame.
        num_tokens: number of frames; CACL gives those of a clip and then those of its shuffled copy.
        embedding_dim: length of the embedding.

    Raises:
        ValueError: a number is not positive.

    Reference: CACL, section 3.3; Dosovitskiy et al., 2021, section 3.1.
    """

    def __init__(
        self, config: FrameTransformerConfig, *, num_features: int, num_tokens: int, embedding_dim: int
    ) -> None:
        super().__init__()
        sizes = {"num_features": num_features, "num_tokens": num_tokens, "embedding_dim": embedding_dim}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.num_features = num_features
        self.num_tokens = num_tokens
        self.input = nn.Linear(num_features, config.width)
        self.class_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.position = nn.Parameter(torch.empty(1, 1 + num_tokens, config.width))
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, num_heads=config.num_heads, mlp_ratio=config.mlp_ratio)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)
        self.head = nn.Linear(config.width, embedding_dim)
        nn.init.trunc_normal_(self.class_token, std=_EMBEDDING_STD)
        nn.init.trunc_normal_(self.position, std=_EMBEDDING_STD)

    def forward(self, features_BTD: Tensor) -> Tensor:
        """Return one embedding per clip, shape (B, embedding_dim); not normalised, the losses do that.

        Raises:
            ValueError: the number of tokens or of features is not that of the transformer.
        """
        tokens_BNW = self._embed(features_BTD)
        for block in self.blocks:
            tokens_BNW = block(tokens_BNW)
        # LayerNorm looks at tokens one by one, so the others need not be normalised.
        class_token_BW = self.norm(tokens_BNW[:, 0])
        with torch.autocast(class_token_BW.device.type, enabled=False):  # decision E5
            embedding: Tensor = self.head(class_token_BW.to(self.head.weight.dtype))
        return embedding

    @torch.no_grad()
    def attention(self, features_BTD: Tensor, *, block: int = 0) -> Tensor:
        """Return with what weight each token of a block takes from each, shape (B, H, 1 + T, 1 + T).

        Row i says where token i looks and sums to 1. Token 0 is the class token, token 1 + t is frame t.
        Float32, without gradient.

        Args:
            features_BTD: as for `forward`.
            block: which block, counted from 0.

        Raises:
            ValueError: there is no such block, or the features do not fit.
        """
        if not 0 <= block < len(self.blocks):
            raise ValueError(
                f"block must lie between 0 and {len(self.blocks) - 1}, got {block}: "
                f"the transformer has {len(self.blocks)} blocks, counted from 0"
            )
        tokens_BNW = self._embed(features_BTD)
        for earlier in self.blocks[:block]:
            tokens_BNW = earlier(tokens_BNW)
        last = self.blocks[block]
        assert isinstance(last, TransformerBlock)
        return last.weigh(tokens_BNW)

    def _embed(self, features_BTD: Tensor) -> Tensor:
        """Return the tokens of the first block: the class token and the frames, each with its place."""
        if features_BTD.shape[1:] != (self.num_tokens, self.num_features):
            raise ValueError(
                f"features must have shape (clips, {self.num_tokens} frames, {self.num_features} features), "
                f"got {tuple(features_BTD.shape)}; num_tokens and num_features are set when the "
                "transformer is built"
            )
        frames_BTW: Tensor = self.input(features_BTD)
        class_B1W = self.class_token.expand(len(frames_BTW), -1, -1)
        return torch.cat([class_B1W, frames_BTW], dim=1) + self.position
