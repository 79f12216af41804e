"""What the loader hands to a localiser: videos as vectors over time, and what it should say of them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unreel.data.batch import Rejection
from unreel.seeding import RowGenerator, build_generator

# B videos, D features, T positions, L lengths of a stretch (as many as T)


@dataclass(frozen=True)
class GridBatch:
    """Vectors over time of B different videos, with their labels.

    Attributes:
        features_BDT: float32.
        start_BT: float32 in [0, 1], share of a position in the region of a start.
        end_BT: the same of ends.
        iou_BLT: float32 in [0, 1], tIoU of the segment that a stretch covers best; 0 beyond the grid.
        video_index_B: int64, row of each video in the catalog.
        keys_B: int64 in [0, 2**63), a random key per row for everything that is drawn later; a function of
            seed, epoch and video alone.
        rejections: videos that failed while the batch was read: none, as all are in memory.
    """

    features_BDT: Tensor
    start_BT: Tensor
    end_BT: Tensor
    iou_BLT: Tensor
    video_index_B: Tensor
    keys_B: Tensor
    rejections: tuple[Rejection, ...] = ()

    def __len__(self) -> int:
        return len(self.features_BDT)

    def generator(self, purpose: str) -> RowGenerator:
        """Return one random stream per video for the named purpose."""
        return RowGenerator(np.asarray(self.keys_B.cpu())).fork(purpose)

    def draw_stretches(self, purpose: str) -> Tensor:
        """Draw a number per stretch, uniform in [0, 1), shape (B, L, T), from the keys alone."""
        size = self.iou_BLT.shape[1:]
        draws = [build_generator(int(key), purpose).random(size, dtype=np.float32) for key in self.keys_B]
        return torch.from_numpy(np.stack(draws))

    def to(self, device: torch.device) -> "GridBatch":
        """Move everything but the keys to the device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "GridBatch":
        """Move everything but the keys to page-locked memory; torch's loader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, move: Callable[[Tensor], Tensor]) -> "GridBatch":
        return dataclasses.replace(
            self,
            features_BDT=move(self.features_BDT),
            start_BT=move(self.start_BT),
            end_BT=move(self.end_BT),
            iou_BLT=move(self.iou_BLT),
            video_index_B=move(self.video_index_B),
        )
