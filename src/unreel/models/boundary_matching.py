"""Look at every stretch of a video at once: sample points spread over each, all by one constant matrix."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# B videos, C input channels, O output channels, T positions, L lengths (as many as T), N samples per stretch
# P stretches = L * T


class BoundaryMatching(nn.Module):
    """A vector for every stretch: N points spread over it and its surroundings, then a layer over them.

    The stretch of l + 1 positions from position t on is seen with ``context`` times its length on either
    side. Over this, ``num_samples * samples_per_bin`` points are spread from end to end; each is
    interpolated between the two nearest positions, zero outside the video (decision V22), and every
    ``samples_per_bin`` neighbours are averaged to one sample. A stretch that would leave the video has
    samples of zero, so that the bias alone is left of it.

    Both sampling and layer are linear, so the layer comes first here: at T = 100 it is applied to 100
    positions and not to 10 000 stretches, and the 5 050 real stretches gather its output by a matrix of half
    a million numbers. At the published sizes that is the same function for a seventieth of the
    multiplications (0.66 instead of 50 billion per video) and a fiftieth of the memory between the two (6.5
    MB instead of 328).

    Args:
        in_channels: C.
        out_channels: O.
        num_positions: T.
        num_samples: N.
        samples_per_bin: points that are averaged to a sample.
        context: length that is seen on either side of a stretch, as a share of its own.

    Reference: BMN (Lin et al., 2019), section 3.2.
    """

    indices_2X: Tensor
    values_X: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_positions: int = 100,
        num_samples: int = 32,
        samples_per_bin: int = 3,
        context: float = 0.5,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, (num_samples, 1, 1))
        indices_2X, values_X = build_sampling(num_positions, num_samples, samples_per_bin, context)
        # A constant: built again with the module, never saved with the weights.
        self.register_buffer("indices_2X", torch.from_numpy(indices_2X), persistent=False)
        self.register_buffer("values_X", torch.from_numpy(values_X), persistent=False)

    def forward(self, features_BCT: Tensor) -> Tensor:
        """Return the map of all stretches, shape (B, O, L, T), before any nonlinearity."""
        num_videos, _, num_positions = features_BCT.shape
        num_outputs, _, num_samples = self.conv.weight.shape[:3]
        weight_CX = self.conv.weight.flatten(2).permute(1, 2, 0).flatten(1)
        projected_BTX = features_BCT.transpose(1, 2) @ weight_CX
        projected_BTNO = projected_BTX.view(num_videos, num_positions, num_samples, num_outputs)
        columns_XY = projected_BTNO.permute(2, 1, 0, 3).reshape(num_samples * num_positions, -1)
        with torch.autocast(features_BCT.device.type, enabled=False):
            stretches: Tensor = _Gather.apply(  # type: ignore[no-untyped-call]
                columns_XY.float(), self.indices_2X, self.values_X, num_positions**2
            )
        map_BOLT = stretches.view(num_positions, num_positions, num_videos, num_outputs).permute(2, 3, 0, 1)
        assert self.conv.bias is not None
        return map_BOLT + self.conv.bias.float()[:, None, None]


class _Gather(torch.autograd.Function):
    """A product with a constant sparse matrix; its transpose is at hand for the gradient."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (torch's type)
        columns_XY: Tensor,
        indices_2X: Tensor,
        values_X: Tensor,
        num_rows: int,
    ) -> Tensor:
        ctx.save_for_backward(indices_2X, values_X)
        ctx.shape = (num_rows, len(columns_XY))
        product: Tensor = torch.sparse.mm(_as_sparse(indices_2X, values_X, ctx.shape), columns_XY)
        return product

    @staticmethod
    def backward(ctx: Any, grad_PY: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        indices_2X, values_X = ctx.saved_tensors
        num_rows, num_columns = ctx.shape
        transposed = _as_sparse(indices_2X.flip(0), values_X, (num_columns, num_rows))
        return torch.sparse.mm(transposed, grad_PY.contiguous()), None, None, None


def _as_sparse(indices_2X: Tensor, values_X: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_coo_tensor(indices_2X, values_X, shape, check_invariants=False)


def build_sampling(
    num_positions: int, num_samples: int, samples_per_bin: int, context: float
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the matrix that samples every stretch, by its entries that are not zero.

    Returns:
        Row and column of every entry, shape (2, X), rows ascending; and the entries. Row ``l * T + t`` is the
        stretch of l + 1 positions from t on, column ``n * T + u`` position u as seen by sample n.
    """
    lengths_P, starts_P = np.divmod(np.arange(num_positions**2), num_positions)
    rows_R = np.flatnonzero(lengths_P + starts_P < num_positions)
    first_R, last_R = starts_P[rows_R], starts_P[rows_R] + lengths_P[rows_R]
    margin_R = context * (last_R - first_R + 1)
    points = np.arange(num_samples * samples_per_bin)
    step_R = (last_R - first_R + 2 * margin_R) / max(len(points) - 1, 1)
    places_RK = (first_R - margin_R)[:, None] + step_R[:, None] * points
    below_RK = np.floor(places_RK).astype(np.int64)
    share_RK = places_RK - below_RK
    dense_RNT = np.zeros((len(rows_R), num_samples, num_positions), dtype=np.float32)
    row_RK = np.broadcast_to(np.arange(len(rows_R))[:, None], places_RK.shape)
    sample_RK = np.broadcast_to(points // samples_per_bin, places_RK.shape)
    for position_RK, weight_RK in ((below_RK, 1 - share_RK), (below_RK + 1, share_RK)):
        is_inside = (position_RK >= 0) & (position_RK < num_positions)
        where = (row_RK[is_inside], sample_RK[is_inside], position_RK[is_inside])
        np.add.at(dense_RNT, where, (weight_RK[is_inside] / samples_per_bin).astype(np.float32))
    row_X, sample_X, position_X = np.nonzero(dense_RNT)
    indices_2X = np.stack([rows_R[row_X], sample_X * num_positions + position_X])
    return indices_2X, dense_RNT[row_X, sample_X, position_X]
