"""What is checked about frames before anything is done to them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# B clips, T frames, H W pixels, C channels


def check_frames(frames_BTHWC: Tensor, sizes_B2: Tensor | None) -> NDArray[np.int64]:
    """Check a batch of clips and return the size of each picture, on the CPU.

    Args:
        frames_BTHWC: to be uint8 RGB, not empty.
        sizes_B2: height and width of the part that is picture; None when there is no padding.

    Raises:
        ValueError: shape, kind of number or sizes are not what they must be.
    """
    shape = tuple(frames_BTHWC.shape)
    if frames_BTHWC.dtype != torch.uint8 or len(shape) != 5 or shape[4] != 3 or 0 in shape[1:]:
        raise ValueError(
            f"frames must be uint8 of shape (clips, frames, height, width, 3), got {frames_BTHWC.dtype} of "
            f"{shape}; a batch with several clips per video is flattened first"
        )
    if sizes_B2 is None:
        return np.tile(np.array(shape[2:4], dtype=np.int64), (shape[0], 1))
    sizes = np.asarray(sizes_B2.cpu(), dtype=np.int64)
    if sizes.shape != (shape[0], 2) or (sizes < 1).any() or (sizes > np.array(shape[2:4])).any():
        raise ValueError(
            f"sizes must be {shape[0]} rows of height and width within {shape[2]} x {shape[3]} pixels, "
            f"got {sizes.tolist()}; repeat the rows when a video has several clips"
        )
    return sizes
