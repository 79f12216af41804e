"""Permutations of groups of frames: the shuffled copies of a clip."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.augment.tuple_order import LONGEST_TUPLE, list_orders
from unreel.seeding import RowGenerator

# B clips, N permutations of a clip, G groups of frames, T frames

IntArray = NDArray[np.int64]


def sample_group_orders(num_groups: int, num_orders: int, generator: RowGenerator) -> IntArray:
    """Draw several orders of the groups of every clip, all different and none that of time.

    Every set of such orders is as likely; within a set the orders come in no particular order, but not in a
    random one. What a clip gets depends on its own stream alone. The generator itself does not advance, so
    two draws need two generators, such as its forks.

    Args:
        num_groups: G.
        num_orders: N, orders of each clip, at least 1.
        generator: one stream per clip.

    Returns:
        Shape (B, N, G): group ``order[b, n, g]`` of clip b is shown at place g.

    Raises:
        ValueError: a clip has too many groups, or fewer orders than are asked for.

    Reference: SCVRL, section 3.2; decision S8.
    """
    check_group_orders(num_groups, num_orders)
    num_shuffles = math.factorial(num_groups) - 1
    stream = generator.fork("group orders")
    # Floyd's sample without replacement: where a draw among the first j + 1 was had before, j is new.
    drawn_BN = np.empty((generator.num_rows, num_orders), dtype=np.int64)
    for place, last in enumerate(range(num_shuffles - num_orders, num_shuffles)):
        draw_B = stream.integers(last + 1)
        was_drawn_B = (drawn_BN[:, :place] == draw_B[:, None]).any(axis=1)
        drawn_BN[:, place] = np.where(was_drawn_B, last, draw_B)
    # In the order of the dictionary, time comes first.
    return list_orders(1 + drawn_BN.reshape(-1), num_groups).reshape(*drawn_BN.shape, num_groups)


def check_group_orders(num_groups: int, num_orders: int) -> None:
    """Refuse groups that have too few orders, or more than can be told apart.

    Raises:
        ValueError: they do.
    """
    if not 1 <= num_groups <= LONGEST_TUPLE:
        raise ValueError(
            f"clips are shuffled in 1 to {LONGEST_TUPLE} groups of frames, got {num_groups}; take groups of "
            "another size, or clips of another length"
        )
    num_shuffles = math.factorial(num_groups) - 1
    if not 1 <= num_orders <= num_shuffles:
        raise ValueError(
            f"{num_groups} groups have {num_shuffles} orders other than that of time, got {num_orders} to "
            "draw; take smaller groups, longer clips or fewer orders"
        )


def expand_groups(order_XG: Tensor, group_frames: int) -> Tensor:
    """Turn orders of groups into orders of frames, shape (..., G * group_frames).

        groups of two, order 2 0 1:     4 5 0 1 2 3

    Args:
        order_XG: any leading axes, groups last.
        group_frames: frames per group, which stay side by side and in order.
    """
    within_F = torch.arange(group_frames, device=order_XG.device)
    return (order_XG[..., None] * group_frames + within_F).flatten(-2)
