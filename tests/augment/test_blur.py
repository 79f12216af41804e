"""Blur matrices against a pixel-by-pixel Gaussian."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.augment import reference
from unreel.augment.blur import blur_matrices, blur_outputs, blur_radius, gaussian_taps


@given(size_px=st.integers(1, 30), sigma=st.floats(0.1, 4.0), largest=st.floats(0.1, 4.0))
def test_two_multiplications_equal_a_blur_pixel_by_pixel(size_px: int, sigma: float, largest: float) -> None:
    radius = blur_radius(largest, size_px)
    taps = gaussian_taps(np.array([sigma]), radius)
    matrix = blur_matrices(torch.from_numpy(taps), size_px)[0].numpy()
    image = np.random.default_rng(size_px).random((size_px, size_px, 3))
    blurred = np.einsum("ij,jkc,lk->ilc", matrix, image, matrix)
    np.testing.assert_allclose(blurred, reference.blur(image, sigma, radius), atol=1e-12)


@given(size_px=st.integers(1, 40), sigma=st.floats(0.1, 5.0))
def test_rows_sum_to_one_so_a_flat_picture_stays_flat(size_px: int, sigma: float) -> None:
    taps = gaussian_taps(np.array([0.0, sigma]), blur_radius(sigma, size_px))
    matrices = blur_matrices(torch.from_numpy(taps), size_px)
    torch.testing.assert_close(matrices.sum(dim=2), torch.ones(2, size_px, dtype=torch.float64))


def test_no_blur_is_the_identity_exactly() -> None:
    taps = torch.from_numpy(gaussian_taps(np.array([0.0, 1.5]), 5)).float()
    assert torch.equal(blur_matrices(taps, 16)[0], torch.eye(16))
    assert not torch.equal(blur_matrices(taps, 16)[1], torch.eye(16))


def test_taps_are_a_gaussian() -> None:
    # sigma 1, radius 2: exp(0), exp(-1/2), exp(-2) = 1, 0.606531, 0.135335;
    # their total is 1 + 2 * 0.741866 = 2.483732.
    taps = gaussian_taps(np.array([1.0]), 2)[0]
    assert taps == pytest.approx([0.402620, 0.244201, 0.054489, 0.0], abs=1e-6)


def test_a_pixel_at_the_border_is_reflected_about_itself() -> None:
    # Kernel (1/4, 1/2, 1/4): the first row sees pixel 0 once and pixel 1 from both sides.
    matrix = blur_matrices(torch.tensor([[0.5, 0.25, 0.0]]), 4)[0]
    expected = [[0.5, 0.5, 0, 0], [0.25, 0.5, 0.25, 0], [0, 0.25, 0.5, 0.25], [0, 0, 0.5, 0.5]]
    assert matrix.tolist() == expected


def test_the_radius_is_three_sigma_within_the_picture() -> None:
    assert blur_radius(2.0, 112) == 6
    assert blur_radius(0.1, 112) == 1
    assert blur_radius(2.0, 4) == 3
    assert blur_radius(2.0, 1) == 0


@pytest.mark.parametrize("size_px", [1, 2, 7, 13, 33, 70])
def test_blurring_what_a_matrix_gives_is_a_multiplication_from_the_left(size_px: int) -> None:
    random = np.random.default_rng(size_px)
    radius = blur_radius(2.0, size_px)
    taps = torch.from_numpy(gaussian_taps(np.array([0.0, 0.5, 2.0]), radius))
    matrices = torch.from_numpy(random.random((3, size_px, 9)))
    expected = np.einsum("boi,bij->boj", blur_matrices(taps, size_px), matrices)
    np.testing.assert_allclose(blur_outputs(matrices, taps), expected, atol=1e-14)
