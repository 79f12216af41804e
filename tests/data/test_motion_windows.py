"""Windows by exact fractions of a second, and their probabilities by a loop over numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.frame_index import FrameIndex
from unreel.data.motion_windows import (
    check_beta,
    count_effective_windows,
    split_windows,
    window_probabilities,
)


def even_index(num_frames: int, *, step: int = 1, base: tuple[int, int] = (1, 25)) -> FrameIndex:
    return FrameIndex(np.arange(num_frames, dtype=np.int64) * step + 7, np.array([0]), base)


def windows_by_hand(pts: list[int], base: tuple[int, int], length: Fraction) -> list[int]:
    """Put every frame into its window, one by one, in exact fractions."""
    times = [Fraction(value - min(pts)) * Fraction(*base) for value in sorted(pts)]
    total = times[-1] * len(times) / (len(times) - 1) if len(times) > 1 else Fraction(0)
    whole, rest = divmod(total, length)
    last = max(1, int(whole) + (rest >= length / 2)) - 1
    of_frame = [min(int(time // length), last) for time in times]
    return [0] + [n for n in range(1, len(of_frame)) if of_frame[n] != of_frame[n - 1]] + [len(pts)]


@given(
    st.lists(st.integers(1, 90), min_size=0, max_size=60),
    st.sampled_from([(1, 25), (1001, 30000), (1, 1000), (1, 90000), (2, 3)]),
    st.sampled_from([1.0, 0.5, 2.0, 0.1]),
)
def test_windows_are_those_of_a_loop_over_exact_times(
    steps: list[int], base: tuple[int, int], window_sec: float
) -> None:
    pts = np.concatenate([[3], 3 + np.cumsum(np.array(steps, dtype=np.int64))]).astype(np.int64)
    found = split_windows(FrameIndex(pts, np.array([0]), base), window_sec)
    length = Fraction(window_sec).limit_denominator(1000)
    assert found.tolist() == windows_by_hand(pts.tolist(), base, length)
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(
    ("frames", "step", "base", "bounds"),
    [
        # 25 frames per second: 2.4 s have two windows, 2.5 s and 2.6 s have three.
        (60, 1, (1, 25), [0, 25, 60]),
        (63, 1, (1, 25), [0, 25, 50, 63]),
        (65, 1, (1, 25), [0, 25, 50, 65]),
        (1, 1, (1, 25), [0, 1]),
        (3, 1, (1, 25), [0, 3]),
        # ten seconds and a frame at 30 frames per second
        (301, 1, (1, 30), [*range(0, 300, 30), 301]),
        # 29.97 frames per second: frame 30 is the first after a second
        (300, 1001, (1, 30000), [*range(0, 300, 30), 300]),
        # one frame per two seconds: the windows between are none
        (3, 2, (1, 1), [0, 1, 2, 3]),
    ],
)
def test_worked_windows(frames: int, step: int, base: tuple[int, int], bounds: list[int]) -> None:
    assert split_windows(even_index(frames, step=step, base=base), 1.0).tolist() == bounds


def test_timestamps_that_do_not_rise_are_put_in_order() -> None:
    shuffled = FrameIndex(np.array([0, 30, 10, 20, 40]), np.array([0]), (1, 20))
    assert (
        split_windows(shuffled, 1.0).tolist()
        == split_windows(even_index(5, step=10, base=(1, 20)), 1.0).tolist()
    )


def test_a_jump_in_time_makes_no_windows() -> None:
    pts = np.concatenate([np.arange(50), 10**12 + np.arange(50)])
    assert split_windows(FrameIndex(pts, np.array([0]), (1, 25)), 1.0).tolist() == [0, 25, 50, 75, 100]


@pytest.mark.parametrize(("frames", "window_sec"), [(0, 1.0), (5, 0.0), (5, -1.0), (5, float("nan"))])
def test_windows_of_nothing_are_refused(frames: int, window_sec: float) -> None:
    with pytest.raises(ValueError, match=f"got {frames} frames and window_sec {window_sec}"):
        split_windows(even_index(frames), window_sec)


def test_worked_probabilities() -> None:
    # exp(m / 5): 1.49 2.23 4.95 24.53 1.82 1.22 1.00 2.72 3.32 4.06, of 47.34 in all
    motion = np.array([2, 4, 8, 16, 3, 1, 0, 5, 6, 7], dtype=np.float32)
    expected = [0.032, 0.047, 0.105, 0.518, 0.038, 0.026, 0.021, 0.057, 0.070, 0.086]
    np.testing.assert_allclose(window_probabilities(motion, 5.0), expected, atol=5e-4)


@given(st.lists(st.floats(0, 300, width=32), min_size=1, max_size=12), st.floats(0.5, 50))
def test_probabilities_are_those_of_a_loop(motion: list[float], beta: float) -> None:
    weights = [math.exp((value - max(motion)) / beta) for value in motion]
    expected = [weight / sum(weights) for weight in weights]
    found = window_probabilities(np.array(motion, dtype=np.float32), beta)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)
    assert found.dtype == np.float64


def test_a_common_motion_changes_nothing_and_huge_ones_do_not_overflow() -> None:
    motion = np.array([1.0, 3.0, 2.0])
    plain = window_probabilities(motion, 0.01)
    np.testing.assert_allclose(window_probabilities(motion + 1e4, 0.01), plain, rtol=1e-6, atol=1e-300)
    assert plain[1] == pytest.approx(1.0)


def test_an_infinite_beta_takes_all_windows_alike() -> None:
    assert window_probabilities(np.array([0.0, 5.0, 900.0, 1.0]), math.inf).tolist() == [0.25] * 4


@pytest.mark.parametrize("motion", [[], [1.0, math.nan], [math.inf]])
def test_motion_that_is_no_number_is_refused(motion: list[float]) -> None:
    with pytest.raises(ValueError, match="one finite number per window"):
        window_probabilities(np.array(motion), 5.0)


@pytest.mark.parametrize("beta", [0.0, -5.0, -math.inf, math.nan])
def test_a_beta_that_is_not_positive_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=f"beta must be positive, got {beta}"):
        check_beta(beta)


def test_effective_windows_count_those_that_are_likely() -> None:
    assert count_effective_windows(np.array([0.25] * 4)) == pytest.approx(4)
    assert count_effective_windows(np.array([1.0, 0.0])) == pytest.approx(1)
    # entropy of (1/2, 1/4, 1/4): 1.5 bits
    assert count_effective_windows(np.array([0.5, 0.25, 0.25])) == pytest.approx(2**1.5)
