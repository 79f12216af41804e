from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unreel.augment.compose import ClipAugmentation
from unreel.augment.frame_colors import ColorsOf, augment_with_colors
from unreel.seeding import RowGenerator, derive_key

STILL = ClipAugmentation(
    crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
)
COLORED = ClipAugmentation(
    size_px=16, jitter_prob=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, blur_prob=0.0
)


def repeated_frames(num_clips: int = 3, num_frames: int = 4) -> Tensor:
    """Return clips whose frames are all the same."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(40, 200, (num_clips, 1, 20, 20, 3), dtype=torch.uint8, generator=generator)
    return frames.expand(-1, num_frames, -1, -1, -1).contiguous()


def augment(
    augmentation: ClipAugmentation, color_draws: ColorsOf, *, seed: int = 0, rows: slice = slice(None)
) -> Tensor:
    frames, keys = repeated_frames()[rows], [derive_key(seed, row) for row in range(3)][rows]
    return augment_with_colors(
        augmentation,
        frames,
        RowGenerator(keys),
        sizes_B2=torch.full((len(keys), 2), 20),
        color_draws=color_draws,
    )


def test_colours_of_a_clip_or_of_each_frame() -> None:
    alike, apart = augment(COLORED, "clip"), augment(COLORED, "frame")
    assert alike.shape == apart.shape == (3, 3, 4, 16, 16)
    assert alike.dtype == apart.dtype == torch.float32
    assert all(torch.equal(alike[:, :, 0], alike[:, :, time]) for time in range(1, 4))
    assert not any(torch.equal(apart[:, :, 0], apart[:, :, time]) for time in range(1, 4))
    assert torch.equal(apart, augment(COLORED, "frame"))
    assert not torch.equal(apart, augment(COLORED, "frame", seed=1))


@pytest.mark.parametrize("color_draws", ["clip", "frame"])
def test_what_happens_to_a_clip_does_not_depend_on_its_batch(color_draws: ColorsOf) -> None:
    alone = augment(COLORED, color_draws, rows=slice(1, 2))
    torch.testing.assert_close(augment(COLORED, color_draws)[1:2], alone)


def test_colours_are_drawn_alike_however_the_frames_are_placed() -> None:
    """A crop draws numbers that a centred one does not; the colours of frames do not hang on them."""
    gray = replace(STILL, grayscale_prob=0.5)
    for other in (gray, replace(gray, crop="random"), replace(gray, crop="random_resized", flip_prob=0.5)):
        pictures = augment(other, "frame")
        is_gray = (pictures[:, 0] - pictures[:, 1]).abs().amax(dim=(2, 3)) < 1e-5
        if other == gray:
            expected = is_gray
        assert 0 < int(is_gray.sum()) < is_gray.numel()
        assert torch.equal(is_gray, expected)


def test_crop_and_flip_are_the_same_however_colours_change() -> None:
    """Colours change, but by nothing: jitter of no strength is a second pass over the bytes of the first."""
    strengths = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    moving = replace(COLORED, **strengths, grayscale_prob=0.0, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    alike, apart = augment(moving, "clip"), augment(moving, "frame")
    assert not torch.equal(alike[0], alike[1])
    # Half a byte is lost to rounding where a crop is resized.
    torch.testing.assert_close(apart, alike, rtol=0, atol=0.51 / 255 / 0.2)


def test_one_pass_is_enough_where_no_colour_changes() -> None:
    moving = replace(COLORED, jitter_prob=0.0, grayscale_prob=0.0)
    assert torch.equal(augment(moving, "frame"), augment(moving, "clip"))


def test_grayscale_is_drawn_with_the_colours() -> None:
    apart = augment(replace(STILL, grayscale_prob=0.5), "frame")
    is_gray = (apart[:, 0] - apart[:, 1]).abs().amax(dim=(2, 3)) < 1e-5
    assert 0 < int(is_gray.sum()) < is_gray.numel()
    alike = augment(replace(STILL, grayscale_prob=0.5), "clip")
    is_gray = (alike[:, 0] - alike[:, 1]).abs().amax(dim=(2, 3)) < 1e-5
    assert (is_gray.all(dim=1) | ~is_gray.any(dim=1)).all()
