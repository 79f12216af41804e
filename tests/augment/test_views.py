"""Crops for evaluation."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.augment import reference
from unreel.augment.views import center_crop, iterate_crops, ten_crops, three_crops


def scale_then_cut(frame_HWC: Tensor, short_side: int, top: int, left: int, size_px: int) -> Tensor:
    """Scale a whole frame with torch's antialiased interpolation, then cut."""
    height, width = frame_HWC.shape[:2]
    factor = short_side / min(height, width)
    size = (round(height * factor), round(width * factor))
    picture = frame_HWC.permute(2, 0, 1)[None].double() / 255
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True)[
        0, :, top : top + size_px, left : left + size_px
    ]


def test_the_centre_is_cut_exactly() -> None:
    frames = reference.random_frames(0, 2, 3, 20, 31, 3)
    expected = frames[:, :, 4:16, 9:21].permute(0, 4, 1, 2, 3) / 255
    torch.testing.assert_close(center_crop(frames, 12), expected)


def test_three_crops_lie_at_both_ends_and_in_the_middle_of_the_long_side() -> None:
    frames = reference.random_frames(1, 1, 2, 12, 33, 3)
    crops = three_crops(frames, 12)
    assert crops.shape == (1, 3, 3, 2, 12, 12)
    for number, left in enumerate((0, 10, 21)):
        expected = frames[:, :, :, left : left + 12].permute(0, 4, 1, 2, 3) / 255
        torch.testing.assert_close(crops[:, number], expected)


def test_tall_and_wide_clips_of_one_batch_are_cut_along_their_own_long_side() -> None:
    frames = reference.random_frames(2, 2, 1, 30, 30, 3)
    crops = three_crops(frames, 10, sizes_B2=torch.tensor([[30, 12], [12, 30]]))
    for number, first in enumerate((0, 10, 20)):
        tall = frames[0, :, first : first + 10, 1:11].permute(3, 0, 1, 2) / 255
        wide = frames[1, :, 1:11, first : first + 10].permute(3, 0, 1, 2) / 255
        torch.testing.assert_close(crops[0, number], tall)
        torch.testing.assert_close(crops[1, number], wide)


def test_ten_crops_are_corners_and_middle_as_they_are_and_mirrored() -> None:
    frames = reference.random_frames(7, 2, 2, 21, 34, 3)
    crops = ten_crops(frames, 12)
    assert crops.shape == (2, 10, 3, 2, 12, 12)
    places = [(0, 0), (0, 22), (9, 0), (9, 22), (4, 11)]  # the middle: floor(9 / 2), 22 / 2
    for number, (top, left) in enumerate(places):
        expected = frames[:, :, top : top + 12, left : left + 12].permute(0, 4, 1, 2, 3) / 255
        torch.testing.assert_close(crops[:, number], expected)
        torch.testing.assert_close(crops[:, 5 + number], expected.flip(-1))
    torch.testing.assert_close(crops[:, 4], center_crop(frames, 12))


def test_ten_crops_of_a_scaled_picture_are_those_of_torchs_interpolation() -> None:
    frames = reference.random_frames(8, 1, 1, 24, 32, 3)
    crops = ten_crops(frames, 14, short_side=16)
    # 24 x 32 becomes 16 x 21.
    for number, (top, left) in enumerate([(0, 0), (0, 7), (2, 0), (2, 7), (1, 3)]):
        expected = scale_then_cut(frames[0, 0], 16, top, left, 14)
        np.testing.assert_allclose(crops[0, number, :, 0], expected, atol=2e-6)
        np.testing.assert_allclose(crops[0, 5 + number, :, 0], expected.flip(-1), atol=2e-6)


@pytest.mark.parametrize("height", [9, 40])
def test_ten_crops_of_tall_and_of_small_pictures(height: int) -> None:
    frames = reference.random_frames(9, 1, 1, height, 10, 3)
    crops = ten_crops(frames, 9)
    expected = frames[:, :, height - 9 :, 1:10].permute(0, 4, 1, 2, 3) / 255
    torch.testing.assert_close(crops[:, 3], expected)


