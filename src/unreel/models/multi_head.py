"""One backbone on single frames, with a head for every task."""

from collections.abc import Sequence

from torch import Tensor, nn

from unreel.models.backbone import Backbone
from unreel.models.heads import ProjectionHead

# F frames, C channels, H W pixels, D features, E embedding, X any shape


class MultiHeadEncoder(nn.Module):
    """A backbone that sees every frame by itself, and heads of one architecture with weights of their own.

    Features are computed once and go to as many heads as there are tasks; an average of features may go to a
    head as well.

    Args:
        backbone: D features per frame; it gets clips of one frame.
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

    def forward(self, frames_FCHW: Tensor) -> Tensor:
        """Return the features of the frames, shape (F, D)."""
        features_FD: Tensor = self.backbone(frames_FCHW.unsqueeze(2))
        return features_FD

    def project(self, name: str, features_XD: Tensor) -> Tensor:
        """Return a head's embedding of features, float32, shape (X, E); not normalised."""
        embedding_XE: Tensor = self.heads[name](features_XD)
        return embedding_XE
