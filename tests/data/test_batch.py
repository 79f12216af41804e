"""A batch carries its videos' identity and randomness with it."""

import dataclasses
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from unreel.data.batch import Rejection, UnreadableBatch, VideoBatch

# B = 3 videos, N = 2 clips, T = 4 frames of 5 x 6 pixels


@pytest.fixture
def batch() -> VideoBatch:
    return VideoBatch(
        frames_BNTHWC=torch.arange(3 * 2 * 4 * 5 * 6 * 3).to(torch.uint8).reshape(3, 2, 4, 5, 6, 3),
        sizes_B2=torch.tensor([[5, 6], [4, 6], [5, 3]]),
        video_index_B=torch.tensor([11, 7, 3]),
        frame_index_BNT=torch.arange(24).reshape(3, 2, 4),
        labels_B=torch.tensor([0, -1, 1]),
        keys_B=torch.tensor([5, 2**63 - 1, 5]),
        rejections=(Rejection("a.mp4", "cut short"),),
    )


def test_its_length_is_the_number_of_videos(batch: VideoBatch) -> None:
    assert len(batch) == 3


def test_each_video_has_its_stream_and_videos_with_one_key_agree(batch: VideoBatch) -> None:
    draws = batch.generator("augment").uniform()
    assert draws[0] == draws[2] != draws[1]


def test_streams_depend_on_the_purpose_and_on_nothing_else(batch: VideoBatch) -> None:
    first = batch.generator("augment").uniform()
    assert np.array_equal(batch.generator("augment").uniform(), first)
    assert not np.array_equal(batch.generator("shuffle").uniform(), first)


def test_moving_it_moves_the_pictures_and_the_identities(batch: VideoBatch) -> None:
    moved = batch.to(torch.device("meta"))
    assert moved.frames_BNTHWC.is_meta
    assert moved.video_index_B.is_meta
    assert moved.labels_B.is_meta
    # Keys are read on the CPU, by `generator`.
    assert not moved.keys_B.is_meta
    assert moved.rejections == batch.rejections


def test_moving_it_to_where_it_is_changes_nothing(batch: VideoBatch) -> None:
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.frames_BNTHWC, batch.frames_BNTHWC)
    assert torch.equal(moved.video_index_B, batch.video_index_B)


def test_pinning_asks_for_the_pictures_and_the_identities(
    batch: VideoBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[torch.Size] = []

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.shape)
        return tensor.clone()

    # Pinning needs a GPU; the twin below runs where there is one.
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    copy = batch.pin_memory()
    assert pinned == [batch.frames_BNTHWC.shape, batch.video_index_B.shape, batch.labels_B.shape]
    assert torch.equal(copy.frames_BNTHWC, batch.frames_BNTHWC)


def test_pictures_that_are_on_a_device_are_not_pinned(
    batch: VideoBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = batch.frames_BNTHWC.to("meta")
    pinned: list[torch.Size] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.shape) or tensor)
    assert dataclasses.replace(batch, frames_BNTHWC=there).pin_memory().frames_BNTHWC is there
    assert pinned == [batch.video_index_B.shape, batch.labels_B.shape]


@pytest.mark.gpu
def test_pinned_memory_is_pinned(batch: VideoBatch) -> None:
    pinned = batch.pin_memory()
    assert pinned.frames_BNTHWC.is_pinned()
    assert pinned.to(torch.device("cuda")).frames_BNTHWC.is_cuda


def test_a_batch_is_frozen(batch: VideoBatch) -> None:
    with pytest.raises(FrozenInstanceError):
        batch.keys_B = torch.zeros(3)  # type: ignore[misc]


def test_a_batch_that_cannot_be_read_passes_through_the_loader_as_it_is() -> None:
    unreadable = UnreadableBatch("too few videos", (Rejection("a.mp4", "noise"),))
    assert unreadable.pin_memory() is unreadable
