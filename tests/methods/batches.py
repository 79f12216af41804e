"""Batches made up for tests of methods."""

import torch

from unreel.data.batch import VideoBatch
from unreel.seeding import derive_key


def make_batch(
    batch: int = 4, clips: int = 1, frames: int = 4, *, size: int = 20, first_video: int = 0, seed: int = 0
) -> VideoBatch:
    """Return random pictures of ``batch`` videos."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, clips, frames, size, size, 3)
    return VideoBatch(
        frames_BNTHWC=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        sizes_B2=torch.full((batch, 2), size),
        video_index_B=torch.arange(first_video, first_video + batch),
        frame_index_BNT=torch.zeros(batch, clips, frames, dtype=torch.long),
        labels_B=torch.arange(batch) % 2,
        keys_B=torch.tensor([derive_key(seed, row) for row in range(batch)]),
    )
