"""Heads that turn features into the embeddings a loss sees."""

import torch
from torch import Tensor, nn

# B batch, D features


class ProjectionHead(nn.Module):
    """One linear layer, or two with a ReLU between them.

    Args:
        num_features: length of the backbone's features.
        embedding_dim: length of the embedding.
        hidden_dim: width of the hidden layer; 0 makes the head a single linear layer (MoCo v1, CACL).

    Raises:
        ValueError: a width is out of range.
    """

    def __init__(self, num_features: int, embedding_dim: int, *, hidden_dim: int = 0) -> None:
        super().__init__()
        if embedding_dim < 1 or hidden_dim < 0:
            raise ValueError(
                "embedding_dim must be at least 1 and hidden_dim at least 0 (0 makes the head linear), got "
                f"{embedding_dim} and {hidden_dim}"
            )
        if hidden_dim:
            self.layers = nn.Sequential(
                nn.Linear(num_features, hidden_dim),
                nn.ReLU(inplace=True),
                nn.Linear(hidden_dim, embedding_dim),
            )
        else:
            self.layers = nn.Sequential(nn.Linear(num_features, embedding_dim))

    def forward(self, features_BD: Tensor) -> Tensor:
        """Project the last axis, in float32 (decision E5); the losses normalise, this does not."""
        with torch.autocast(features_BD.device.type, enabled=False):
            embedding: Tensor = self.layers(features_BD.float())
        return embedding
