"""Carry out what was drawn for each clip: resample, then change colours.

On an accelerator the whole batch is one step of each kind. On the CPU clips are taken one by one, so that
the work on a clip stays in the cache and a clip that is only cut out costs no multiplication.

The arithmetic is float32 whatever autocast says; where TF32 is allowed for matrix products, pixel values are
exact in it and weights are off by at most one part in two thousand.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.blur import blur_outputs
from unreel.augment.color import ColorMap, apply_color, fit_to_bytes
from unreel.augment.spatial import AxisMap, gather_clips, resample_batch, resample_clip, slice_clip

# B clips, T frames, H W pixels in, O P pixels out (rows, columns), C channels, K taps


class Resampler:
    """Crop, resize, flip and blur of every clip of a batch.

    Args:
        rows: where output rows come from.
        cols: where output columns come from.
        size_px: side of the output.
        taps_BK: blur kernels from `gaussian_taps`; None when no clip is blurred.
    """

    def __init__(
        self, rows: AxisMap, cols: AxisMap, size_px: int, taps_BK: NDArray[np.float64] | None = None
    ) -> None:
        self._rows, self._cols, self._size_px, self._taps_BK = rows, cols, size_px, taps_BK
        is_sharp_B = np.True_ if taps_BK is None else taps_BK[:, 0] == 1.0
        self.is_slice_B: NDArray[np.bool_] = rows.is_slice & cols.is_slice & is_sharp_B
        """Which clips are only cut out."""

    def resample(self, frames_BTHWC: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Resample all clips: one by one on the CPU, together elsewhere.

        Yields:
            Which clips, and all their pixels, float32 (B, C, N) on the scale of the frames.
        """
        if frames_BTHWC.device.type == "cpu":
            for clip, pixels_CTHW in enumerate(self._resample_each(frames_BTHWC)):
                yield slice(clip, clip + 1), pixels_CTHW.flatten(1)[None]
        else:
            yield slice(None), self.resample_together(frames_BTHWC).flatten(2)

    def resample_together(self, frames_BTHWC: Tensor) -> Tensor:
        """Resample the whole batch in one step: what `resample` does on an accelerator.

        Returns:
            Float32 (B, C, T, O, P), on the scale of the frames; not always contiguous.
        """
        if self.is_slice_B.all():
            return gather_clips(frames_BTHWC, self._rows, self._cols, self._size_px)
        return resample_batch(frames_BTHWC, *self._matrices(frames_BTHWC))

    def _resample_each(self, frames_BTHWC: Tensor) -> Iterator[Tensor]:
        rows_BOH, cols_BPW = (None, None) if self.is_slice_B.all() else self._matrices(frames_BTHWC)
        for clip, frames_THWC in enumerate(frames_BTHWC):
            if self.is_slice_B[clip] or rows_BOH is None or cols_BPW is None:
                top, left = int(self._rows.first[clip]), int(self._cols.first[clip])
                is_flipped = bool(self._cols.is_reversed_B[clip])
                yield slice_clip(frames_THWC, top, left, self._size_px, is_flipped=is_flipped)
            else:
                yield resample_clip(frames_THWC, rows_BOH[clip], cols_BPW[clip])

    def _matrices(self, frames_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
        (height, width), device = frames_BTHWC.shape[2:4], frames_BTHWC.device
        rows_BOH = self._rows.matrices(self._size_px, height, device)
        cols_BPW = self._cols.matrices(self._size_px, width, device)
        if self._taps_BK is None:
            return rows_BOH, cols_BPW
        which = np.flatnonzero(self._taps_BK[:, 0] != 1.0)
        taps_BK = torch.from_numpy(self._taps_BK[which].astype(np.float32)).to(device, non_blocking=True)
        if len(which) == len(rows_BOH):
            return blur_outputs(rows_BOH, taps_BK), blur_outputs(cols_BPW, taps_BK)
        which_on_device = torch.from_numpy(which).to(device, non_blocking=True)
        for matrix in (rows_BOH, cols_BPW):
            matrix.index_copy_(0, which_on_device, blur_outputs(matrix[which_on_device], taps_BK))
        return rows_BOH, cols_BPW


def render_clips(
    frames_BTHWC: Tensor,
    resampler: Resampler,
    color: ColorMap,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    size_px: int,
) -> Tensor:
    """Resample, change colours, clamp to [0, 1] and normalise.

    Args:
        frames_BTHWC: uint8 RGB.
        resampler: from where each pixel comes.
        color: what happens to its colour.
        mean: subtracted from red, green and blue on the scale [0, 1].
        std: divides red, green and blue after that.
        size_px: side of the output, the resampler's.

    Returns:
        Float32 (B, C, T, size_px, size_px), contiguous, without gradient.
    """
    num_clips, num_frames, _, _, channels = frames_BTHWC.shape
    color = fit_to_bytes(color, mean=mean, std=std)
    limits = [((0.0 - shift) / scale, (1.0 - shift) / scale) for shift, scale in zip(mean, std, strict=True)]
    out_BCTHW = torch.empty(
        (num_clips, channels, num_frames, size_px, size_px), dtype=torch.float32, device=frames_BTHWC.device
    )
    out_BCN = out_BCTHW.view(num_clips, channels, -1)
    with torch.no_grad(), torch.autocast(frames_BTHWC.device.type, enabled=False):
        for clips, pixels_BCN in resampler.resample(frames_BTHWC):
            apply_color(pixels_BCN, color[clips], out_BCN[clips])
            for channel, (lowest, highest) in enumerate(limits):
                out_BCN[clips, channel].clamp_(lowest, highest)
    return out_BCTHW