@pytest.mark.parametrize(
    ("layout", "stack"), [("center", center_crop), ("three", three_crops), ("ten", ten_crops)]
)
def test_crops_come_one_by_one_in_the_order_of_the_stack(layout: Any, stack: Any) -> None:
    frames = reference.random_frames(10, 2, 2, 20, 31, 3)
    settings = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
    together = stack(frames, 12, **settings)
    if layout == "center":
        together = together[:, None]
    one_by_one = list(iterate_crops(frames, 12, layout, **settings))
    assert len(one_by_one) == together.shape[1] == {"center": 1, "three": 3, "ten": 10}[layout]
    for number, crop in enumerate(one_by_one):
        assert torch.equal(crop, together[:, number])


@settings(max_examples=25)
@given(
    height=st.integers(4, 50), width=st.integers(4, 50), short_side=st.integers(6, 40), gap=st.integers(0, 5)
)
def test_scaling_the_short_side_first_equals_interpolation_of_the_whole_frame(
    height: int, width: int, short_side: int, gap: int
) -> None:
    frames = reference.random_frames(3, 1, 1, height, width, 3)
    size_px = short_side - gap
    scaled = [round(side * short_side / min(height, width)) for side in (height, width)]
    crops = three_crops(frames, size_px, short_side=short_side)
    for number, share in enumerate((0.0, 0.5, 1.0)):
        shares = (share, 0.5) if height > width else (0.5, share)
        top, left = (int((side - size_px) * part) for side, part in zip(scaled, shares, strict=True))
        expected = scale_then_cut(frames[0, 0], short_side, top, left, size_px)
        np.testing.assert_allclose(crops[0, number, :, 0], expected, atol=2e-6)
    centre = center_crop(frames, size_px, short_side=short_side)
    torch.testing.assert_close(centre, crops[:, 1])


def test_a_square_picture_gives_the_same_crop_three_times() -> None:
    frames = reference.random_frames(4, 1, 1, 16, 16, 3)
    crops = three_crops(frames, 8, short_side=8)
    assert torch.equal(crops[:, 0], crops[:, 1])
    assert torch.equal(crops[:, 1], crops[:, 2])


def test_a_small_picture_is_scaled_up() -> None:
    frames = reference.random_frames(5, 1, 1, 6, 10, 3)
    expected = reference.crop_resize_flip(frames[0, 0], (0, 2, 6, 6), 12, is_flipped=False)
    np.testing.assert_allclose(center_crop(frames, 12)[0, :, 0].permute(1, 2, 0), expected, atol=2e-6)


def test_normalisation_is_applied() -> None:
    frames = torch.full((1, 1, 4, 4, 3), 51, dtype=torch.uint8)
    out = center_crop(frames, 4, mean=(0.1, 0.2, 0.3), std=(0.1, 0.5, 1.0))
    # 51 / 255 = 0.2
    assert out[0, :, 0, 0, 0].tolist() == pytest.approx([1.0, 0.0, -0.1], abs=1e-6)


def test_padding_is_never_seen() -> None:
    frames = torch.full((1, 1, 20, 24, 3), 255, dtype=torch.uint8)
    frames[:, :, :9, :13] = 51
    sizes = torch.tensor([[9, 13]])
    for out in (
        center_crop(frames, 16, sizes_B2=sizes),
        center_crop(frames, 6, sizes_B2=sizes),
        three_crops(frames, 16, short_side=18, sizes_B2=sizes),
    ):
        torch.testing.assert_close(out, torch.full_like(out, 0.2))


@pytest.mark.parametrize("crop", [center_crop, three_crops, ten_crops])
def test_squares_that_cannot_be_cut_are_refused(crop: Any) -> None:
    frames = reference.random_frames(6, 1, 1, 8, 8, 3)
    with pytest.raises(ValueError, match="short_side=10 is smaller than size_px=12"):
        crop(frames, 12, short_side=10)
    with pytest.raises(ValueError, match="size_px must be at least 1 pixel, got 0"):
        crop(frames, 0)
    with pytest.raises(ValueError, match="frames must be uint8"):
        crop(frames.float(), 8)
