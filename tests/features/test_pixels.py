import numpy as np
import pytest
import torch

from tests.features.tiny import SPEC
from unreel.features.input_spec import InputSpec
from unreel.features.pixels import PixelBaseline


def test_a_vector_is_the_centred_block_means_of_the_crop() -> None:
    """16 pixels become 8: every number is the mean of a 2x2 block, less the mean of its colour."""
    clips = torch.randint(0, 256, (1, 4, 24, 32, 3), dtype=torch.uint8)
    vector = PixelBaseline(SPEC).embed_clips(clips)["average"][0, 0].reshape(3, 4, 8, 8)
    crop = clips[0, :, 4:20, 8:24].numpy() / 255.0
    for channel in range(3):
        mean = crop[..., channel].mean()
        for time, row, column in ((0, 0, 0), (3, 7, 7), (1, 2, 5)):
            block = crop[time, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
            assert vector[channel, time, row, column] == pytest.approx(block.mean() - mean, abs=1e-5)


def test_brightness_and_contrast_do_not_change_the_direction() -> None:
    clips = torch.randint(0, 100, (1, 4, 24, 32, 3), dtype=torch.uint8)
    baseline = PixelBaseline(SPEC)
    dark, bright = (baseline.embed_clips(x)["average"][0, 0] for x in (clips, 2 * clips + 20))
    assert dark @ bright / np.linalg.norm(dark) / np.linalg.norm(bright) == pytest.approx(1, abs=1e-4)


def test_a_clip_of_one_colour_is_the_zero_vector() -> None:
    clips = torch.full((2, 4, 24, 32, 3), 77, dtype=torch.uint8)
    np.testing.assert_allclose(PixelBaseline(SPEC).embed_clips(clips)["average"], 0, atol=1e-6)


def test_the_order_of_frames_counts() -> None:
    clips = torch.randint(0, 256, (1, 4, 24, 32, 3), dtype=torch.uint8)
    baseline = PixelBaseline(SPEC)
    forward, backward = (baseline.embed_clips(x)["average"] for x in (clips, clips.flip(1)))
    assert not np.allclose(forward, backward)


def test_sizes_may_differ_and_long_clips_are_shortened() -> None:
    baseline = PixelBaseline(InputSpec(num_frames=16, crop_px=20))
    parts = [
        torch.zeros((2, 16, 24, 32, 3), dtype=torch.uint8),
        torch.ones((1, 16, 30, 20, 3), dtype=torch.uint8),
    ]
    assert baseline.num_features == 3 * 8 * 8 * 8
    assert baseline.embed_clips(parts)["average"].shape == (3, 1, baseline.num_features)


def test_the_hash_follows_the_specification() -> None:
    assert PixelBaseline(SPEC).hash == PixelBaseline(SPEC).hash
    assert PixelBaseline(SPEC).hash != PixelBaseline(InputSpec()).hash
    assert PixelBaseline(SPEC).hash.startswith("pixels-")


def test_frames_are_not_offered() -> None:
    clips = torch.zeros((1, 4, 24, 32, 3), dtype=torch.uint8)
    for pooling in ("frame", "conv5_max"):
        with pytest.raises(ValueError, match=rf"compares whole clips; use pooling average, not .'{pooling}'"):
            PixelBaseline(SPEC).embed_clips(clips, [pooling])
    with pytest.raises(ValueError, match="one of average, frame, conv5_max"):
        PixelBaseline(SPEC).embed_clips(clips, ["max"])  # type: ignore[list-item]
