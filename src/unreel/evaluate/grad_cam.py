"""Grad-CAM: which places of the last feature map a score is made of.

A score reads the pooled map only, so its gradient ends at the map: no network is passed backwards.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from unreel.features.pooling import Pooling, max_pool_map

# B clips, D features, T frames or time positions, H W pixels or positions

Score = Callable[[Tensor], Tensor]
"""From a map (B, D, T', H', W') to a number per clip (B,), each a function of its own clip's map alone."""


def score_own_direction(map_BDTHW: Tensor) -> Tensor:
    """Project the feature of each clip on its own direction, which counts as fixed; shape (B,).

    The target of a network without classifier (decision V19). Its value is the length of the feature f. Its
    gradient at each of the P positions is ``f / |f| / P``, so the weight of a channel is proportional to the
    channel's share of the feature, and a place counts as far as what it holds resembles the whole.
    """
    feature_BD = map_BDTHW.mean(dim=(2, 3, 4))
    fixed_BD = feature_BD.detach()
    # First to a largest number of 1: the squares of the small features of a fresh network would be 0.
    direction_BD = F.normalize(fixed_BD / _or_one(fixed_BD.abs().amax(dim=1, keepdim=True)), dim=1)
    return (feature_BD * direction_BD).sum(dim=1)


def score_class(
    map_BDTHW: Tensor, weights_D: Tensor, bias: Tensor | float = 0.0, *, pooling: Pooling = "average"
) -> Tensor:
    """Return the score that a linear classifier gives to one class, shape (B,).

    With a map that is averaged, the weight of a channel is proportional to the classifier's.

    Args:
        map_BDTHW: last map.
        weights_D: of the class, for features of the form ``pooling``.
        bias: of the class.
        pooling: "frame" stands for the mean over the time positions.
    """
    return pool_map(map_BDTHW, pooling) @ weights_D + bias


def pool_map(map_BDTHW: Tensor, pooling: Pooling) -> Tensor:
    """Return one vector per clip, shape (B, D); "frame" gives the mean over the time positions.

    Raises:
        ValueError: the map is too small for "conv5_max".
    """
    return max_pool_map(map_BDTHW) if pooling == "conv5_max" else map_BDTHW.mean(dim=(2, 3, 4))


def locate(map_BDTHW: Tensor, score: Score) -> tuple[Tensor, Tensor]:
    """Return where the score of each clip comes from, and the score.

    Each channel is weighed by the mean, over time and space, of the score's gradient; the sum of the weighed
    channels is cut off below 0 and divided by its largest number in the clip.

    Args:
        map_BDTHW: last map of a backbone, with or without gradient.
        score: what is explained, such as `score_own_direction`.

    Returns:
        Float32 shares in [0, 1] of shape (B, T', H', W'), all 0 for a clip in which no place speaks for the
        score and else with a largest of 1; and the scores, float32 (B,).

    Reference: Selvaraju et al., 2017 (Grad-CAM), eq. 1 and 2.
    """
    with torch.enable_grad():
        leaf_BDTHW = map_BDTHW.detach().float().requires_grad_()
        score_B = score(leaf_BDTHW)
        (gradient_BDTHW,) = torch.autograd.grad(score_B.sum(), leaf_BDTHW)
    weights_BD = gradient_BDTHW.mean(dim=(2, 3, 4))
    seen_BTHW = F.relu(torch.einsum("bd,bdthw->bthw", weights_BD, leaf_BDTHW.detach()))
    peak_B111 = seen_BTHW.amax(dim=(1, 2, 3), keepdim=True)
    return seen_BTHW / _or_one(peak_B111), score_B.detach()


def stretch_time(shares_BTHW: Tensor, num_frames: int) -> Tensor:
    """Interpolate the time positions of a map to the frames of its clip: (B, T', H', W') to (B, T, H', W').

    A position stands in the middle of the frames that it covers; before the first and behind the last middle
    the map stays as it is there.
    """
    size = (num_frames, *shares_BTHW.shape[2:])
    return F.interpolate(shares_BTHW[:, None], size=size, mode="trilinear", align_corners=False)[:, 0]


def stretch_space(shares_THW: Tensor, side_px: int) -> Tensor:
    """Resize maps to square pictures by bilinear interpolation: (T, H', W') to (T, H, W).

    Behind `stretch_time`, this is the trilinear interpolation to all frames and pixels.
    """
    size = (side_px, side_px)
    return F.interpolate(shares_THW[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def _or_one(divisor: Tensor) -> Tensor:
    return torch.where(divisor > 0, divisor, 1.0)
