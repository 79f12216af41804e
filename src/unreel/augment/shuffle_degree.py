"""How far a permutation of time is from the true order: the shuffle degree, and its classes.

The degree is the edit distance between a clip and its shuffle (insert, delete, substitute, each at cost 1).
Of clips of n frames it takes the values 0, 2, 3, ..., n: 1 never occurs, since one substitution leaves no
permutation and one insertion changes the length.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# B shuffles, T frames, K frames of which the next step starts

IntArray = NDArray[np.int64]

LARGEST_BLOCK = 2**16
"""How many frames `measure_degrees` looks at in one go; their costs then stay in the processor's cache."""

LARGEST_STEPS = 2**18
"""How many pairs of these frames it compares in one call: few calls for few shuffles, no more than the cache
for many."""


def shuffle_degree(order_BT: ArrayLike) -> IntArray:
    """Return the edit distance of each permutation from the identity.

    The result lies in {0, 2, 3, ..., T}. Between two frames that are kept, ``a`` frames of the clip face
    ``b`` frames of the shuffle, which cost ``max(a, b)`` edits; the distance is the cheapest way from the
    start to the end over kept frames that stay in order. (As ``max(a, b) = (a + b + |a - b|) / 2``, this is
    T less the largest ``kept frames - variation of their displacements / 2``.)

    Args:
        order_BT: the frame of the clip that is shown at each position.

    Raises:
        ValueError: there are no columns, or a row does not hold every number in [0, T) once.

    Reference: CACL, eq. 5.
    """
    order_BT = np.asarray(order_BT)
    _check_permutations(order_BT)
    return measure_degrees(order_BT)


def possible_degrees(num_frames: int) -> tuple[int, ...]:
    """Return the degrees that shuffles of so many frames have, in order: 0, 2, 3, ..., ``num_frames``.

    Args:
        num_frames: frames per clip.

    Raises:
        ValueError: fewer than 4 frames, where not all of these occur.
    """
    if num_frames < 4:
        raise ValueError(f"num_frames is {num_frames}; shuffles need clips of at least 4 frames")
    return (0, *range(2, num_frames + 1))


def count_degree_classes(num_frames: int) -> int:
    """Return how many degrees there are, which is ``num_frames``; see `possible_degrees`.

    Raises:
        ValueError: fewer than 4 frames.
    """
    return len(possible_degrees(num_frames))


def degree_to_class(degree_B: ArrayLike) -> IntArray:
    """Number the degrees without a gap: 0 becomes class 0, and d >= 2 becomes class d - 1.

    Raises:
        ValueError: a degree is negative or 1.
    """
    degree_B = np.asarray(degree_B, dtype=np.int64)
    is_wrong_B = (degree_B < 0) | (degree_B == 1)
    if is_wrong_B.any():
        raise ValueError(f"degree_B holds {degree_B[is_wrong_B].flat[0]}; a degree is 0 or at least 2")
    class_B: IntArray = np.maximum(degree_B - 1, 0)
    return class_B


def class_to_degree(class_B: ArrayLike) -> IntArray:
    """Undo `degree_to_class`: class 0 is degree 0, and class c >= 1 is degree c + 1.

    Raises:
        ValueError: a class is negative.
    """
    class_B = np.asarray(class_B, dtype=np.int64)
    if (class_B < 0).any():
        raise ValueError(f"class_B holds {class_B.min()}; classes count from 0")
    return class_B + (class_B > 0)


def measure_degrees(order_BT: IntArray) -> IntArray:
    """Do what `shuffle_degree` does, without its check: rows must be permutations."""
    num_frames = order_BT.shape[1]
    block = max(LARGEST_BLOCK // num_frames, 1)
    parts = [_measure_block(order_BT[start : start + block]) for start in range(0, len(order_BT), block)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _measure_block(order_BT: IntArray) -> IntArray:
    """Find the cheapest ways, all rows at once, in the smallest integers that hold every cost.

    No way costs more than T - 1 before its end. A pair out of order must cost no less: its difference is
    negative, which wraps around, and without the highest bit is at least half the range less T - 1.
    """
    num_frames = order_BT.shape[1]
    last = num_frames - 1
    kind, barrier = next(
        (np.dtype(name), bits)
        for name, bits in (("u1", 0x7F), ("u2", 0x7FFF), ("u4", 0x7FFFFFFF))
        if 2 * num_frames <= bits
    )
    place_T = np.arange(num_frames, dtype=kind)
    order_TB = np.ascontiguousarray(order_BT.T, dtype=kind)
    # cost_TB[t]: the cheapest way from the start to keeping the frame at position t.
    cost_TB = np.maximum(order_TB, place_T[:, None])
    group = max(LARGEST_STEPS // max(order_TB.size, 1), 1)
    for first in range(0, last, group):
        stop = min(first + group, last)
        # From the frame at k to a later one at t: the larger distance, less one for the frame that is kept.
        # Places up to k are in the table too, as nonsense that is never read.
        step_KTB = order_TB[None, first + 1 :] - order_TB[first:stop, None]
        step_KTB &= barrier
        lag_KT = place_T[None, first + 1 :] - place_T[first:stop, None]
        np.maximum(step_KTB, lag_KT[:, :, None], out=step_KTB)
        step_KTB -= 1
        for place in range(first, stop):
            way_TB = step_KTB[place - first, place - first :]
            way_TB += cost_TB[place]
            np.minimum(cost_TB[place + 1 :], way_TB, out=cost_TB[place + 1 :])
    cost_TB += np.maximum(last - order_TB, last - place_T[:, None])
    degree_B: IntArray = np.minimum(cost_TB.min(axis=0), num_frames).astype(np.int64)
    return degree_B


def _check_permutations(order_BT: NDArray[np.generic]) -> None:
    if order_BT.ndim != 2 or not order_BT.shape[1] or not np.issubdtype(order_BT.dtype, np.integer):
        raise ValueError(
            f"order_BT has shape {order_BT.shape} and type {order_BT.dtype}; give integers, one row per clip "
            "and one column per frame"
        )
    is_wrong_B = (np.sort(order_BT, axis=1) != np.arange(order_BT.shape[1])).any(axis=1)
    if is_wrong_B.any():
        row = int(is_wrong_B.argmax())
        raise ValueError(
            f"order_BT[{row}] is {order_BT[row].tolist()}, no permutation; give every number from 0 to "
            f"{order_BT.shape[1] - 1} once"
        )
