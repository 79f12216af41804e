"""What the loader hands to a method."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unreel.seeding import RowGenerator

# B videos, N clips, T frames, H W pixels, C channels


@dataclass(frozen=True)
class Rejection:
    """A video that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class UnreadableBatch:
    """A batch for which too few videos can be read.

    Attributes:
        reason: why, for the user.
        rejections: videos that failed.
    """

    reason: str
    rejections: tuple[Rejection, ...]

    def pin_memory(self) -> "UnreadableBatch":
        """Nothing to move; torch's loader calls this."""
        return self


@dataclass(frozen=True)
class VideoBatch:
    """Clips of B different videos, as decoded.

    Attributes:
        frames_BNTHWC: uint8 RGB. Videos smaller than the largest of the batch are padded with zeros below and
            on the right.
        sizes_B2: int64, height and width in pixels of the part that is picture.
        video_index_B: int64, row of each video in the catalog; tells one video from another.
        frame_index_BNT: int64, which frames of the video these are.
        labels_B: int64, number of each video's class among the catalog's `label_names`, -1 where it has none.
        keys_B: int64 in [0, 2**63), a random key per row for everything that is drawn later (augmentation,
            ...); a function of seed, epoch and video alone.
        rejections: videos that failed while the batch was read; training replaces them, a sweep leaves them
            out.
    """

    frames_BNTHWC: Tensor
    sizes_B2: Tensor
    video_index_B: Tensor
    frame_index_BNT: Tensor
    labels_B: Tensor
    keys_B: Tensor
    rejections: tuple[Rejection, ...] = ()

    def __len__(self) -> int:
        return len(self.frames_BNTHWC)

    def generator(self, purpose: str) -> RowGenerator:
        """Return one random stream per video for the named purpose."""
        return RowGenerator(np.asarray(self.keys_B.cpu())).fork(purpose)

    def to(self, device: torch.device) -> "VideoBatch":
        """Move the pictures, ``video_index_B`` and ``labels_B`` to the device; small tensors else stay."""
        return dataclasses.replace(
            self,
            frames_BNTHWC=self.frames_BNTHWC.to(device, non_blocking=True),
            video_index_B=self.video_index_B.to(device, non_blocking=True),
            labels_B=self.labels_B.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "VideoBatch":
        """Move what goes to the device to page-locked memory; torch's loader calls this.

        Pictures that are on a device stay there.
        """
        is_there = self.frames_BNTHWC.device.type != "cpu"
        return dataclasses.replace(
            self,
            frames_BNTHWC=self.frames_BNTHWC if is_there else self.frames_BNTHWC.pin_memory(),
            video_index_B=self.video_index_B.pin_memory(),
            labels_B=self.labels_B.pin_memory(),
        )
