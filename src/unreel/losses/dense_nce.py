"""Tell the map that a video goes on with from all other maps, position by position."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# B videos of this process, G videos of all processes, P predicted steps, L locations of a map, D features


@dataclass(frozen=True)
class DenseTerms:
    """What `dense_nce` returns; scalars, all but the loss without gradient.

    The last four are shares of the predictions, judged by the target that each is most similar to.

    Attributes:
        loss: ``log(G * P * L)`` at chance.
        accuracy: it is the prediction's own; 1 / (G * P * L) at chance.
        right_video: it is of the same video, so no other video was mistaken for it; 1 / G at chance.
        right_step: it is of the same step, of whatever video and location; 1 / P at chance.
        right_place: it is of the same location, of whatever video and step; 1 / L at chance.
    """

    loss: Tensor
    accuracy: Tensor
    right_video: Tensor
    right_step: Tensor
    right_place: Tensor


def dense_nce(predicted_BPLD: Tensor, targets_GPLD: Tensor, *, first_row: int = 0) -> DenseTerms:
    """Contrast every predicted vector with the true vectors of all videos, steps and locations.

    Vectors are compared by their dot product, neither normalised nor divided by a temperature. The loss is
    the mean over videos, steps and locations of ``-log softmax`` at the vector of the same video, step and
    location, in nats. Targets receive gradient as predictions do.

    Args:
        predicted_BPLD: what a network expects.
        targets_GPLD: what came, of all processes in order of rank.
        first_row: row of ``targets_GPLD`` that belongs to prediction 0.

    Reference: DPC (Han et al., 2019), eq. 5.
    """
    with torch.autocast(predicted_BPLD.device.type, enabled=False):
        logits_XY = predicted_BPLD.float().flatten(0, 2) @ targets_GPLD.float().flatten(0, 2).T
        num_steps, num_places = targets_GPLD.shape[1:3]
        first = first_row * num_steps * num_places
        own_X = torch.arange(first, first + len(logits_XY), device=logits_XY.device)
        loss = F.cross_entropy(logits_XY, own_X)
    best_X = logits_XY.detach().argmax(dim=1)
    per_video = num_steps * num_places
    return DenseTerms(
        loss=loss,
        accuracy=_share(best_X == own_X),
        right_video=_share(best_X // per_video == own_X // per_video),
        right_step=_share(best_X % per_video // num_places == own_X % per_video // num_places),
        right_place=_share(best_X % num_places == own_X % num_places),
    )


def _share(is_true_X: Tensor) -> Tensor:
    return is_true_X.float().mean()
