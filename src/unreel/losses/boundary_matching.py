"""Losses of the boundary-matching network: boundaries, and stretches judged by what they cover."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unreel.distributed import sum_over_ranks, world_size

# B videos, T positions, L lengths of a stretch (as many as T)

_EPSILON = 1e-5
_SMALLEST_RATIO, _LARGEST_RATIO = 1.05, 21.0


@dataclass(frozen=True)
class MatchingTerms:
    """What `boundary_matching_loss` returns; scalars, all but the loss without gradient.

    Attributes:
        loss: the weighted sum.
        boundary: loss of starts and ends.
        regression: loss of the covered share.
        classification: loss of whether a segment is covered.
        positives: stretches of the batch that cover a segment well (tIoU above 0.9), per video.
    """

    loss: Tensor
    boundary: Tensor
    regression: Tensor
    classification: Tensor
    positives: Tensor


def balanced_logistic_loss(prob: Tensor, is_positive: Tensor, is_counted: Tensor | None = None) -> Tensor:
    """Return the cross entropy in which positives and negatives weigh the same in all.

    With r entries per positive, cut to [1.05, 21], positives weigh r / 2 and negatives r / (2 (r - 1)); 1 e-5
    is added inside the logarithms. Without a positive, r is 21 and negatives alone count. Entries are counted
    over all processes: the mean of their losses, as DDP takes it, is the loss of all entries together.

    Args:
        prob: in (0, 1), any shape.
        is_positive: bool, the same shape.
        is_counted: bool, which entries take part; all by default.

    Reference: BSN (Lin et al., 2018), eq. 5; BMN (Lin et al., 2019), eq. 4.
    """
    counted = torch.ones_like(prob) if is_counted is None else is_counted.to(prob.dtype)
    positive = is_positive.to(prob.dtype) * counted
    negative = counted - positive
    total, num_positive = sum_over_ranks(torch.stack([counted.sum(), positive.sum()])).clamp(min=1.0)
    ratio = (total / num_positive).clamp(_SMALLEST_RATIO, _LARGEST_RATIO)
    log_yes, log_no = torch.log(prob + _EPSILON), torch.log(1.0 - prob + _EPSILON)
    weighted = 0.5 * ratio * positive * log_yes + 0.5 * ratio / (ratio - 1) * negative * log_no
    loss: Tensor = -weighted.sum() * world_size() / total
    return loss


def regression_loss(
    predicted_BLT: Tensor, iou_BLT: Tensor, draws_BLT: Tensor, *, high: float = 0.7, low: float = 0.3
) -> Tensor:
    """Return half the mean squared error over stretches of all kinds, as many of each as can be.

    All stretches with a tIoU above ``high`` count, and of those between ``low`` and ``high``, and of those
    above 0 up to ``low``, a random choice of as many on average, or all where there are fewer. Stretches that
    touch no segment, and those that leave the video (decision V23), play no role. Without any stretch above
    ``high`` the loss is 0. Stretches are counted over all processes, as in `balanced_logistic_loss`.

    Args:
        predicted_BLT: in (0, 1).
        iou_BLT: the truth; 0 where a stretch leaves the video.
        draws_BLT: uniform in [0, 1), what decides who is chosen.
        high: tIoU of stretches that all count.
        low: tIoU between the two other kinds.

    Reference: BMN (Lin et al., 2019), section 3.4.
    """
    is_high = iou_BLT > high
    others = ((iou_BLT <= high) & (iou_BLT > low), (iou_BLT <= low) & (iou_BLT > 0))
    num_high, *counts = sum_over_ranks(torch.stack([kind.sum() for kind in (is_high, *others)]))
    chosen = is_high
    for is_kind, count in zip(others, counts, strict=True):
        chosen = chosen | (is_kind & (draws_BLT < num_high / count.clamp(min=1)))
    squares = (predicted_BLT - iou_BLT).square() * chosen
    return 0.5 * squares.sum() * world_size() / sum_over_ranks(chosen.sum()).clamp(min=1)


def boundary_matching_loss(
    *,
    start_BT: Tensor,
    end_BT: Tensor,
    regression_BLT: Tensor,
    classification_BLT: Tensor,
    true_start_BT: Tensor,
    true_end_BT: Tensor,
    iou_BLT: Tensor,
    draws_BLT: Tensor,
    regression_weight: float = 10.0,
    classification_weight: float = 1.0,
) -> MatchingTerms:
    """Compare what the network says with the truth: boundaries + 10 regression + classification.

    A position is a boundary where more than half of it lies in the region of one. A stretch covers a segment
    where its tIoU is above 0.9; stretches that leave the video play no role (decision V23).

    Args:
        start_BT: probability of a start, in (0, 1).
        end_BT: probability of an end.
        regression_BLT: tIoU as the network sees it.
        classification_BLT: probability that a segment is covered.
        true_start_BT: share of a position in the region of a start.
        true_end_BT: share of a position in the region of an end.
        iou_BLT: tIoU of the segment that is covered best.
        draws_BLT: uniform in [0, 1), for `regression_loss`.
        regression_weight: factor of the regression.
        classification_weight: factor of the classification.

    Reference: BMN (Lin et al., 2019), eq. 3 to 6.
    """
    size = iou_BLT.shape[-1]
    places_T = torch.arange(size, device=iou_BLT.device)
    is_inside_BLT = ((places_T[:, None] + places_T) < size).expand_as(iou_BLT)
    boundary = balanced_logistic_loss(start_BT, true_start_BT > 0.5)
    boundary = boundary + balanced_logistic_loss(end_BT, true_end_BT > 0.5)
    regression = regression_loss(regression_BLT, iou_BLT, draws_BLT)
    is_covering_BLT = (iou_BLT > 0.9) & is_inside_BLT
    classification = balanced_logistic_loss(classification_BLT, is_covering_BLT, is_inside_BLT)
    return MatchingTerms(
        loss=boundary + regression_weight * regression + classification_weight * classification,
        boundary=boundary.detach(),
        regression=regression.detach(),
        classification=classification.detach(),
        positives=is_covering_BLT.sum() / len(iou_BLT),
    )
