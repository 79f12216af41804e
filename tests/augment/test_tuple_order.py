import itertools
from collections import Counter

import numpy as np
import pytest

from unreel.augment.tuple_order import LONGEST_TUPLE, list_orders, sample_tuple_orders
from unreel.seeding import RowGenerator


def rows(count: int, seed: int = 0) -> RowGenerator:
    return RowGenerator(np.arange(count) + seed * count)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5])
def test_orders_are_listed_as_in_a_dictionary(num_frames: int) -> None:
    expected = list(itertools.permutations(range(num_frames)))
    listed = list_orders(np.arange(len(expected)), num_frames)
    assert [tuple(order) for order in listed.tolist()] == expected


@pytest.mark.parametrize(("num_frames", "num_shuffles"), [(2, 1), (3, 4), (4, 22), (5, 118)])
def test_a_shuffle_is_neither_the_order_of_time_nor_its_reverse(num_frames: int, num_shuffles: int) -> None:
    orders = sample_tuple_orders(num_frames, rows(4000), shuffle_prob=1.0)
    assert orders.is_shuffled_B.all()
    seen = {tuple(order) for order in orders.order_BN.tolist()}
    left_out = {tuple(range(num_frames))}
    if num_frames > 2:  # of two frames only the reverse is left (V4)
        left_out.add(tuple(range(num_frames))[::-1])
    assert seen == set(itertools.permutations(range(num_frames))) - left_out
    assert len(seen) == num_shuffles


def test_all_shuffles_are_as_likely() -> None:
    # Of 3 frames 4 shuffles, 2,000 of each; chi-square with 3 degrees of freedom exceeds 16.3 once in 1,000.
    orders = sample_tuple_orders(3, rows(8000), shuffle_prob=1.0).order_BN
    counts = Counter(tuple(order) for order in orders.tolist())
    assert set(counts) == {(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)}
    assert sum((count - 2000) ** 2 / 2000 for count in counts.values()) < 16.3


def test_half_of_the_tuples_stay_in_order_and_say_so() -> None:
    orders = sample_tuple_orders(3, rows(4000))
    is_in_order = (orders.order_BN == np.arange(3)).all(axis=1)
    assert np.array_equal(is_in_order, ~orders.is_shuffled_B)
    assert 1850 < is_in_order.sum() < 2150  # 2,000 with a standard deviation of 32


def test_a_tuple_is_shuffled_alike_in_any_batch() -> None:
    many, few = sample_tuple_orders(5, rows(10)), sample_tuple_orders(5, rows(3))
    assert np.array_equal(many.order_BN[:3], few.order_BN)
    assert np.array_equal(many.is_shuffled_B[:3], few.is_shuffled_B)


def test_the_longest_tuple_is_shuffled_too() -> None:
    orders = sample_tuple_orders(LONGEST_TUPLE, rows(50), shuffle_prob=1.0).order_BN
    assert (np.sort(orders, axis=1) == np.arange(LONGEST_TUPLE)).all()
    assert len({tuple(order) for order in orders.tolist()}) == 50


@pytest.mark.parametrize("num_frames", [0, 1, LONGEST_TUPLE + 1])
def test_tuples_without_an_order_or_with_too_many_are_refused(num_frames: int) -> None:
    with pytest.raises(ValueError, match=f"num_frames must lie between 2 and 18, got {num_frames}"):
        sample_tuple_orders(num_frames, rows(2))
