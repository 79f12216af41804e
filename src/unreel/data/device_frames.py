"""Frames of a corpus that live where training computes, and clips cut out of them there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.machine import read_free_memory_mb

# B videos, N clips, T frames, F frames of a whole video, H W pixels, C channels

_BYTES_PER_MB = 2**20


class DeviceFrames:
    """The pictures of many videos, one behind the other, in one uint8 tensor.

    Args:
        num_bytes: its size.
        device: where it lives.

    Raises:
        ValueError: there is not so much memory.

    Attributes:
        bytes_M: the tensor.
    """

    def __init__(self, num_bytes: int, device: torch.device) -> None:
        try:
            self.bytes_M = torch.empty(num_bytes, dtype=torch.uint8, device=device)
        except RuntimeError as error:  # torch's own error of memory is one
            raise ValueError(
                f"data.cache = 'device' needs {num_bytes / _BYTES_PER_MB:,.0f} MiB in one piece on {device} "
                f"({str(error).splitlines()[0]}); use data.cache = 'ram'"
            ) from None

    def put(self, first_byte: int, frames: NDArray[np.uint8]) -> None:
        """Copy pictures to their place."""
        self.bytes_M[first_byte : first_byte + frames.size].copy_(torch.from_numpy(frames.reshape(-1)))

    def name_clips(
        self, first_byte: int, height: int, width: int, frames_NT: NDArray[np.int64]
    ) -> "DeviceClips":
        """Name clips of the video whose first picture lies at a byte; nothing is copied yet."""
        return DeviceClips(self, first_byte, height, width, frames_NT)


@dataclass(frozen=True)
class DeviceClips:
    """Clips of one video that `stack_clips` will cut out on the device.

    Attributes:
        source: has the pictures.
        first_byte: of the video's first picture.
        height: of a picture, in pixels.
        width: of a picture, in pixels.
        frames_NT: numbers of the frames.
    """

    source: DeviceFrames
    first_byte: int
    height: int
    width: int
    frames_NT: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, T, H, W, 3)."""
        return (*self.frames_NT.shape, self.height, self.width, 3)

    @property
    def frame_bytes(self) -> int:
        """Size of a picture."""
        return self.height * self.width * 3

    @property
    def is_aligned(self) -> bool:
        """Whether the video begins where it would if all were of its size."""
        return self.first_byte % self.frame_bytes == 0


def stack_clips(clips: Sequence[DeviceClips | NDArray[np.uint8]]) -> Tensor:
    """Stack clips, (B, N, T, H, W, 3), on the device that they are cut out on, if there is one.

    Smaller ones are padded with zeros below and on the right. Only numbers of frames travel to the device,
    and clips that are given as arrays.

    Args:
        clips: of one number of clips and frames.
    """
    named = [clip for clip in clips if isinstance(clip, DeviceClips)]
    is_alike = len({clip.shape for clip in clips}) == 1
    if is_alike and not named:
        return torch.from_numpy(np.stack([clip for clip in clips if isinstance(clip, np.ndarray)]))
    if is_alike and len(named) == len(clips) and all(clip.is_aligned for clip in named):
        first = named[0]
        index_BNT = np.stack([clip.first_byte // first.frame_bytes + clip.frames_NT for clip in named])
        return _take(first.source.bytes_M, index_BNT, first.frame_bytes).view(len(named), *first.shape)
    height, width = (max(clip.shape[side] for clip in clips) for side in (2, 3))
    device = named[0].source.bytes_M.device if named else None
    stacked = torch.zeros(
        (len(clips), *clips[0].shape[:2], height, width, 3), dtype=torch.uint8, device=device
    )
    for target, clip in zip(stacked, clips, strict=True):
        target[:, :, : clip.shape[2], : clip.shape[3]] = _cut(clip)
    return stacked


def _cut(clip: DeviceClips | NDArray[np.uint8]) -> Tensor:
    if isinstance(clip, DeviceClips):
        video = clip.source.bytes_M[clip.first_byte :]
        return _take(video, clip.frames_NT, clip.frame_bytes).view(clip.shape)
    return torch.from_numpy(clip)


def _take(bytes_M: Tensor, index: NDArray[np.int64], frame_bytes: int) -> Tensor:
    """Copy some of the pictures that lie one behind the other."""
    pictures_FP = bytes_M[: len(bytes_M) // frame_bytes * frame_bytes].view(-1, frame_bytes)
    numbers = torch.from_numpy(index.reshape(-1)).to(bytes_M.device, non_blocking=True)
    return pictures_FP.index_select(0, numbers)


def read_free_mb(device: torch.device) -> int:
    """Return the free memory of a device in MiB; 0 when unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // _BYTES_PER_MB
    return read_free_memory_mb() if device.type == "cpu" else 0
