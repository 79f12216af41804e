"""Contrast a clip with another view of itself in order of time, against that view in other orders."""

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.losses.contrastive import check_temperature, normalize

# B clips, N shuffles of a clip, D features


def shuffled_info_nce(logits_BV: Tensor) -> Tensor:
    """Return the mean over the clips of ``-log softmax`` at the view in order of time.

    ``log(1 + N)`` when all similarities are equal: log 13 = 2.565 with 12 shuffles.

    Args:
        logits_BV: as `shuffled_logits` returns them.

    Reference: SCVRL, section 3.2: the InfoNCE of its eq. 1 over a clip's own shuffles.
    """
    with torch.autocast(logits_BV.device.type, enabled=False):
        return F.cross_entropy(logits_BV.float(), torch.zeros_like(logits_BV[:, 0], dtype=torch.long))


def shuffled_logits(
    anchor_BD: Tensor, positive_BD: Tensor, negatives_BND: Tensor, *, temperature: float
) -> Tensor:
    """Return cosines divided by the temperature, float32, shape (B, 1 + N); the positive is column 0.

    Every clip has negatives of its own, its shuffles; other clips play no role (decision S17).

    Args:
        anchor_BD: embeddings that receive gradient.
        positive_BD: the other view of the same clip, in order of time.
        negatives_BND: that view, shuffled.
        temperature: divides the cosines; 0.1 in SCVRL.

    Raises:
        ValueError: ``temperature`` is not positive.
    """
    check_temperature(temperature)
    with torch.autocast(anchor_BD.device.type, enabled=False):
        versions_BVD = normalize(torch.cat([positive_BD[:, None], negatives_BND], dim=1))
        return torch.einsum("bd,bvd->bv", normalize(anchor_BD), versions_BVD) / temperature


@torch.no_grad()
def order_accuracy(logits_BV: Tensor) -> Tensor:
    """Return the share of clips whose view in order of time is nearer than each of its shuffles.

    It is ``1 / (1 + N)`` by chance, and 0 where all are as near.
    """
    return (logits_BV[:, 0] > logits_BV[:, 1:].amax(dim=1)).float().mean()
