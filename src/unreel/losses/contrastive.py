"""Contrast each embedding with its positive against embeddings of other videos."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

# B queries of this process, G keys of all processes, P positives, K negatives, D features

PositiveForm = Literal["joint", "per_pair"]
"""How several positives share a softmax: all in one, or each in one of its own."""


def info_nce(
    query_BD: Tensor,
    positive_BD: Tensor,
    negatives_KD: Tensor,
    *,
    temperature: float,
    excluded_BK: Tensor | None = None,
) -> Tensor:
    """Contrast each query with its positive against a shared set of negatives.

    Rows are compared by cosine similarity, so the inputs need no normalisation. The loss is the mean over the
    batch of ``-log softmax`` at the positive, in nats: ``log(1 + K)`` when all similarities are equal.

    Args:
        query_BD: embeddings that receive gradient.
        positive_BD: the other view of the same video, row by row.
        negatives_KD: embeddings of other videos, most often the queue.
        temperature: divides the similarities; 0.07 in MoCo.
        excluded_BK: true where a negative is in truth the query's own video; it then counts for nothing.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: van den Oord et al., 2018, eq. 4; CACL, eq. 1.
    """
    logits_BK = info_nce_logits(
        query_BD, positive_BD, negatives_KD, temperature=temperature, excluded_BK=excluded_BK
    )
    return F.cross_entropy(logits_BK, logits_BK.new_zeros(len(logits_BK), dtype=torch.long))


def info_nce_logits(
    query_BD: Tensor,
    positive_BD: Tensor,
    negatives_KD: Tensor,
    *,
    temperature: float,
    excluded_BK: Tensor | None = None,
) -> Tensor:
    """Return the logits of `info_nce`, float32, shape (B, 1 + K); the positive is column 0.

    Raises:
        ValueError: ``temperature`` is not positive.
    """
    check_temperature(temperature)
    with torch.autocast(query_BD.device.type, enabled=False):
        query_BD = normalize(query_BD)
        positive_B1 = (query_BD * normalize(positive_BD)).sum(dim=1, keepdim=True)
        negative_BK = query_BD @ normalize(negatives_KD).T
        if excluded_BK is not None:
            negative_BK = negative_BK.masked_fill(excluded_BK, float("-inf"))
        return torch.cat([positive_B1, negative_BK], dim=1) / temperature


def in_batch_info_nce(query_BD: Tensor, key_GD: Tensor, *, first_row: int, temperature: float) -> Tensor:
    """Contrast each query with its own row of the keys against all other rows.

    Mean over the queries of ``-log softmax`` at the own row, in nats: ``log(G)`` when all similarities are
    equal.

    Args:
        query_BD: embeddings of one view.
        key_GD: embeddings of the other view, of all processes in order of rank.
        first_row: row of ``key_GD`` that belongs to query 0; query b belongs to row ``first_row + b``.
        temperature: divides the similarities.

    Raises:
        ValueError: ``temperature`` is not positive.

    Reference: van den Oord et al., 2018, eq. 4, with the batch as negatives (Chen et al., 2020, eq. 1).
    """
    check_temperature(temperature)
    with torch.autocast(query_BD.device.type, enabled=False):
        logits_BG = normalize(query_BD) @ normalize(key_GD).T / temperature
        own_B = torch.arange(first_row, first_row + len(query_BD), device=query_BD.device)
        return F.cross_entropy(logits_BG, own_B)


def multi_positive_info_nce(positive_BP: Tensor, negative_BK: Tensor, *, form: PositiveForm) -> Tensor:
    """Contrast several positive pairs of each row with the same negatives.

    "joint" is the mean over the batch of ``-log(S / (S + E))``, where S sums ``exp`` of the row's positives
    and E that of its negatives: ``log((P + K) / P)`` when all logits are equal. The gradient is shared among
    the positives in proportion to their ``exp``, so the nearest pair is pulled most. "per_pair" is the mean
    over batch and positives of ``-log(exp(p) / (exp(p) + E))``, which pulls every pair by itself:
    ``log(1 + K)`` when all logits are equal (decision A9).

    Args:
        positive_BP: logits of the positive pairs, similarities divided by the temperature.
        negative_BK: logits of the negatives; minus infinity where one is to count for nothing, but not in a
            whole row.
        form: "joint" as CACL prints it, "per_pair" as its released code has it.

    Reference: CACL, eq. 3 and 4.
    """
    with torch.autocast(positive_BP.device.type, enabled=False):
        positive_BP, negative_BK = positive_BP.float(), negative_BK.float()
        negatives_B1 = negative_BK.logsumexp(dim=1, keepdim=True)
        if form == "per_pair":
            return (torch.logaddexp(positive_BP, negatives_B1) - positive_BP).mean()
        positives_B1 = positive_BP.logsumexp(dim=1, keepdim=True)
        return (torch.logaddexp(positives_B1, negatives_B1) - positives_B1).mean()


@torch.no_grad()
def retrieval_accuracy(query_BD: Tensor, key_BD: Tensor) -> Tensor:
    """Return the share of queries whose nearest key, by cosine and within the batch, is their own."""
    with torch.autocast(query_BD.device.type, enabled=False):
        nearest_B = (normalize(query_BD) @ normalize(key_BD).T).argmax(dim=1)
        return (nearest_B == torch.arange(len(query_BD), device=query_BD.device)).float().mean()


def normalize(rows_XD: Tensor) -> Tensor:
    """Scale the last axis to length one, in float32; a zero vector stays zero."""
    return F.normalize(rows_XD.float(), dim=-1)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that would flip or blow up the similarities.

    Raises:
        ValueError: ``temperature`` is not positive.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature must be positive, got {temperature}; usual values lie between 0.05 and 1"
        )
