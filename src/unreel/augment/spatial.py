"""Crop, resize, flip and blur as one resampling per clip.

Along each side, an output pixel is a weighted mean of input pixels, so the whole is ``R X C^T`` with two
small matrices per clip. Their weights are those of ``torch.nn.functional.interpolate(mode="bilinear",
antialias=True)`` on the crop. A clip that is only cut out is sliced, which gives the same numbers sooner.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# B clips, T frames, H W pixels in, O P pixels out (rows, columns), C channels, K taps, I inputs

BLOCK_PX = 16
"""Output pixels that share one multiplication on the CPU; only the inputs that they see are multiplied."""


@dataclass(frozen=True)
class AxisMap:
    """Where the pixels of one output side come from, per clip.

    The middle of output pixel ``o`` lies at ``start + step * (offset + o + 1/2)`` in input pixels; only
    input pixels in ``[start, start + length)`` are seen.

    Attributes:
        start_B: int64, first input pixel.
        length_B: int64, number of input pixels.
        step_B: float64, input pixels per output pixel.
        offset_B: int64, output pixels cut off at the beginning.
        is_reversed_B: whether the side is mirrored.
    """

    start_B: NDArray[np.int64]
    length_B: NDArray[np.int64]
    step_B: NDArray[np.float64]
    offset_B: NDArray[np.int64]
    is_reversed_B: NDArray[np.bool_]

    @classmethod
    def stretch(
        cls,
        start_B: NDArray[np.int64],
        length_B: NDArray[np.int64],
        size_px: int,
        is_reversed_B: NDArray[np.bool_],
    ) -> "AxisMap":
        """Map an interval of the input to the whole output side, as cropping and resizing do."""
        return cls(start_B, length_B, length_B / size_px, np.zeros_like(start_B), is_reversed_B)

    @property
    def is_slice(self) -> NDArray[np.bool_]:
        """Whether each clip's output is a run of unchanged input pixels."""
        is_slice_B: NDArray[np.bool_] = self.step_B == 1.0
        return is_slice_B

    @property
    def first(self) -> NDArray[np.int64]:
        """First input pixel of each clip's output, for clips that are slices."""
        return self.start_B + self.offset_B

    def matrices(self, size_out: int, size_in: int, device: torch.device) -> Tensor:
        """Build the float32 matrices (B, size_out, size_in) of the triangle filter; rows sum to one.

        The filter spans one input pixel to each side, or one output pixel when the picture shrinks
        (antialiasing). A row is zero but for the few taps under its triangle: weights are computed for these
        alone, in float64 as a place has up to four digits before its fraction, and put where they belong.
        """
        reach_B = np.maximum(self.step_B, 1.0)
        # The middle of output pixel o is the place of input pixel ``base + slope * o``.
        last_B = np.where(self.is_reversed_B, size_out - 1, 0)
        base_B = self.start_B + self.step_B * (self.offset_B + last_B + 0.5) - 0.5
        slope_B = np.where(self.is_reversed_B, -self.step_B, self.step_B)
        last_seen_B = self.start_B + self.length_B - 1
        numbers = np.stack([base_B, slope_B, reach_B, 1.0 / reach_B, self.start_B, last_seen_B], axis=1)
        numbers_B6 = torch.from_numpy(numbers).to(device, non_blocking=True)
        base, slope, reach, slant, first_seen, last_seen = numbers_B6[:, :, None, None].unbind(1)
        # An interval of length 2r, without its end, holds at most ceil(2r) whole numbers.
        num_taps = min(math.ceil(2.0 * reach_B.max(initial=1.0)), size_in)
        counts = torch.arange(max(size_out, num_taps), device=device, dtype=torch.float64)
        middle_BO1 = torch.addcmul(base, slope, counts[:size_out, None])
        first_BO1 = (middle_BO1 - reach).ceil_().clamp_(min=0.0, max=size_in - num_taps)
        place_BOK = first_BO1 + counts[:num_taps]
        distance_BOK = (place_BOK - middle_BO1).abs_()
        weight_BOK = torch.addcmul(counts.new_ones(()), distance_BOK, slant, value=-1.0).clamp_(min=0.0)
        weight_BOK.mul_(place_BOK == torch.clamp(place_BOK, first_seen, last_seen))
        weight_BOK.div_(weight_BOK.sum(dim=2, keepdim=True))
        matrix_BOI = torch.zeros(len(numbers), size_out, size_in, device=device)
        return matrix_BOI.scatter_(2, place_BOK.long(), weight_BOK.float())


def slice_clip(frames_THWC: Tensor, top: int, left: int, size_px: int, *, is_flipped: bool) -> Tensor:
    """Cut a square out of every frame of a clip, mirrored or not.

    Returns:
        Float32 (C, T, size_px, size_px), pixel values as they were.
    """
    cut_THWC = frames_THWC[:, top : top + size_px, left : left + size_px]
    if is_flipped:
        cut_THWC = cut_THWC.flip(2)
    return cut_THWC.permute(3, 0, 1, 2).contiguous().float()


