"""The losses of VCLR and SeCo on single frames, and what their task of order looks at."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.losses.contrastive import check_temperature, multi_positive_info_nce, normalize

# B videos, P keys of a video, N frames of a tuple, E embedding, K negatives

IntraForm = Literal["official", "joint"]
"""How a frame is told from others of its video: from one at a time, or from all in one softmax."""

OrderNorm = Literal["channels", "frames"]
"""Along which axis embeddings have length one before their order is judged."""


def inter_frame_loss(
    query_BE: Tensor,
    keys_BPE: Tensor,
    negatives_KE: Tensor,
    *,
    temperature: float,
    excluded_BK: Tensor | None = None,
) -> Tensor:
    """Contrast a frame with several keys of its video, each in a softmax of its own.

    Rows are compared by cosine similarity. The loss is the mean over videos and keys of ``-log softmax`` at
    the key, in nats: ``log(1 + K)`` when all similarities are equal.

    Args:
        query_BE: embeddings that receive gradient.
        keys_BPE: of the same video: the query's frame augmented anew, and other frames.
        negatives_KE: embeddings of frames of other videos, most often the queue.
        temperature: divides the similarities; 0.1 in VCLR.
        excluded_BK: true where a negative is in truth of the query's own video; it then counts for nothing.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: VCLR, eq. 2.
    """
    check_temperature(temperature)
    with torch.autocast(query_BE.device.type, enabled=False):
        query_BE = normalize(query_BE)
        positive_BP = torch.einsum("be,bpe->bp", query_BE, normalize(keys_BPE))
        negative_BK = query_BE @ normalize(negatives_KE).T
        if excluded_BK is not None:
            negative_BK = negative_BK.masked_fill(excluded_BK, float("-inf"))
        return multi_positive_info_nce(positive_BP / temperature, negative_BK / temperature, form="per_pair")


def intra_frame_loss(
    query_BE: Tensor,
    key_BE: Tensor,
    others_BPE: Tensor,
    *,
    temperature: float,
    form: IntraForm = "official",
) -> Tensor:
    """Contrast a frame, seen twice, with other frames of the same video.

    "joint" is the mean over videos of ``-log softmax`` at the own key among it and the P others:
    ``log(1 + P)`` when all similarities are equal. "official" takes one other at a time and averages these
    two-way losses: ``log 2`` then (decision V2).

    Args:
        query_BE: embeddings that receive gradient.
        key_BE: the same frames in another augmentation.
        others_BPE: other frames of the same videos, at least one.
        temperature: divides the similarities; 0.1 in VCLR.
        form: "joint" as printed, "official" as the released code has it.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: VCLR, eq. 3.
    """
    check_temperature(temperature)
    with torch.autocast(query_BE.device.type, enabled=False):
        query_BE = normalize(query_BE)
        own_B1 = (query_BE * normalize(key_BE)).sum(dim=1, keepdim=True) / temperature
        other_BP = torch.einsum("be,bpe->bp", query_BE, normalize(others_BPE)) / temperature
        if form == "official":
            return F.softplus(other_BP - own_B1).mean()
        return multi_positive_info_nce(own_B1, other_BP, form="joint")


def concat_for_order(query_BNE: Tensor, key_BNE: Tensor, *, norm: OrderNorm = "channels") -> Tensor:
    """Put the embeddings of two sequences of frames side by side, in the order given.

    The keys give no gradient (decision V5).

    Args:
        query_BNE: of the online network; N may differ between the two.
        key_BNE: of the momentum encoder.
        norm: "channels" scales every embedding to length one; "frames" scales every channel over the frames
            of its sequence, as VCLR's released code does (decision V3).

    Returns:
        Float32 (B, N * E of both together).

    Reference: VCLR, eq. 7 to 9.
    """
    axis = 1 if norm == "frames" else 2
    parts = [F.normalize(part_BNE.float(), dim=axis) for part_BNE in (query_BNE, key_BNE.detach())]
    return torch.cat([part_BNE.flatten(1) for part_BNE in parts], dim=1)
