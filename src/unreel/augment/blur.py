"""Gaussian blur as a matrix, so that it joins the resampling at no further cost.

A separable blur of a square picture ``X`` is ``G X G^T``. Cropping and resizing are ``R X C^T``; one after
the other they are ``(G R) X (G C)^T``: one multiplication per side, whether the clip is blurred or not.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# B clips, O pixels of a side, K taps


def blur_radius(largest_sigma: float, size_px: int) -> int:
    """Return how far the kernel reaches to each side in pixels: three standard deviations.

    It stays inside the picture, and follows from the largest sigma of a run, not from each clip's: one kernel
    size for all, as in the papers.
    """
    return min(math.ceil(3.0 * largest_sigma), size_px - 1)


def gaussian_taps(sigma_B: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Return one half of each clip's kernel, from the centre outwards, and a zero for everything beyond.

    The full kernel ``taps[radius], ..., taps[0], ..., taps[radius]`` sums to one.

    Args:
        sigma_B: standard deviations in pixels; 0 gives the kernel that changes nothing.
        radius: from `blur_radius`.

    Returns:
        Array of shape (B, radius + 2).
    """
    distance_K = np.arange(radius + 2, dtype=np.float64)
    taps_BK = np.zeros((len(sigma_B), radius + 2))
    taps_BK[:, 0] = 1.0
    is_blurred_B = sigma_B > 0
    taps_BK[is_blurred_B] = np.exp(-0.5 * (distance_K / sigma_B[is_blurred_B, None]) ** 2)
    taps_BK[:, -1] = 0.0
    total_B = taps_BK[:, 0] + 2.0 * taps_BK[:, 1:].sum(axis=1)
    blur_BK: NDArray[np.float64] = taps_BK / total_B[:, None]
    return blur_BK


def blur_matrices(taps_BK: Tensor, size_px: int) -> Tensor:
    """Build the matrices that blur a side of pixels, its borders reflected about the outermost pixel.

    With reflection, pixel ``j`` counts for pixel ``i`` at distance ``|i - j|``, once more through its image
    at ``-j``, and once more through its image beyond the far end::

        ... 2 1 [0 1 2 ... n-2 n-1] n-2 n-3 ...

    Args:
        taps_BK: from `gaussian_taps`.
        size_px: length of the side; the kernel's radius must be smaller.

    Returns:
        Tensor (B, size_px, size_px) whose rows sum to one.
    """
    beyond = taps_BK.shape[1] - 1
    assert beyond <= size_px
    place_O = torch.arange(size_px, device=taps_BK.device)
    here_OO, there_OO = place_O[:, None], place_O[None, :]
    direct_OO = (here_OO - there_OO).abs()
    near_OO = (here_OO + there_OO).masked_fill(there_OO == 0, beyond)
    far_OO = (2 * (size_px - 1) - here_OO - there_OO).masked_fill(there_OO == size_px - 1, beyond)
    routes = (direct_OO, near_OO, far_OO)
    return sum(
        (taps_BK[:, route.clamp(max=beyond)] for route in routes[1:]), taps_BK[:, direct_OO.clamp(max=beyond)]
    )
