"""The strength of a pair of frames, derived number by number: Sobel by hand, sorted edges, their median."""

import builtins
import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.motion_flow import (
    MotionConfig,
    build_flow,
    build_measure,
    count_largest,
    find_flow_edges,
    load_opencv,
    take_median_of_largest,
)
from unreel.errors import UnreelError

BACKENDS = ("dis", "dis_medium", "farneback")
SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def mirror(place: int, length: int) -> int:
    """Continue a row beyond its ends as its mirror image about the outermost pixels: 2 1 [0 1 2] 1 0."""
    return min(abs(place), 2 * (length - 1) - place) if place >= length else abs(place)


def edge_by_hand(length: list[list[float]], y: int, x: int) -> float:
    height, width = len(length), len(length[0])
    across = down = 0.0
    for dy, dx in ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
        value = length[mirror(y + dy, height)][mirror(x + dx, width)]
        across += SOBEL[dy + 1][dx + 1] * value
        down += SOBEL[dx + 1][dy + 1] * value
    return math.sqrt(across**2 + down**2)


def draw_flow(height: int, width: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, 3, (height, width, 2)).astype(np.float32)


@given(st.integers(2, 7), st.integers(2, 9), st.integers(0, 99), st.integers(1, 14))
def test_edges_and_their_median_are_those_of_a_loop(height: int, width: int, seed: int, count: int) -> None:
    flow = draw_flow(height, width, seed)
    count = min(count, height * width)
    length = [[math.hypot(*map(float, flow[y, x])) for x in range(width)] for y in range(height)]
    edges = [[edge_by_hand(length, y, x) for x in range(width)] for y in range(height)]
    found = find_flow_edges(flow)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, edges, rtol=1e-4, atol=1e-4)
    largest = sorted((edge for row in edges for edge in row), reverse=True)[:count]
    assert take_median_of_largest(found, count) == pytest.approx(statistics.median(largest), rel=1e-4)


def test_worked_edges() -> None:
    # The right half moves 3 pixels down and 4 across, 5 in all: a step of 5, so an edge of 20 on both sides.
    flow = np.zeros((5, 6, 2), dtype=np.float32)
    flow[:, 3:] = (4, 3)
    assert find_flow_edges(flow).tolist() == [[0, 0, 20, 20, 0, 0]] * 5


def test_a_camera_that_pans_has_no_edges() -> None:
    flow = np.full((8, 9, 2), 7, dtype=np.float32)
    assert not find_flow_edges(flow).any()


@pytest.mark.parametrize(
    ("values", "count", "median"),
    [
        ([1, 9, 3, 7, 5], 1, 9),
        ([1, 9, 3, 7, 5], 2, 8),
        ([1, 9, 3, 7, 5], 3, 7),
        ([1, 9, 3, 7, 5], 5, 5),
        ([4, 4, 1], 2, 4),
    ],
)
def test_worked_medians(values: list[float], count: int, median: float) -> None:
    assert take_median_of_largest(np.array(values, dtype=np.float32), count) == median


@pytest.mark.parametrize("count", [0, 5])
def test_more_values_than_there_are_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"count must lie between 1 and the 4 values, got {count}"):
        take_median_of_largest(np.zeros((2, 2), dtype=np.float32), count)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="values must be finite, their median is nan"):
        take_median_of_largest(np.full((2, 2), np.nan, dtype=np.float32), 2)


@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(256, 340, 4000), (256, 256, 4000), (910, 256, 4000), (128, 171, 1000), (64, 96, 250), (2, 2, 1)],
)
def test_the_largest_are_4000_at_the_full_size_and_fewer_with_the_area(
    height: int, width: int, count: int
) -> None:
    assert count_largest(height, width) == count


