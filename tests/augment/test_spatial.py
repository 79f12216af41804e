"""Resampling against torch's own interpolation, clip by clip and frame by frame."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.augment import reference
from unreel.augment.blur import blur_outputs, blur_radius, gaussian_taps
from unreel.augment.spatial import (
    AxisMap,
    gather_clips,
    resample_batch,
    resample_clip,
    slice_clip,
)

CPU = torch.device("cpu")


def stretch(start: int, length: int, size_px: int, is_reversed: bool = False) -> AxisMap:
    return AxisMap.stretch(np.array([start]), np.array([length]), size_px, np.array([is_reversed]))


@st.composite
def boxes_in_frames(draw: st.DrawFn) -> tuple[int, int, tuple[int, int, int, int]]:
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    box_height, box_width = draw(st.integers(1, height)), draw(st.integers(1, width))
    top = draw(st.integers(0, height - box_height))
    left = draw(st.integers(0, width - box_width))
    return height, width, (top, left, box_height, box_width)


@given(case=boxes_in_frames(), size_px=st.integers(1, 50), is_flipped=st.booleans())
def test_both_ways_equal_crop_then_interpolation_then_flip(
    case: tuple[int, int, tuple[int, int, int, int]], size_px: int, is_flipped: bool
) -> None:
    height, width, box = case
    frames = reference.random_frames(height * width, 1, 2, height, width, 3)
    rows = stretch(box[0], box[2], size_px).matrices(size_px, height, CPU)
    cols = stretch(box[1], box[3], size_px, is_flipped).matrices(size_px, width, CPU)
    expected = np.stack(
        [reference.crop_resize_flip(frame, box, size_px, is_flipped=is_flipped) for frame in frames[0]]
    )
    for resampled in (resample_clip(frames[0], rows[0], cols[0]), resample_batch(frames, rows, cols)[0]):
        assert resampled.dtype == torch.float32
        np.testing.assert_allclose(resampled.permute(1, 2, 3, 0) / 255, expected, atol=2e-6)


@given(length=st.integers(1, 400), size_px=st.integers(1, 200))
def test_weights_equal_what_interpolation_does_to_each_unit_picture(length: int, size_px: int) -> None:
    matrix = stretch(0, length, size_px).matrices(size_px, length, CPU)[0]
    units = torch.eye(length, dtype=torch.float64)[:, None, None, :]
    expected = F.interpolate(units, size=(1, size_px), mode="bilinear", antialias=True)[:, 0, 0].T
    torch.testing.assert_close(matrix.double(), expected, atol=1e-6, rtol=0)


@given(case=boxes_in_frames(), size_px=st.integers(1, 50))
def test_weights_are_shares_that_never_leave_the_box(
    case: tuple[int, int, tuple[int, int, int, int]], size_px: int
) -> None:
    height, _, (top, _, box_height, _) = case
    matrix = stretch(top, box_height, size_px).matrices(size_px, height, CPU)[0]
    assert (matrix >= 0).all()
    assert (matrix[:, :top] == 0).all()
    assert (matrix[:, top + box_height :] == 0).all()
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(size_px))


def weigh(place: int, out: int, axis: AxisMap, size_out: int) -> Fraction:
    """Return the triangle filter's weight by exact arithmetic, before rows are divided by their sums."""
    start, length, offset = (int(numbers[0]) for numbers in (axis.start_B, axis.length_B, axis.offset_B))
    if not start <= place < start + length:
        return Fraction(0)
    step = Fraction(float(axis.step_B[0]))
    shown = size_out - 1 - out if axis.is_reversed_B[0] else out
    middle = start + step * (offset + shown + Fraction(1, 2))
    return max(Fraction(0), 1 - abs(place + Fraction(1, 2) - middle) / max(step, Fraction(1)))


@given(
    length=st.sampled_from([1, 2, 7, 340]),
    size_px=st.sampled_from([1, 2, 7, 224]),
    start=st.integers(0, 40),
    rest=st.integers(0, 3),
    offset=st.integers(0, 5),
    is_reversed=st.booleans(),
    which=st.floats(0, 1),
)
@example(length=7999, size_px=1, start=1, rest=0, offset=0, is_reversed=True, which=0.0)
@example(length=1, size_px=8000, start=0, rest=0, offset=0, is_reversed=False, which=0.5)
@example(length=7999, size_px=224, start=0, rest=0, offset=3, is_reversed=False, which=0.9)
def test_weights_of_any_size_are_the_nearest_numbers_to_the_exact_ones(
    length: int, size_px: int, start: int, rest: int, offset: int, is_reversed: bool, which: float
) -> None:
    shown_px = max(1, size_px - offset)
    axis = AxisMap(
        np.array([start]),
        np.array([length]),
        np.array([length / size_px]),
        np.array([offset if size_px > offset else 0]),
        np.array([is_reversed]),
    )
    size_in = start + length + rest
    row, out = axis.matrices(shown_px, size_in, CPU)[0], round(which * (shown_px - 1))
    exact = [weigh(place, out, axis, shown_px) for place in range(size_in)]
    total = sum(exact)
    expected = np.array([float(weight / total) for weight in exact])
    # Half of a float32's last digit, and as much for float64 on the way.
    np.testing.assert_allclose(row[out], expected, rtol=2**-23, atol=1e-12)


