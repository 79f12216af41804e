"""Contrast the embeddings of two networks and two views in one loss."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from unreel.losses.contrastive import PositiveForm, check_temperature, multi_positive_info_nce, normalize

# B batch, E embedding, K negatives

Pair = Literal["gq_gk", "gq_tq", "gq_tk", "tq_tk"]
"""Two embeddings of a video that attract each other: ``g`` is the CNN's and ``t`` the transformer's, ``q`` of
the query view, ``k`` of the key view by the momentum encoder."""


def cross_architecture_loss(
    embeddings: Mapping[str, Tensor],
    negatives_KE: Tensor,
    pairs: Sequence[Pair],
    *,
    temperature: float,
    form: PositiveForm = "joint",
    excluded_BK: Tensor | None = None,
) -> Tensor:
    """Contrast the pairs of every video with the similarities of ``gq`` to the negatives.

    These negatives serve all pairs, ``tq_tk`` too, so they give the transformer no gradient (decision A11).
    At equal similarities the loss is ``log((P + K) / P)`` nats for P pairs in the form "joint" and
    ``log(1 + K)`` in the form "per_pair".

    Args:
        embeddings: by name, each of shape (B, E); need not be of length one.
        negatives_KE: keys of other videos, of both networks.
        pairs: which embeddings attract each other.
        temperature: divides the cosine similarities.
        form: whether the pairs share a softmax, as in `multi_positive_info_nce`.
        excluded_BK: true where a key belongs to the row's own video; it then counts for nothing.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: CACL, eq. 2 to 4.
    """
    check_temperature(temperature)
    with torch.autocast(negatives_KE.device.type, enabled=False):
        positive_BP = torch.stack(list(pair_similarities(embeddings, pairs).values()), dim=1)
        negative_BK = normalize(embeddings["gq"]) @ normalize(negatives_KE).T
        if excluded_BK is not None:
            negative_BK = negative_BK.masked_fill(excluded_BK, float("-inf"))
        return multi_positive_info_nce(positive_BP / temperature, negative_BK / temperature, form=form)


def pair_similarities(embeddings: Mapping[str, Tensor], pairs: Sequence[Pair]) -> dict[Pair, Tensor]:
    """Return the cosine similarity of every pair, float32, one number per row.

    Reference: CACL, eq. 2 and Table 3.
    """
    unit = {name: normalize(embedding_BE) for name, embedding_BE in embeddings.items()}
    return {pair: (unit[pair[:2]] * unit[pair[3:]]).sum(dim=1) for pair in pairs}
