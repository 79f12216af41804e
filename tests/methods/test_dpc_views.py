from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.augment.frame_colors import ColorsOf
from unreel.methods.dpc_views import DPC_AUGMENTATION, augment_blocks

SMALL = replace(DPC_AUGMENTATION, size_px=16)
PLAIN = replace(SMALL, jitter_prob=0.0, grayscale_prob=0.0)


def blocks_of(
    augmentation: ClipAugmentation, color_draws: ColorsOf = "frame", *, videos: int = 6, **changes: Any
) -> Tensor:
    """Augment blocks of one and the same picture."""
    batch = make_batch(videos, clips=3, frames=2)
    frames = batch.frames_BNTHWC[:1, :1, :1].expand(videos, 3, 2, -1, -1, -1)
    return augment_blocks(
        augmentation,
        frames,
        batch.generator("x"),
        sizes_B2=batch.sizes_B2,
        color_draws=color_draws,
        **changes,
    )


def count_different(pictures: Tensor) -> int:
    return len({picture.numpy().tobytes() for picture in pictures})


def test_the_settings_are_those_of_the_released_code() -> None:
    a = DPC_AUGMENTATION
    assert (a.crop, a.size_px, a.flip_prob, a.blur_prob) == ("random", 128, 0.5, 0.0)
    assert (a.jitter_prob, a.brightness, a.contrast, a.saturation, a.hue) == (1.0, 0.5, 0.5, 0.5, 0.25)
    assert a.grayscale_prob == 0.5


def test_blocks_and_frames_keep_their_places() -> None:
    batch = make_batch(2, clips=3, frames=4)
    still = ClipAugmentation(
        crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
    )
    views = augment_blocks(
        still, batch.frames_BNTHWC, batch.generator("x"), sizes_B2=batch.sizes_B2, color_draws="frame"
    )
    assert views.shape == (2, 3, 3, 4, 16, 16)
    expected = batch.frames_BNTHWC[:, :, :, 2:18, 2:18].permute(0, 1, 5, 2, 3, 4) / 255
    torch.testing.assert_close(views, expected)


@pytest.mark.parametrize("color_draws", ["frame", "clip"])
def test_all_blocks_of_a_video_are_placed_alike(color_draws: ColorsOf) -> None:
    views = blocks_of(PLAIN, color_draws)
    assert torch.equal(views, views[:, :1, :, :1].expand_as(views))
    assert count_different(views[:, 0, :, 0]) > 1


def test_colours_differ_from_frame_to_frame_or_from_video_to_video() -> None:
    pictures = blocks_of(SMALL, "frame").transpose(2, 3).flatten(0, 2)
    assert count_different(pictures) == len(pictures) == 36
    views = blocks_of(SMALL, "clip")
    assert torch.equal(views, views[:, :1, :, :1].expand_as(views))


def test_colours_per_frame_are_changes_of_the_very_same_crop() -> None:
    """Without jitter, half of the frames lose their colour: each is the placed picture or its luma."""
    gray = replace(PLAIN, grayscale_prob=0.5, mean=(0.0,) * 3, std=(1.0,) * 3)
    placed = blocks_of(replace(gray, grayscale_prob=0.0)).transpose(2, 3).flatten(0, 2)
    found = blocks_of(gray).transpose(2, 3).flatten(0, 2)
    luma = (placed * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    is_colored = (found - placed).abs().flatten(1).amax(dim=1) < 0.003  # rounding to bytes
    is_gray = (found - luma).abs().flatten(1).amax(dim=1) < 0.003
    assert (is_colored ^ is_gray).all()
    assert 5 < is_gray.sum() < 31


def test_a_scene_of_one_colour_keeps_the_range_of_the_normalisation() -> None:
    views = blocks_of(SMALL)
    low = [(0 - mean) / std for mean, std in zip(SMALL.mean, SMALL.std, strict=True)]
    high = [(1 - mean) / std for mean, std in zip(SMALL.mean, SMALL.std, strict=True)]
    for channel in range(3):
        assert views[:, :, channel].min() >= low[channel] - 1e-5
        assert views[:, :, channel].max() <= high[channel] + 1e-5


def test_padding_is_never_seen() -> None:
    batch = make_batch(2, clips=1, frames=2, size=24)
    frames = batch.frames_BNTHWC.clone()
    frames[:, :, :, 18:] = 0
    frames[:, :, :, :18] = 255
    sizes = torch.tensor([[18, 24], [18, 24]])
    gray = replace(PLAIN, grayscale_prob=0.5, mean=(0.0,) * 3, std=(1.0,) * 3)
    views = augment_blocks(gray, frames, batch.generator("x"), sizes_B2=sizes, color_draws="frame")
    torch.testing.assert_close(views, torch.ones_like(views))