def draw_step(side: int, shift: int) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], ...]:
    """Two pictures of a texture whose middle moves to the right, at some size of the picture."""
    cv2 = load_opencv()
    texture = np.random.default_rng(3).integers(0, 255, (16, 16), dtype=np.uint8)
    ground = cv2.resize(texture, (side, side), interpolation=cv2.INTER_CUBIC)
    second = ground.copy()
    quarter = side // 4
    second[quarter:-quarter, quarter:-quarter] = ground[quarter:-quarter, quarter - shift : -quarter - shift]
    return ground, second


@pytest.mark.parametrize("backend", BACKENDS)
def test_flow_finds_a_known_motion(backend: Any) -> None:
    first, second = draw_step(256, 4)
    flow = build_flow(backend)(first, second)
    assert flow.shape == (256, 256, 2)
    inside = flow[90:166, 90:166].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inside, axis=0), [4, 0], atol=0.5)
    np.testing.assert_allclose(np.median(flow[:40].reshape(-1, 2), axis=0), [0, 0], atol=0.2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_measure_is_made_of_its_parts_and_has_no_memory(backend: Any) -> None:
    first, second = draw_step(256, 4)
    measure = build_measure(MotionConfig(backend=backend))
    edges = find_flow_edges(build_flow(backend)(first, second))
    expected = statistics.median(sorted(edges.ravel().tolist(), reverse=True)[:4000])
    assert measure(first, second) == pytest.approx(expected, rel=1e-6)
    assert measure(first, first) == pytest.approx(0.0, abs=0.1)
    assert measure(first, second) == pytest.approx(expected, rel=1e-6)
    assert expected > 0.5


def test_smaller_pictures_are_told_in_pixels_of_the_full_size() -> None:
    first, second = draw_step(64, 2)
    edges = find_flow_edges(build_flow("farneback")(first, second))
    expected = 4 * statistics.median(sorted(edges.ravel().tolist(), reverse=True)[:250])
    found = build_measure(MotionConfig(backend="farneback", size=64))(first, second)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shift", [4, 6, 8])
def test_the_motion_of_a_scene_by_farneback_is_alike_at_half_the_size(shift: int) -> None:
    scene = draw_step(256, shift)
    whole, half = (
        build_measure(MotionConfig(backend="farneback", size=side))(
            *(
                load_opencv().resize(picture, (side, side), interpolation=load_opencv().INTER_AREA)
                for picture in scene
            )
        )
        for side in (256, 128)
    )
    assert whole > 1
    assert half == pytest.approx(whole, rel=0.25)


@given(st.integers(0, 99))
def test_the_difference_of_frames_is_that_of_a_loop(seed: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 256, (2, 20, 31), dtype=np.uint8)
    pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    largest = sorted((abs(a - b) for a, b in pairs), reverse=True)
    # 4000 of 256 x 256 are 24.4 of 20 x 20; the longer side plays no role
    expected = statistics.median(largest[:24])
    assert build_measure(MotionConfig(backend="frame_difference"))(first, second) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", 31), ("size", 257), ("window_sec", 0.0), ("window_sec", math.inf), ("pairs_per_sec", -1.0)],
)
def test_impossible_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must .*, got {value}"):
        MotionConfig(**{name: value})


def test_a_missing_opencv_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def import_all_but_it(name: str, *rest: Any, **more: Any) -> Any:
        if name == "cv2":
            raise ImportError("libx is missing")
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", import_all_but_it)
    with pytest.raises(
        UnreelError, match=r"OpenCV \(libx is missing\); `pip install opencv-python-headless`"
    ):
        load_opencv()


def test_opencv_runs_on_a_single_thread() -> None:
    assert load_opencv().getNumThreads() == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(32, 32), (32, 700), (900, 33), (64, 512)])
def test_narrow_pictures_have_flow_too(backend: Any, shape: tuple[int, int]) -> None:
    """Dense inverse search ends the process on 16 x 128 and 24 x 192, which are not allowed."""
    first = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    measure = build_measure(MotionConfig(backend=backend, size=32))
    assert measure(first, np.roll(first, 1, axis=1)) > measure(first, first)
