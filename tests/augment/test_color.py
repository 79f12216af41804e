"""Colour changes against a loop over pixels and operations."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment import reference
from unreel.augment.color import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    LUMA,
    SATURATION,
    ColorDraws,
    ColorMap,
    apply_color,
    apply_map,
    compose_color,
    fit_to_bytes,
    follow_map,
    sample_color,
    shift_hue,
)
from unreel.seeding import RowGenerator

MANY = 20_000
STRENGTHS = {"brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}


def one_draw(
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0),
    hue: float = 0.0,
    order: Sequence[int] = (0, 1, 2, 3),
    is_gray: bool = False,
) -> ColorDraws:
    return ColorDraws(np.array([factors]), np.array([hue]), np.array([order]), np.array([is_gray]))


def run(pixels_THWC: np.ndarray, color: ColorMap) -> np.ndarray:
    """Apply the maps to one clip with values in [0, 1]; returns the shape of the input."""
    flat = torch.from_numpy(pixels_THWC).float().reshape(1, -1, 3).mT.contiguous()
    out = torch.empty_like(flat)
    apply_color(flat, color, out)
    return out[0].T.reshape(pixels_THWC.shape).numpy()


factors = st.floats(0.0, 2.0)


@given(
    factors=st.tuples(factors, factors, factors),
    hue=st.one_of(st.just(0.0), st.floats(-0.5, 0.5)),
    order=st.permutations(range(4)),
    is_gray=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_two_matrices_equal_the_operations_one_after_the_other(
    factors: tuple[float, float, float], hue: float, order: Sequence[int], is_gray: bool, seed: int
) -> None:
    draws = one_draw(factors, hue, order, is_gray)
    clip = np.random.default_rng(seed).random((2, 3, 4, 3))
    expected = reference.change_color(clip, draws, 0)
    # The hue of a nearly grey colour is ill-defined, but then it hardly shows: errors stay small.
    np.testing.assert_allclose(run(clip, compose_color(draws)), expected, atol=2e-5)


@given(seed=st.integers(0, 1000))
def test_one_map_after_another_is_a_map(seed: int) -> None:
    random = np.random.default_rng(seed)
    first_B37, second_B37 = random.normal(size=(2, 2, 3, 7))
    second_B37[:, :, 6] = 0
    pixels = torch.from_numpy(random.random((2, 3, 11))).float()
    expected = apply_map(apply_map(pixels, first_B37), second_B37)
    both_B37 = follow_map(first_B37, second_B37[:, :, :3], second_B37[:, :, 3:6])
    torch.testing.assert_close(apply_map(pixels, both_B37), expected, atol=1e-4, rtol=1e-4)


@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    turns=st.floats(-0.5, 0.5),
)
def test_hue_turns_like_pythons_own_conversion(colour: tuple[int, int, int], turns: float) -> None:
    pixel = np.array(colour) / 255
    out = shift_hue(torch.tensor(pixel, dtype=torch.float32).view(1, 3, 1), np.array([turns]))
    np.testing.assert_allclose(out.view(3), reference.turn_hue(pixel, turns), atol=2e-6)


def test_a_third_of_a_turn_moves_red_to_green_to_blue() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1)
    green = shift_hue(red, np.array([1 / 3]))
    torch.testing.assert_close(green.view(3), torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(shift_hue(green, np.array([1 / 3])).view(3), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(shift_hue(green, np.array([-1 / 3])).view(3), red.view(3))


@given(seed=st.integers(0, 1000), turns=st.floats(-0.5, 0.5))
def test_a_hue_shift_keeps_value_and_chroma_and_can_be_undone(seed: int, turns: float) -> None:
    pixels = torch.rand(2, 3, 50, generator=torch.Generator().manual_seed(seed))
    turned = shift_hue(pixels, np.array([turns, 0.0]))
    torch.testing.assert_close(turned.amax(1), pixels.amax(1))
    torch.testing.assert_close(turned.amin(1), pixels.amin(1))
    torch.testing.assert_close(shift_hue(turned, np.array([-turns, 0.0])), pixels, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[1], pixels[1], atol=1e-6, rtol=0)


def test_grey_has_no_hue_to_turn() -> None:
    grey = torch.linspace(0, 1, 11).repeat(3, 1)[None]
    assert torch.equal(shift_hue(grey, np.array([0.3])), grey)


def test_contrast_turns_about_the_luma_of_the_whole_clip() -> None:
    # Frames of luma 0.2 and 0.6: the mean of the clip is 0.4, so half the contrast gives 0.3 and 0.5.
    clip = np.concatenate([np.full((1, 2, 2, 3), 0.2), np.full((1, 2, 2, 3), 0.6)])
    out = run(clip, compose_color(one_draw((1.0, 0.5, 1.0))))
    np.testing.assert_allclose(out[0], 0.3, atol=1e-6)
    np.testing.assert_allclose(out[1], 0.5, atol=1e-6)


def test_grayscale_is_the_weighted_mean_of_the_channels() -> None:
    out = run(np.array([[[[1.0, 0.0, 0.5]]]]), compose_color(one_draw(is_gray=True)))
    assert out.ravel() == pytest.approx([0.299 + 0.057] * 3, abs=1e-6)
    assert LUMA.sum() == pytest.approx(1.0)


def test_values_are_clamped_before_hue_but_not_after() -> None:
    bright = np.array([[[[0.9, 0.5, 0.1]]]])
    doubled_first = run(
        bright, compose_color(one_draw((2.0, 1.0, 1.0), 0.5, (BRIGHTNESS, HUE, CONTRAST, SATURATION)))
    )
    # (1.8, 1.0, 0.2) is clamped to (1, 1, 0.2), yellow; half a turn gives (0.2, 0.2, 1).
    assert doubled_first.ravel() == pytest.approx([0.2, 0.2, 1.0], abs=1e-6)
    doubled_last = run(
        bright, compose_color(one_draw((2.0, 1.0, 1.0), 0.5, (HUE, BRIGHTNESS, CONTRAST, SATURATION)))
    )
    assert doubled_last.ravel() == pytest.approx([0.2, 1.0, 1.8], abs=1e-6)


def test_clips_with_and_without_hue_share_a_batch() -> None:
    draws = sample_color(RowGenerator(range(12)), jitter_prob=0.5, **STRENGTHS, grayscale_prob=0.3)
    assert 0 < (draws.hue_B != 0).sum() < 12
    color = fit_to_bytes(compose_color(draws), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    pixels = torch.rand(12, 3, 40, generator=torch.Generator().manual_seed(0)) * 255
    together = torch.empty_like(pixels)
    apply_color(pixels.clone(), color, together)
    for clip in range(12):
        alone = torch.empty(1, 3, 40)
        apply_color(pixels[clip : clip + 1].clone(), color[clip : clip + 1], alone)
        torch.testing.assert_close(together[clip], alone[0], atol=1e-5, rtol=0)


@settings(max_examples=20)
@given(hue=st.sampled_from([0.0, 0.2]), seed=st.integers(0, 100))
def test_bytes_in_and_normalisation_out_change_nothing_else(hue: float, seed: int) -> None:
    color = compose_color(one_draw((1.2, 0.8, 0.7), hue, (2, 3, 1, 0)))
    clip = np.random.default_rng(seed).random((2, 2, 2, 3))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    expected = (run(clip, color) - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(run(clip * 255, fit_to_bytes(color, mean=mean, std=std)), expected, atol=1e-5)


def test_the_identity_map_changes_nothing() -> None:
    clip = np.random.default_rng(0).random((1, 2, 3, 3)).astype(np.float32)
    assert np.array_equal(run(clip, ColorMap.identity(1)), clip)
    composed = compose_color(one_draw())
    assert np.array_equal(composed.before_B37, ColorMap.identity(1).before_B37)
    np.testing.assert_allclose(composed.after_B37, ColorMap.identity(1).after_B37, atol=1e-15)


def test_draws_have_the_rates_and_ranges_that_were_asked_for() -> None:
    draws = sample_color(RowGenerator(range(MANY)), jitter_prob=0.8, **STRENGTHS, grayscale_prob=0.2)
    is_jittered = (draws.factors_B3 != 1).all(axis=1)
    # Standard deviation of a rate over 20 000 clips: at most 0.0036.
    assert is_jittered.mean() == pytest.approx(0.8, abs=0.015)
    assert draws.is_gray_B.mean() == pytest.approx(0.2, abs=0.015)
    assert ((draws.hue_B != 0) == is_jittered).all()
    for column, width in enumerate((0.4, 0.3, 0.2)):
        drawn = draws.factors_B3[is_jittered, column]
        assert drawn.min() == pytest.approx(1 - width, abs=0.01)
        assert drawn.max() == pytest.approx(1 + width, abs=0.01)
        assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert np.abs(draws.hue_B).max() == pytest.approx(0.1, abs=0.001)
    _, counts = np.unique(draws.order_B4 @ np.array([64, 16, 4, 1]), return_counts=True)
    assert len(counts) == 24
    assert (np.abs(counts - MANY / 24) < 150).all()  # standard deviation 28


def test_a_strength_above_one_never_makes_a_factor_negative() -> None:
    draws = sample_color(
        RowGenerator(range(1000)),
        jitter_prob=1.0,
        brightness=3.0,
        contrast=3.0,
        saturation=3.0,
        hue=0.0,
        grayscale_prob=0.0,
    )
    assert draws.factors_B3.min() >= 0
    assert draws.factors_B3.max() > 3.5


def test_draws_of_one_kind_do_not_depend_on_another() -> None:
    everything = sample_color(RowGenerator(range(50)), jitter_prob=1.0, **STRENGTHS, grayscale_prob=0.2)
    weaker = STRENGTHS | {"brightness": 0.0, "hue": 0.0}
    without = sample_color(RowGenerator(range(50)), jitter_prob=1.0, **weaker, grayscale_prob=0.2)
    assert np.array_equal(everything.factors_B3[:, 1:], without.factors_B3[:, 1:])
    assert np.array_equal(everything.order_B4, without.order_B4)
    assert np.array_equal(everything.is_gray_B, without.is_gray_B)
    assert (without.factors_B3[:, 0] == 1).all()
    assert (without.hue_B == 0).all()
