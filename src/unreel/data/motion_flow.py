"""How much moves from one frame to the next, in one number: the strength of the strongest edges of the flow.

Frames are gray pictures of one size. The dense optical flow from the first to the second has a length at
every pixel; where that length changes abruptly, something moves against what is around it. A camera that pans
moves everything alike and makes no such edge.

    flow (u, v) -> length sqrt(u^2 + v^2) -> Sobel 3x3 (gx, gy) -> edge sqrt(gx^2 + gy^2)
    -> the k largest edges -> their median

Lengths are in pixels of a picture whose shorter side has 256, and k is 4000 there (decision S3). Flow on
smaller pictures is scaled up to that, and k down with the area. Farnebäck's values stay alike then; those of
dense inverse search do not, so beta must be chosen anew for another backend or size (docs/motion.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from unreel.errors import UnreelError

if TYPE_CHECKING:
    import types

# H W pixels

Gray = NDArray[np.uint8]
F32 = NDArray[np.float32]

FULL_SIZE = 256
"""Shorter side of the pictures in whose pixels motion is told."""
FULL_COUNT = 4000
"""How many of the largest edges count in such a picture."""
LEAST_SIZE = 32
"""OpenCV's dense inverse search crashes on some pictures that are smaller and wide."""

_PYRAMID = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}


@dataclass(frozen=True)
class MotionConfig:
    """How the motion of videos is measured.

    Raises:
        ValueError: a number is out of range.
    """

    backend: Literal["dis", "dis_medium", "farneback", "frame_difference"] = "dis"
    """Where edges come from: dense inverse search (OpenCV's fast and medium settings), Farnebäck's flow, or
    no flow and no edges but the absolute difference of brightness (decision S2), in levels of 255."""
    size: int = 256
    """Shorter side of the pictures that are compared, in pixels; 128 takes 0.4 of the time for small
    videos, and means another beta."""
    window_sec: float = 1.0
    """Length of the windows, whose frames' median is the motion of the window."""
    pairs_per_sec: float = 0.0
    """Pairs of neighbouring frames that are compared in every second; 0 compares all."""

    def __post_init__(self) -> None:
        if not LEAST_SIZE <= self.size <= FULL_SIZE:
            raise ValueError(f"size must lie between {LEAST_SIZE} and {FULL_SIZE} pixels, got {self.size}")
        if not 0 < self.window_sec < float("inf"):
            raise ValueError(f"window_sec must be a positive number of seconds, got {self.window_sec}")
        if not 0 <= self.pairs_per_sec < float("inf"):
            raise ValueError(f"pairs_per_sec must be positive, or 0 for all, got {self.pairs_per_sec}")


def load_opencv() -> "types.ModuleType":
    """Import OpenCV with a single thread: the videos are shared among processes.

    Raises:
        UnreelError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UnreelError(
            f"optical flow needs OpenCV ({error}); `pip install opencv-python-headless`"
        ) from error
    cv2.setNumThreads(1)
    return cv2


def build_flow(backend: Literal["dis", "dis_medium", "farneback"]) -> Callable[[Gray, Gray], F32]:
    """Return a function from two pictures to the flow (H, W, 2), in their own pixels.

    Raises:
        UnreelError: OpenCV is not installed.
    """
    cv2 = load_opencv()
    if backend == "farneback":
        return lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, **_PYRAMID, flags=0)
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if backend == "dis" else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    search = cv2.DISOpticalFlow_create(preset)
    return lambda first, second: search.calc(first, second, None)


def build_measure(config: MotionConfig) -> Callable[[Gray, Gray], float]:
    """Return a function from a frame and the next to how much moves between them.

    Raises:
        UnreelError: OpenCV is not installed.
    """
    if config.backend == "frame_difference":

        def measure_difference(first: Gray, second: Gray) -> float:
            difference = np.abs(second.astype(np.float32) - first.astype(np.float32))
            return take_median_of_largest(difference, count_largest(*first.shape))

        return measure_difference
    flow = build_flow(config.backend)

    def measure_flow(first: Gray, second: Gray) -> float:
        scale = FULL_SIZE / min(first.shape)
        edges_HW = find_flow_edges(flow(first, second)) * np.float32(scale)
        return take_median_of_largest(edges_HW, count_largest(*first.shape))

    return measure_flow


def find_flow_edges(flow_HW2: F32) -> F32:
    """Return the strength of the edges in the length of the flow (H, W).

    Sobel's weights are not normalised: a step of one pixel per frame has an edge of 4. Beyond its border the
    picture continues as its mirror image about the outermost pixels.

    Raises:
        UnreelError: OpenCV is not installed.
    """
    cv2 = load_opencv()
    length_HW = cv2.magnitude(flow_HW2[..., 0], flow_HW2[..., 1])
    across_HW, down_HW = (
        cv2.Sobel(length_HW, cv2.CV_32F, dx, dy, ksize=3, borderType=cv2.BORDER_REFLECT_101)
        for dx, dy in ((1, 0), (0, 1))
    )
    edges_HW: F32 = cv2.magnitude(across_HW, down_HW)
    return edges_HW


def count_largest(height: int, width: int) -> int:
    """Return how many of a picture's largest values count: 4000 at the full size, of any aspect."""
    return max(1, round(FULL_COUNT * (min(height, width) / FULL_SIZE) ** 2))


def take_median_of_largest(values: F32, count: int) -> float:
    """Return the median of the largest values; of an even count, the mean of the two in the middle.

    Raises:
        ValueError: there are not so many values, or one that is needed is not finite.
    """
    flat = values.ravel()
    if not 1 <= count <= len(flat):
        raise ValueError(f"count must lie between 1 and the {len(flat)} values, got {count}")
    # In rising order the largest begin at len - count; their middle is one place or two.
    middle = [len(flat) - count + (count - 1) // 2, len(flat) - count + count // 2]
    median = float(np.partition(flat, middle)[middle].mean(dtype=np.float64))
    if not np.isfinite(median):
        raise ValueError(f"values must be finite, their median is {median}")
    return median
