"""One backbone with a head for every task."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.heads import ProjectionHead
from unreel.models.momentum import MomentumEncoder

# B clips or videos, M clips of a video, C channels, T frames, H W pixels, D features, E embedding, X any


class MultiHeadEncoder(nn.Module):
    """A backbone, and heads of one architecture with weights of their own.

    Features are computed once and go to as many heads as there are tasks; an average of features may go to a
    head as well.

    Args:
        backbone: D features per clip; a frame is a clip of one.
        names: of the heads.
        embedding_dim: E, length of every head's embedding.
        hidden_dim: width of every head's hidden layer; 0 makes them linear.

    Reference: VCLR, section 3.3 and its appendix A.1.
    """

    def __init__(
        self, backbone: Backbone, names: Sequence[str], embedding_dim: int, *, hidden_dim: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(
            {
                name: ProjectionHead(backbone.num_features, embedding_dim, hidden_dim=hidden_dim)
                for name in names
            }
        )

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Return the features of clips, shape (B, D)."""
        features_BD: Tensor = self.backbone(clips_BCTHW)
        return features_BD

    def project(self, name: str, features_XD: Tensor) -> Tensor:
        """Return a head's embedding of features, float32, shape (X, E); not normalised."""
        embedding_XE: Tensor = self.heads[name](features_XD)
        return embedding_XE


@torch.no_grad()
def project_keys(encoder: MomentumEncoder, name: str, features_XD: Tensor) -> Tensor:
    """Return the embedding that the head ``name`` of a momentum encoder gives, without gradient."""
    assert isinstance(encoder.network, MultiHeadEncoder)
    return encoder.network.project(name, features_XD)


def extract_each(network: Callable[[Tensor], Tensor], clips_BMCTHW: Tensor) -> Tensor:
    """Run a network once over the M clips of every video: features of shape (B, M, D)."""
    features_XD = network(clips_BMCTHW.flatten(0, 1))
    return features_XD.reshape(*clips_BMCTHW.shape[:2], -1)
