"""Move some channels to the neighbouring frames: time for a network of single frames, without a weight."""

import torch
from torch import Tensor
from torch.nn import functional as F

# B clips, T frames, F = B * T frames of a batch, C channels, H W pixels


def shift_frames(x_FCHW: Tensor, num_frames: int, divisor: int = 8) -> Tensor:
    """Give every frame some channels of the next frame and as many of the previous one.

    The first ``C // divisor`` channels come from the next frame, as many after them from the previous one,
    and the others stay. Where a clip ends there is no neighbour, and these channels are zero.

    Args:
        x_FCHW: frames of clips, one clip after the other.
        num_frames: T, frames per clip.
        divisor: of the channels; a quarter of them moves with 8.

    Raises:
        ValueError: the frames are no whole clips.

    Reference: Lin et al., 2019 (TSM), section 3, the two-way shift for videos that are there as a whole.
    """
    num_all, num_shifted = x_FCHW.shape[0], x_FCHW.shape[1] // divisor
    if num_all % num_frames:
        raise ValueError(f"{num_all} frames are no whole clips of num_frames={num_frames}")
    x_BTCHW = x_FCHW.unflatten(0, (-1, num_frames))  # type: ignore[no-untyped-call]
    behind_BTCHW = F.pad(x_BTCHW[:, 1:, :num_shifted], (0, 0, 0, 0, 0, 0, 0, 1))
    before_BTCHW = F.pad(x_BTCHW[:, :-1, num_shifted : 2 * num_shifted], (0, 0, 0, 0, 0, 0, 1, 0))
    parts = [behind_BTCHW.flatten(0, 1), before_BTCHW.flatten(0, 1), x_FCHW[:, 2 * num_shifted :]]
    return torch.cat(parts, dim=1).contiguous(memory_format=_find_memory_format(x_FCHW))


def _find_memory_format(x_FCHW: Tensor) -> torch.memory_format:
    is_last = x_FCHW.is_contiguous(memory_format=torch.channels_last) and not x_FCHW.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format


def check_shift(divisor: int, channels: int) -> None:
    """Refuse a divisor that moves nothing, or more than there is.

    Args:
        divisor: of the channels.
        channels: of the narrowest layer that is shifted.

    Raises:
        ValueError: it is not between 2 and the number of channels.
    """
    if not 2 <= divisor <= channels:
        raise ValueError(
            f"shift_divisor must be between 2 and {channels}, the channels of the narrowest layer, got "
            f"{divisor}: 1 / shift_divisor of the channels moves either way; 8 is the published share"
        )
