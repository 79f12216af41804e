"""A clip beside its shuffled copy: how CACL's networks see both at once."""

import torch
from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.heads import ProjectionHead

# B batch, C channels, T frames, H W pixels, D features

NUM_COPIES = 2
"""A clip and its shuffle."""


def pair_frames(frames_BTX: Tensor, order_BT: Tensor, *, is_swapped: bool = False) -> Tensor:
    """Put every sequence beside its shuffled copy, whose position t shows frame ``order[t]``.

    Args:
        frames_BTX: anything per frame: pixels (B, T, H, W, C) or features (B, T, D).
        order_BT: a permutation per row, int64, on the same device.
        is_swapped: whether the shuffled copy comes first (decision A4).

    Returns:
        Shape (B, 2, T, ...): the sequence at index 0 and its shuffle at index 1, or the other way round.
    """
    rows_B1 = torch.arange(len(frames_BTX), device=frames_BTX.device)[:, None]
    copies = [frames_BTX, frames_BTX[rows_B1, order_BT]]
    return torch.stack(copies[::-1] if is_swapped else copies, dim=1)


def pair_clips(clips_BCTHW: Tensor, order_BT: Tensor, *, is_swapped: bool = False) -> Tensor:
    """Put every clip beside its shuffled copy, as `pair_frames`: shape (B, 2, C, T, H, W).

    The result is channels-last in memory once the two first axes are one, whatever the input was.
    """
    pairs_B2THWC = pair_frames(clips_BCTHW.permute(0, 2, 3, 4, 1), order_BT, is_swapped=is_swapped)
    return pairs_B2THWC.permute(0, 1, 5, 2, 3, 4)


class PairEncoder(nn.Module):
    """A backbone that sees clip and shuffled copy one after the other, and a head that sees both features.

    So one embedding describes the pair.

    Args:
        backbone: D features per clip.
        embedding_dim: length of the embedding.
        hidden_dim: width of the head's hidden layer; 0 makes it linear, as in CACL (1024 -> 128).

    Reference: CACL, section 3.1.
    """

    def __init__(self, backbone: Backbone, embedding_dim: int, *, hidden_dim: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features = NUM_COPIES * backbone.num_features
        self.head = ProjectionHead(self.num_features, embedding_dim, hidden_dim=hidden_dim)

    def extract_features(self, pairs_B2CTHW: Tensor) -> Tensor:
        """Return the features of both clips side by side: shape (B, 2 D)."""
        features: Tensor = self.backbone(pairs_B2CTHW.flatten(0, 1))
        return features.reshape(len(pairs_B2CTHW), self.num_features)

    def forward(self, pairs_B2CTHW: Tensor) -> Tensor:
        """Return the embeddings of the pairs, not normalised."""
        embedding: Tensor = self.head(self.extract_features(pairs_B2CTHW))
        return embedding


class DegreeHead(nn.Sequential):
    """Classify how strongly a pair is shuffled: two linear layers with ReLU and dropout between them.

    Args:
        num_features: length of the features of a pair, 1024 in CACL.
        num_classes: number of shuffle degrees, 16 for 16 frames.
        hidden_dim: width of the hidden layer.
        dropout_prob: probability of leaving out a hidden unit in training.

    Reference: CACL, section 3.3; the released code's sizes.
    """

    def __init__(
        self, num_features: int, num_classes: int, *, hidden_dim: int = 512, dropout_prob: float = 0.5
    ) -> None:
        super().__init__(
            nn.Linear(num_features, hidden_dim),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout_prob),
            nn.Linear(hidden_dim, num_classes),
        )

    def forward(self, features_BD: Tensor) -> Tensor:
        """Return the logits of the degrees, in float32 (decision E5)."""
        with torch.autocast(features_BD.device.type, enabled=False):
            logits_BN: Tensor = super().forward(features_BD.float())  # type: ignore[no-untyped-call]
        return logits_BN
