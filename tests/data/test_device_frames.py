import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unreel.data.device_frames import DeviceClips, DeviceFrames, read_free_mb, stack_clips

CPU = torch.device("cpu")


def build_videos(*shapes: tuple[int, int, int]) -> tuple[list[NDArray[np.uint8]], DeviceFrames, list[int]]:
    """Return random videos of some (F, H, W), the same on the device, and where each begins."""
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    first_bytes = [sum(video.size for video in videos[:number]) for number in range(len(videos))]
    frames = DeviceFrames(sum(video.size for video in videos), CPU)
    for first_byte, video in zip(first_bytes, videos, strict=True):
        frames.put(first_byte, video)
    return videos, frames, first_bytes


def test_clips_of_one_size_are_cut_out_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    videos, frames, first = build_videos((5, 4, 6), (7, 4, 6), (3, 4, 6))
    plans = [np.array([[4, 0], [2, 2]]), np.array([[6, 5], [0, 1]]), np.array([[1, 2], [0, 0]])]
    clips = [frames.name_clips(at, 4, 6, plan) for at, plan in zip(first, plans, strict=True)]
    monkeypatch.delattr("unreel.data.device_frames._cut")
    stacked = stack_clips(clips)
    assert stacked.dtype == torch.uint8
    assert stacked.is_contiguous()
    assert np.array_equal(stacked, np.stack([video[plan] for video, plan in zip(videos, plans, strict=True)]))


def test_smaller_clips_are_padded_below_and_on_the_right() -> None:
    videos, frames, first = build_videos((5, 4, 6), (7, 6, 4))
    plan = np.array([[4, 0, 1]])
    stacked = stack_clips([frames.name_clips(first[0], 4, 6, plan), frames.name_clips(first[1], 6, 4, plan)])
    assert stacked.shape == (2, 1, 3, 6, 6, 3)
    assert np.array_equal(stacked[0, :, :, :4], videos[0][plan])
    assert np.array_equal(stacked[1, :, :, :, :4], videos[1][plan])
    assert stacked[0, :, :, 4:].sum() + stacked[1, :, :, :, 4:].sum() == 0


def test_a_video_behind_one_of_another_size_is_found() -> None:
    """5 pictures of 4 x 6 are not a whole number of pictures of 5 x 5."""
    videos, frames, first = build_videos((5, 4, 6), (2, 5, 5))
    clip = frames.name_clips(first[1], 5, 5, np.array([[1, 0]]))
    assert not clip.is_aligned
    assert np.array_equal(stack_clips([clip, clip])[1], videos[1][np.array([[1, 0]])])


def test_clips_from_files_join_those_on_the_device() -> None:
    videos, frames, first = build_videos((5, 4, 6), (7, 4, 6))
    plan = np.array([[4, 0]])
    stacked = stack_clips([videos[1][plan], frames.name_clips(first[0], 4, 6, plan)])
    assert np.array_equal(stacked, np.stack([videos[1][plan], videos[0][plan]]))


def test_clips_from_files_alone_are_stacked_and_padded() -> None:
    videos, _, _ = build_videos((5, 4, 6), (7, 4, 6), (1, 2, 8))
    alike = stack_clips([videos[0][None, :2], videos[1][None, :2]])
    assert np.array_equal(alike, np.stack([videos[0][None, :2], videos[1][None, :2]]))
    padded = stack_clips([videos[0][None, :1], videos[2][None]])
    assert padded.shape == (2, 1, 1, 4, 8, 3)
    assert np.array_equal(padded[1, :, :, :2], videos[2][None])
    assert padded[1, :, :, 2:].sum() == 0


def test_named_clips_know_their_shape_before_anything_is_copied() -> None:
    _, frames, first = build_videos((5, 4, 6))
    clips = frames.name_clips(first[0], 4, 6, np.array([[1, 2, 3], [0, 0, 0]]))
    assert clips == DeviceClips(frames, 0, 4, 6, clips.frames_NT)
    assert clips.shape == (2, 3, 4, 6, 3)
    assert math.prod(clips.shape) == 6 * clips.frame_bytes


def test_memory_that_cannot_be_had_is_a_refusal_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(
        ValueError,
        match=r"needs 3 MiB in one piece on cpu \(CUDA out of memory. Tried to allocate\); use data",
    ):
        DeviceFrames(3 * 2**20, CPU)


def test_free_memory_is_asked_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.data.device_frames.read_free_memory_mb", lambda: 77)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * 2**20, 9 * 2**20))
    assert read_free_mb(CPU) == 77
    assert read_free_mb(torch.device("cuda")) == 5
    assert read_free_mb(torch.device("meta")) == 0