def gather_clips(frames_BTHWC: Tensor, rows: AxisMap, cols: AxisMap, size_px: int) -> Tensor:
    """Do `slice_clip` for a whole batch at once.

    Returns:
        Float32 (B, C, T, size_px, size_px).
    """
    device = frames_BTHWC.device
    batch = torch.arange(frames_BTHWC.shape[0], device=device)[:, None, None, None]
    time = torch.arange(frames_BTHWC.shape[1], device=device)[None, :, None, None]
    y_BO, x_BP = (_slice_places(axis, size_px, device) for axis in (rows, cols))
    cut_BTHWC = frames_BTHWC[batch, time, y_BO[:, None, :, None], x_BP[:, None, None, :]]
    return cut_BTHWC.permute(0, 4, 1, 2, 3).float()


def _slice_places(axis: AxisMap, size_px: int, device: torch.device) -> Tensor:
    place_O = np.arange(size_px)[None, :]
    places = axis.first[:, None] + np.where(axis.is_reversed_B[:, None], size_px - 1 - place_O, place_O)
    return torch.from_numpy(places).to(device, non_blocking=True)


def resample_batch(frames_BTHWC: Tensor, rows_BOH: Tensor, cols_BPW: Tensor) -> Tensor:
    """Apply each clip's two matrices to all its frames and channels: the way for accelerators.

    Returns:
        Float32 (B, C, T, O, P), a view that is not contiguous.
    """
    num_clips, num_frames, height, width, channels = frames_BTHWC.shape
    frames_BHCTW = frames_BTHWC.permute(0, 2, 4, 1, 3).to(
        torch.float32, memory_format=torch.contiguous_format
    )
    rows_done = torch.bmm(rows_BOH, frames_BHCTW.view(num_clips, height, -1))
    both_done = torch.bmm(rows_done.view(num_clips, -1, width), cols_BPW.mT)
    out_BOCTP = both_done.view(num_clips, rows_BOH.shape[1], channels, num_frames, cols_BPW.shape[1])
    return out_BOCTP.permute(0, 2, 3, 1, 4)


def resample_clip(frames_THWC: Tensor, rows_OH: Tensor, cols_PW: Tensor) -> Tensor:
    """Apply one clip's two matrices, leaving out their zeros: the way for the CPU.

    The matrices are bands: sixteen neighbouring output pixels see a few dozen input pixels. Multiplying
    block by block needs a quarter of the arithmetic, and only the pixels of the crop are touched at all.

    Returns:
        Float32 (C, T, O, P), contiguous.
    """
    row_blocks, col_blocks = _blocks(rows_OH), _blocks(cols_PW)
    top, bottom = min(block[2] for block in row_blocks), max(block[3] for block in row_blocks)
    left, right = min(block[2] for block in col_blocks), max(block[3] for block in col_blocks)
    crop_CTHW = frames_THWC[:, top:bottom, left:right].permute(3, 0, 1, 2).contiguous().float()
    channels, num_frames, height, width = crop_CTHW.shape
    flat_NW = crop_CTHW.view(-1, width)
    cols_done_NP = flat_NW.new_empty(len(flat_NW), len(cols_PW))
    for begin, end, first, last in col_blocks:
        weights_WP = cols_PW[begin:end, first:last].T
        torch.mm(flat_NW[:, first - left : last - left], weights_WP, out=cols_done_NP[:, begin:end])
    cols_done_NHP = cols_done_NP.view(channels * num_frames, height, -1)
    out_NOP = flat_NW.new_empty(channels * num_frames, len(rows_OH), len(cols_PW))
    for begin, end, first, last in row_blocks:
        out_NOP[:, begin:end] = torch.matmul(
            rows_OH[begin:end, first:last], cols_done_NHP[:, first - top : last - top]
        )
    return out_NOP.view(channels, num_frames, len(rows_OH), len(cols_PW))


def _blocks(matrix_OI: Tensor) -> list[tuple[int, int, int, int]]:
    """Split the rows of a band matrix: first row, end row, first column, end column of each block."""
    begins = list(range(0, len(matrix_OI), BLOCK_PX))
    ends = [*begins[1:], len(matrix_OI)]
    # What output pixels see moves one way along the side: the ends of a block see the ends of what it sees.
    is_used_2XI = matrix_OI.numpy()[[begins, [end - 1 for end in ends]]] != 0
    first_X = is_used_2XI.argmax(axis=2).min(axis=0)
    last_X = len(matrix_OI[0]) - is_used_2XI[:, :, ::-1].argmax(axis=2).min(axis=0)
    return list(zip(begins, ends, first_X.tolist(), last_X.tolist(), strict=True))
