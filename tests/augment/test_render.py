"""The two ways of carrying out the draws: clip by clip, and all together."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.augment import reference
from unreel.augment.blur import gaussian_taps
from unreel.augment.color import ColorMap, compose_color, sample_color
from unreel.augment.render import Resampler, render_clips
from unreel.augment.spatial import AxisMap
from unreel.seeding import RowGenerator

SIZE = 20
BOXES = np.array([[0, 0, 30, 40], [3, 5, 20, 20], [10, 1, 17, 33], [4, 20, 20, 20]])
FLIPS = np.array([False, True, True, False])
SIGMAS = np.array([1.1, 0.0, 0.0, 0.7])
RADIUS = 4


def build_resampler(boxes: np.ndarray, sigmas: np.ndarray | None) -> Resampler:
    rows = AxisMap.stretch(boxes[:, 0], boxes[:, 2], SIZE, np.zeros(len(boxes), dtype=bool))
    cols = AxisMap.stretch(boxes[:, 1], boxes[:, 3], SIZE, FLIPS[: len(boxes)])
    taps = None if sigmas is None else gaussian_taps(sigmas, RADIUS)
    return Resampler(rows, cols, SIZE, taps)


def resample_one_by_one(resampler: Resampler, frames: Tensor) -> Tensor:
    parts = list(resampler.resample(frames))
    assert [part[0] for part in parts] == [slice(clip, clip + 1) for clip in range(len(frames))]
    return torch.cat([pixels for _, pixels in parts]).view(len(frames), 3, frames.shape[1], SIZE, SIZE)


@pytest.mark.parametrize("sigmas", [SIGMAS, SIGMAS + 0.3, None])
def test_clip_by_clip_and_all_together_equal_the_frame_by_frame_reference(sigmas: np.ndarray | None) -> None:
    frames = reference.random_frames(0, 4, 2, 30, 40, 3)
    resampler = build_resampler(BOXES, sigmas)
    each, together = resample_one_by_one(resampler, frames), resampler.resample_together(frames)
    for clip in range(4):
        for time in range(2):
            image = reference.crop_resize_flip(frames[clip, time], BOXES[clip], SIZE, is_flipped=FLIPS[clip])
            expected = reference.blur(image, 0.0 if sigmas is None else sigmas[clip], RADIUS)
            for result in (each, together):
                actual = result[clip, :, time].permute(1, 2, 0) / 255
                np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_only_sharp_clips_of_unchanged_size_are_slices() -> None:
    assert build_resampler(BOXES, SIGMAS).is_slice_B.tolist() == [False, True, False, False]
    assert build_resampler(BOXES, None).is_slice_B.tolist() == [False, True, False, True]


def test_slices_are_gathered_when_all_clips_are_slices() -> None:
    frames = reference.random_frames(1, 2, 3, 30, 40, 3)
    boxes = np.array([[10, 20, SIZE, SIZE], [3, 5, SIZE, SIZE]])
    resampler = build_resampler(boxes, None)
    assert resampler.is_slice_B.all()
    expected = frames[1, :, 3:23, 5:25].flip(2).permute(3, 0, 1, 2).float()
    assert torch.equal(resampler.resample_together(frames)[1], expected)
    assert torch.equal(resample_one_by_one(resampler, frames)[1], expected)


class TogetherOnTheCpu(Resampler):
    """Takes the accelerator's way on the CPU."""

    def resample(self, frames_BTHWC: Tensor) -> Iterator[tuple[slice, Tensor]]:
        yield slice(None), self.resample_together(frames_BTHWC).flatten(2)


def all_colors(num_clips: int) -> ColorMap:
    draws = sample_color(
        RowGenerator(range(num_clips)),
        jitter_prob=0.6,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.2,
        grayscale_prob=0.3,
    )
    assert 0 < (draws.hue_B != 0).sum() < num_clips
    return compose_color(draws)


def test_the_whole_way_for_accelerators_gives_the_same_clips() -> None:
    frames = reference.random_frames(2, 4, 2, 30, 40, 3)
    one_by_one = build_resampler(BOXES, SIGMAS)
    together = TogetherOnTheCpu(
        AxisMap.stretch(BOXES[:, 0], BOXES[:, 2], SIZE, np.zeros(4, dtype=bool)),
        AxisMap.stretch(BOXES[:, 1], BOXES[:, 3], SIZE, FLIPS),
        SIZE,
        gaussian_taps(SIGMAS, RADIUS),
    )
    scaling = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "size_px": SIZE}
    expected = render_clips(frames, one_by_one, all_colors(4), **scaling)
    torch.testing.assert_close(
        render_clips(frames, together, all_colors(4), **scaling), expected, atol=1e-4, rtol=0
    )


def test_the_range_is_that_of_clamped_and_normalised_colours() -> None:
    frames = reference.random_frames(3, 4, 1, 30, 40, 3)
    frames[:, :, :5], frames[:, :, 5:9] = 0, 255
    glare = ColorMap.identity(4)
    glare.after_B37[:, :, :3] *= 3.0
    glare.after_B37[:, :, 6] = -1.0
    out = render_clips(
        frames, build_resampler(BOXES, None), glare, mean=(0.5, 0.0, 0.25), std=(0.5, 1.0, 0.25), size_px=SIZE
    )
    assert out.amin(dim=(0, 2, 3, 4)).tolist() == pytest.approx([-1.0, 0.0, -1.0])
    assert out.amax(dim=(0, 2, 3, 4)).tolist() == pytest.approx([1.0, 1.0, 3.0])


def test_autocast_around_it_does_not_lower_the_precision() -> None:
    frames = reference.random_frames(4, 4, 1, 30, 40, 3)
    scaling = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "size_px": SIZE}
    expected = render_clips(frames, build_resampler(BOXES, SIGMAS), all_colors(4), **scaling)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = render_clips(frames, build_resampler(BOXES, SIGMAS), all_colors(4), **scaling)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, expected)
