"""Frames and sizes that do not fit are refused by name."""

from typing import Any

import pytest
import torch
from torch import Tensor

from unreel.augment.inputs import check_frames

FRAMES = torch.zeros(2, 3, 8, 9, 3, dtype=torch.uint8)


def test_without_sizes_all_of_the_frame_is_picture() -> None:
    assert check_frames(FRAMES, None).tolist() == [[8, 9], [8, 9]]


def test_given_sizes_are_returned() -> None:
    assert check_frames(FRAMES, torch.tensor([[8, 2], [5, 9]])).tolist() == [[8, 2], [5, 9]]


@pytest.mark.parametrize(
    "frames",
    [
        FRAMES.float(),
        FRAMES[0],
        FRAMES[None],
        FRAMES.permute(0, 1, 4, 2, 3),
        FRAMES[..., :1],
        FRAMES[:, :0],
    ],
)
def test_frames_of_another_kind_are_refused(frames: Tensor) -> None:
    with pytest.raises(ValueError, match=r"frames must be uint8 of shape .* got torch\."):
        check_frames(frames, None)


@pytest.mark.parametrize(
    "sizes", [[[8, 9]], [[8, 9], [0, 3]], [[8, 9], [9, 9]], [[8, 9, 1], [8, 9, 1]], [8, 9]]
)
def test_sizes_outside_the_frames_are_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match="sizes must be 2 rows of height and width within 8 x 9 pixels"):
        check_frames(FRAMES, torch.tensor(sizes))
