import torch

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.methods.frame_views import augment_frames

AUGMENTATION = ClipAugmentation(size_px=16)


def test_frames_keep_their_places() -> None:
    still = ClipAugmentation(
        crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
    )
    batch = make_batch(2, clips=1, frames=3)
    frames = augment_frames(still, batch, batch.frames_BNTHWC[:, 0], "any")
    expected = batch.frames_BNTHWC[:, 0, :, 2:18, 2:18].permute(0, 1, 4, 2, 3) / 255
    torch.testing.assert_close(frames, expected)


def test_equal_frames_come_out_unlike_and_alike_again_for_the_same_purpose() -> None:
    batch = make_batch(2, clips=1, frames=3)
    same = batch.frames_BNTHWC[:, 0, :1].expand(-1, 3, -1, -1, -1)
    one, again, other = (augment_frames(AUGMENTATION, batch, same, name) for name in ("a", "a", "b"))
    assert torch.equal(one, again)
    pictures = torch.cat([one.flatten(0, 1), other.flatten(0, 1)])
    assert len({picture.numpy().tobytes() for picture in pictures}) == 12


def test_each_video_has_its_own_size() -> None:
    """What is outside the picture, here white, is never seen."""
    batch = make_batch(2, clips=1, frames=2)
    frames = torch.zeros_like(batch.frames_BNTHWC[:, 0])
    frames[0, :, 12:] = 255
    frames[0, :, :, 12:] = 255
    batch.sizes_B2[0] = 12
    assert augment_frames(ClipAugmentation.only_crop(16), batch, frames, "any").max() == 0.0
