"""Windows of a video, a second long most often, and how likely each is to be looked at.

The windows of a video follow from the times of its frames alone: window ``w`` has the frames that are shown
from ``w`` to ``w + 1`` window lengths after the first one.

    25 frames per second, 60 frames, windows of 1 s:      0 ... 24 | 25 ... 59
    25 frames per second, 65 frames, windows of 1 s:      0 ... 24 | 25 ... 49 | 50 ... 64

The rest at the end is a window of its own when it lasts at least half as long as one, otherwise it belongs
to the window before it; a video of ten seconds and a bit has ten windows. A stretch of time in which no frame
begins, in a gap between timestamps, is no window.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from unreel.data.frame_index import FrameIndex

# C windows, F frames

_FINEST_SEC = 1000
"""Window lengths are taken to the nearest multiple of a fraction of a second of at most this denominator."""


def split_windows(index: FrameIndex, window_sec: float) -> NDArray[np.int64]:
    """Return where the windows of a video begin.

    Args:
        index: of a video with one frame or more.
        window_sec: length of a window.

    Returns:
        Rising int64 (C + 1): the first frame of every window, and behind them the number of frames, so that
        window ``w`` has the frames ``bounds[w]`` to ``bounds[w + 1] - 1``. 1 <= C <= frames.

    Raises:
        ValueError: the video has no frame, or the length is not positive.
    """
    if not index.num_frames or not window_sec > 0:
        raise ValueError(
            "windows need a video with frames and a positive length, got "
            f"{index.num_frames} frames and window_sec {window_sec}"
        )
    # In whole numbers, so that a frame at the very beginning of a window is never put into the one before.
    numerator, denominator = index.time_base
    window = Fraction(window_sec).limit_denominator(_FINEST_SEC) * Fraction(denominator, numerator)
    ticks_F = np.sort(index.pts)
    ticks_F = ticks_F - ticks_F[0]
    # The last frame is shown as long as the others on average.
    duration = Fraction(int(ticks_F[-1]) * index.num_frames, max(index.num_frames - 1, 1))
    num_windows = max(1, int(duration / window + Fraction(1, 2)))
    window_F = np.minimum(ticks_F * window.denominator // window.numerator, num_windows - 1)
    inner = np.flatnonzero(np.diff(window_F)) + 1
    return np.concatenate([[0], inner, [index.num_frames]]).astype(np.int64)


def window_probabilities(motion_C: NDArray[np.floating], beta: float) -> NDArray[np.float64]:
    """Return how likely each window is drawn: softmax of its motion divided by ``beta``.

    The less ``beta``, the more the windows that move most are preferred; an infinite one makes all windows
    alike. ``beta`` divides the motion itself, so it means something else for every way of measuring motion
    (decision S4).

    Args:
        motion_C: one finite number per window.
        beta: positive, infinity included.

    Raises:
        ValueError: ``beta`` is not positive, or there is no window, or one without finite motion.

    Reference: SCVRL, section 3.2.
    """
    check_beta(beta)
    if not len(motion_C) or not np.isfinite(motion_C).all():
        raise ValueError(f"motion must be one finite number per window, at least one, got {motion_C}")
    scaled_C = motion_C.astype(np.float64) / beta
    weight_C = np.exp(scaled_C - scaled_C.max())
    prob_C: NDArray[np.float64] = weight_C / weight_C.sum()
    return prob_C


def count_effective_windows(prob_C: NDArray[np.float64]) -> float:
    """Return how many equally likely windows would be as uncertain: e to the entropy, from 1 to C."""
    likely = prob_C[prob_C > 0]
    return float(np.exp(-(likely * np.log(likely)).sum()))


def check_beta(beta: float) -> None:
    """Refuse what no softmax can be divided by.

    Raises:
        ValueError: it is not positive.
    """
    if not beta > 0:
        raise ValueError(
            f"beta must be positive, got {beta}; infinity, `inf`, draws every window alike, whatever moves"
        )
