"""From features to scores of classes: average over frames, dropout, one linear layer."""

import torch
from torch import Tensor, nn

# B clips, T frames, D features, C classes


class ClassificationHead(nn.Module):
    """One weighted sum of the features per class.

    Where there is a vector per frame, a clip's scores are the mean of those of its frames (the consensus of
    segments). In training, TSN leaves features of the mean frame out and TSM features of every frame by
    itself; the scores are the same to rounding without dropout, since the layer is linear.

    Attributes:
        linear: the layer.

    Args:
        num_features: D.
        num_classes: C.
        dropout_prob: probability of leaving out a feature in training.
        init_std: standard deviation of the fresh weights, whose biases are then 0; with 0 weights and biases
            are drawn as torch does.
        is_dropout_per_frame: whether frames lose features of their own (TSM) or all the same ones (TSN).

    Raises:
        ValueError: there is no feature, no class, or a probability or deviation is out of range.

    Reference: Wang et al., 2016 (TSN), section 3.1; Lin et al., 2019 (TSM), section 5.1.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        dropout_prob: float = 0.0,
        init_std: float = 0.0,
        is_dropout_per_frame: bool = False,
    ) -> None:
        super().__init__()
        if min(num_features, num_classes) < 1:
            raise ValueError(
                f"num_features and num_classes must be at least 1, got {num_features} and {num_classes}"
            )
        if not 0 <= dropout_prob < 1:
            raise ValueError(f"dropout_prob must be in [0, 1), got {dropout_prob}; 0 leaves nothing out")
        if init_std < 0:
            raise ValueError(f"init_std must not be negative, got {init_std}; 0 draws weights as torch does")
        self.dropout = nn.Dropout(dropout_prob)
        self.is_dropout_per_frame = is_dropout_per_frame
        self.linear = nn.Linear(num_features, num_classes)
        if init_std:
            nn.init.normal_(self.linear.weight, std=init_std)
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C), in float32 whatever autocast says (decision E5).

        Args:
            features: one vector per clip (B, D), or one per frame (B, T, D).
        """
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if features.dim() == 2:
                logits_BC: Tensor = self.linear(self.dropout(features))
            elif self.is_dropout_per_frame:
                logits_BC = self.linear(self.dropout(features)).mean(dim=1)
            else:
                logits_BC = self.linear(self.dropout(features.mean(dim=1)))
        return logits_BC
