"""Gaussian blur as a matrix, so that it joins the resampling at no further cost.

A separable blur of a square picture ``X`` is ``G X G^T``. Cropping and resizing are ``R X C^T``; one after
the other they are ``(G R) X (G C)^T``: one multiplication per side, whether the clip is blurred or not.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# B clips, O pixels of a side, K taps, I pixels before the resampling, R pixels within the kernel's reach

BLOCK_PX = 32
"""Rows of a matrix that are blurred in one multiplication on the CPU."""


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
    radius = taps_BK.shape[1] - 2
    assert radius < size_px
    # One row of taps that slides by a pixel from row to row: read as windows, nothing is computed twice.
    line = F.pad(torch.cat([taps_BK[:, 1:].flip(1), taps_BK], dim=1), (size_px - radius - 2, size_px - 2))
    matrix_BOO = line[:, : 2 * size_px - 1].unfold(1, size_px, 1).flip(1)
    if radius:
        image_BRR = line[:, size_px:].unfold(1, radius, 1)[:, :radius]
        matrix_BOO[:, :radius, 1 : radius + 1] += image_BRR
        matrix_BOO[:, -radius:, -radius - 1 : -1] += image_BRR.flip(1, 2)
    return matrix_BOO


def blur_outputs(matrix_BOI: Tensor, taps_BK: Tensor) -> Tensor:
    """Blur what matrices give: ``G M``, with the matrices of `blur_matrices`.

    Args:
        matrix_BOI: one matrix per clip that gives a side of pixels.
        taps_BK: the clips' kernels.
    """
    size_px = matrix_BOI.shape[1]
    blur_BOO = blur_matrices(taps_BK, size_px)
    if matrix_BOI.device.type != "cpu":
        return torch.bmm(blur_BOO, matrix_BOI)
    # Most of G is zero: a few rows at a time are multiplied with what they see.
    radius, out_BOI = taps_BK.shape[1] - 2, torch.empty_like(matrix_BOI)
    for begin in range(0, size_px, BLOCK_PX):
        rows = slice(begin, begin + BLOCK_PX)
        seen = slice(max(0, begin - radius), begin + BLOCK_PX + radius)
        torch.bmm(blur_BOO[:, rows, seen], matrix_BOI[:, seen], out=out_BOI[:, rows])
    return out_BOI
