"""Frames of a video as clips of their own: each augmented by itself."""

from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.data.batch import VideoBatch

# B videos, N frames of each, C channels, H W pixels


def augment_frames(
    augmentation: ClipAugmentation, batch: VideoBatch, frames_BNHWC: Tensor, purpose: str
) -> Tensor:
    """Augment every frame independently of all others: float32 (B, N, C, H, W).

    Args:
        augmentation: what happens to a frame.
        batch: which the frames are of.
        frames_BNHWC: uint8 RGB, N frames of each of its videos.
        purpose: the same frames for another purpose come out differently.
    """
    batch_size, num_frames = frames_BNHWC.shape[:2]
    frames_FCHW = augmentation.apply(
        frames_BNHWC.flatten(0, 1)[:, None],
        batch.generator(purpose).repeat(num_frames),
        sizes_B2=batch.sizes_B2.repeat_interleave(num_frames, dim=0),
    ).squeeze(2)
    return frames_FCHW.reshape(batch_size, num_frames, *frames_FCHW.shape[1:])