def test_maps_of_one_batch_have_the_weights_that_each_has_alone() -> None:
    # The steps 0.1, 1 and 3.4 reach 1, 1 and 3.4 pixels; the widest one's taps are given to all.
    starts, lengths = np.array([5, 30, 0]), np.array([1, 10, 34])
    mirrored = np.array([True, False, True])
    together = AxisMap.stretch(starts, lengths, 10, mirrored).matrices(10, 40, CPU)
    for row in range(3):
        alone = stretch(starts[row], lengths[row], 10, mirrored[row]).matrices(10, 40, CPU)[0]
        assert torch.equal(together[row], alone)


@given(case=boxes_in_frames(), size_px=st.integers(1, 50), is_reversed=st.booleans(), seed=st.integers(0, 9))
def test_blocks_of_a_sharp_or_blurred_side_hold_all_its_weights(
    case: tuple[int, int, tuple[int, int, int, int]], size_px: int, is_reversed: bool, seed: int
) -> None:
    height, _, (top, _, box_height, _) = case
    matrix = stretch(top, box_height, size_px, is_reversed).matrices(size_px, height, CPU)
    sigma = np.random.default_rng(seed).uniform(0.1, 2, 1)
    blurred = blur_outputs(matrix, torch.from_numpy(gaussian_taps(sigma, blur_radius(2.0, size_px))).float())
    frames = reference.random_frames(seed, 1, 1, height, 1, 3)
    for weights in (matrix, blurred):
        column = resample_clip(frames[0], weights[0], torch.ones(1, 1))
        expected = torch.einsum("oh,thwc->ctow", weights[0], frames[0].float())
        torch.testing.assert_close(column, expected, atol=1e-3, rtol=1e-6)


def test_halving_a_side_averages_with_a_triangle() -> None:
    # Step 2: the filter reaches 2 input pixels; pixel 1 of 4 -> middle 3.0; weights 1 - |j + .5 - 3| / 2
    # at j = 1..4: .25, .75, .75, .25, divided by 2.
    matrix = stretch(0, 8, 4).matrices(4, 8, CPU)[0]
    assert matrix[1].tolist() == [0, 0.125, 0.375, 0.375, 0.125, 0, 0, 0]


def test_a_map_of_step_one_has_the_identity_as_its_matrix() -> None:
    matrix = stretch(3, 5, 5).matrices(5, 9, CPU)[0]
    assert torch.equal(matrix, torch.eye(9)[3:8])
    mirrored = stretch(3, 5, 5, True).matrices(5, 9, CPU)[0]
    assert torch.equal(mirrored, torch.eye(9)[3:8].flip(0))


@given(offset=st.integers(0, 20), size_px=st.integers(1, 10))
def test_an_offset_cuts_the_beginning_of_the_scaled_side(offset: int, size_px: int) -> None:
    scaled_px, length = 30, 17
    whole = stretch(0, length, scaled_px).matrices(scaled_px, length, CPU)[0]
    part = AxisMap(
        np.array([0]),
        np.array([length]),
        np.array([length / scaled_px]),
        np.array([offset]),
        np.array([False]),
    ).matrices(size_px, length, CPU)[0]
    torch.testing.assert_close(part, whole[offset : offset + size_px])


@given(top=st.integers(0, 4), left=st.integers(0, 7), is_flipped=st.booleans())
def test_slicing_and_gathering_return_the_very_pixels(top: int, left: int, is_flipped: bool) -> None:
    frames = reference.random_frames(1, 2, 3, 12, 15, 3)
    expected = frames[1, :, top : top + 8, left : left + 8].permute(3, 0, 1, 2).float()
    expected = expected.flip(3) if is_flipped else expected
    assert torch.equal(slice_clip(frames[1], top, left, 8, is_flipped=is_flipped), expected)
    rows = AxisMap.stretch(np.array([0, top]), np.array([8, 8]), 8, np.array([False, False]))
    cols = AxisMap.stretch(np.array([0, left]), np.array([8, 8]), 8, np.array([False, is_flipped]))
    assert torch.equal(gather_clips(frames, rows, cols, 8)[1], expected)


def test_multiplying_and_slicing_agree_where_both_apply() -> None:
    frames = reference.random_frames(2, 1, 2, 40, 40, 3)
    rows, cols = stretch(3, 33, 33), stretch(7, 33, 33, True)
    assert rows.is_slice.all()
    assert not stretch(3, 32, 33).is_slice.any()
    multiplied = resample_clip(frames[0], rows.matrices(33, 40, CPU)[0], cols.matrices(33, 40, CPU)[0])
    assert torch.equal(multiplied, slice_clip(frames[0], 3, 7, 33, is_flipped=True))


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_any_band_matrix_is_applied_whole(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.rand(37, 30, generator=generator), torch.rand(37, 41, generator=generator)
    rows, cols = rows.triu(-3).tril(9), cols.triu(-5).tril(6)  # bands of several blocks, the last one shorter
    frames = reference.random_frames(seed, 1, 2, 30, 41, 3)
    expected = torch.einsum("oh,thwc,pw->ctop", rows, frames[0].float(), cols)
    torch.testing.assert_close(resample_clip(frames[0], rows, cols), expected)


def test_a_picture_of_one_pixel_becomes_a_flat_square() -> None:
    frames = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 1, 1, 1, 3)
    matrix = stretch(0, 1, 4).matrices(4, 1, CPU)
    out = resample_clip(frames[0], matrix[0], matrix[0])
    assert out.amax(dim=(1, 2, 3)).tolist() == pytest.approx([10, 20, 30])
    assert out.amin(dim=(1, 2, 3)).tolist() == pytest.approx([10, 20, 30])
