"""The order of a few frames: which tuples are shuffled, and how."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.seeding import RowGenerator

# B tuples, N frames of a tuple

IntArray = NDArray[np.int64]

LONGEST_TUPLE = 18
"""Beyond it there are more orders than a random number of double precision can tell apart."""


@dataclass(frozen=True)
class TupleOrders:
    """Which frame stands where, for each tuple.

    Attributes:
        order_BN: ``shown[b, n] = frames[b, order_BN[b, n]]``.
        is_shuffled_B: whether this is another order than that of time.
    """

    order_BN: IntArray
    is_shuffled_B: NDArray[np.bool_]


def sample_tuple_orders(
    num_frames: int, generator: RowGenerator, *, shuffle_prob: float = 0.5
) -> TupleOrders:
    """Shuffle some of the tuples.

    A shuffle is never the order of time itself, nor its reverse, as few frames of a video often do not tell
    forwards from backwards; all others are as likely. Of two frames the reverse is the only shuffle there is
    (decision V4). A tuple's order depends on its own stream alone. The generator itself does not advance.

    Args:
        num_frames: N.
        generator: one stream per tuple.
        shuffle_prob: share of the tuples that are shuffled.

    Raises:
        ValueError: tuples of one frame, which have no order, or of more than `LONGEST_TUPLE`.

    Reference: VCLR, section 3.3; its released code for the shuffles that are left out.
    """
    if not 2 <= num_frames <= LONGEST_TUPLE:
        raise ValueError(f"num_frames must lie between 2 and {LONGEST_TUPLE}, got {num_frames}")
    num_orders = math.factorial(num_frames)
    # In the order of the dictionary, time comes first and its reverse last.
    num_shuffles = max(num_orders - 2, 1)
    rank_B = 1 + generator.fork("shuffle").integers(num_shuffles)
    is_shuffled_B = generator.fork("choice").bernoulli(shuffle_prob)
    return TupleOrders(list_orders(np.where(is_shuffled_B, rank_B, 0), num_frames), is_shuffled_B)


def list_orders(rank_B: IntArray, num_frames: int) -> IntArray:
    """Return the orders of N frames with the given ranks in the dictionary, shape (B, N).

    Rank 0 is 0, 1, ..., N - 1, and the last rank, N! - 1, is the reverse.
    """
    order_BN = np.empty((len(rank_B), num_frames), dtype=np.int64)
    left_BN = np.tile(np.arange(num_frames), (len(rank_B), 1))
    rows_B = np.arange(len(rank_B))
    for place in range(num_frames):
        # Each choice for this place heads a block of as many orders as the frames behind it have.
        choice_B, rank_B = np.divmod(rank_B, math.factorial(num_frames - 1 - place))
        order_BN[:, place] = left_BN[rows_B, choice_B]
        is_left_BN = np.arange(left_BN.shape[1]) != choice_B[:, None]
        left_BN = left_BN[is_left_BN].reshape(len(rows_B), -1)
    return order_BN
