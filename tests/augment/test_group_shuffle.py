import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unreel.augment.group_shuffle import check_group_orders, expand_groups, sample_group_orders
from unreel.augment.tuple_order import LONGEST_TUPLE
from unreel.seeding import RowGenerator


def rows(count: int, seed: int = 0) -> RowGenerator:
    return RowGenerator(np.arange(count) + seed * count)


@given(
    num_groups=st.integers(2, 9),
    num_orders=st.integers(1, 14),
    seed=st.integers(0, 1000),
    count=st.integers(1, 9),
)
def test_orders_are_permutations_all_different_and_never_that_of_time(
    num_groups: int, num_orders: int, seed: int, count: int
) -> None:
    num_orders = min(num_orders, math.factorial(num_groups) - 1)
    orders = sample_group_orders(num_groups, num_orders, rows(count, seed))
    assert orders.shape == (count, num_orders, num_groups)
    assert (np.sort(orders, axis=2) == np.arange(num_groups)).all()
    for of_clip in orders.tolist():
        seen = {tuple(order) for order in of_clip}
        assert len(seen) == num_orders
        assert tuple(range(num_groups)) not in seen


def test_three_groups_have_five_shuffles_and_all_of_them_can_be_drawn() -> None:
    everything = set(itertools.permutations(range(3))) - {(0, 1, 2)}
    for of_clip in sample_group_orders(3, 5, rows(50)).tolist():
        assert {tuple(order) for order in of_clip} == everything


def test_two_groups_are_swapped() -> None:
    assert sample_group_orders(2, 1, rows(3)).tolist() == [[[1, 0]]] * 3


def test_all_sets_of_orders_are_as_likely() -> None:
    # Of 5 shuffles 10 pairs, 900 of each; chi-square with 9 degrees of freedom exceeds 27.9 once in 1,000.
    orders = sample_group_orders(3, 2, rows(9000))
    counts = Counter(frozenset(tuple(order) for order in of_clip) for of_clip in orders.tolist())
    assert len(counts) == 10
    assert sum((count - 900) ** 2 / 900 for count in counts.values()) < 27.9


def test_every_shuffle_of_eight_groups_is_as_likely() -> None:
    # 3,000 clips with 12 of the 40,319 ranks each, counted by the group that comes first and the one that
    # comes last: 56 pairs, of 720 ranks each but (0, 7), which has one less as time is left out. Chi-square
    # with 55 degrees of freedom exceeds 93.2 once in 1,000.
    orders = sample_group_orders(8, 12, rows(3000)).reshape(-1, 8)
    counts = Counter(zip(orders[:, 0].tolist(), orders[:, -1].tolist(), strict=True))
    total = 0.0
    for ends in itertools.permutations(range(8), 2):
        expected = len(orders) * (720 - (ends == (0, 7))) / 40319
        total += (counts[ends] - expected) ** 2 / expected
    assert total < 93.2


def test_a_clip_is_shuffled_alike_in_any_batch_and_the_generator_stays() -> None:
    many = sample_group_orders(8, 12, rows(10))
    generator = rows(3)
    assert np.array_equal(many[:3], sample_group_orders(8, 12, generator))
    assert np.array_equal(many[:3], sample_group_orders(8, 12, generator))
    assert not np.array_equal(many[0], many[1])


def test_the_most_groups_have_different_orders_too() -> None:
    orders = sample_group_orders(LONGEST_TUPLE, 12, rows(20))
    assert (np.sort(orders, axis=2) == np.arange(LONGEST_TUPLE)).all()
    assert len({tuple(order) for order in orders.reshape(-1, LONGEST_TUPLE).tolist()}) == 20 * 12


@pytest.mark.parametrize(("num_groups", "num_orders"), [(3, 6), (2, 2), (1, 1), (3, 0)])
def test_more_orders_than_there_are_is_refused(num_groups: int, num_orders: int) -> None:
    expected = f"{num_groups} groups have {math.factorial(num_groups) - 1} orders .* got {num_orders} to draw"
    with pytest.raises(ValueError, match=expected):
        sample_group_orders(num_groups, num_orders, rows(2))


@pytest.mark.parametrize("num_groups", [0, LONGEST_TUPLE + 1])
def test_groups_beyond_what_can_be_told_apart_are_refused(num_groups: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 18 groups of frames, got {num_groups}"):
        check_group_orders(num_groups, 1)


def test_groups_stay_together_and_in_order() -> None:
    """Worked by hand: of six frames in groups of two, the order 2 0 1 shows 4 5, then 0 1, then 2 3."""
    orders = torch.tensor([[[2, 0, 1], [0, 2, 1]]])
    assert expand_groups(orders, 2).tolist() == [[[4, 5, 0, 1, 2, 3], [0, 1, 4, 5, 2, 3]]]
    assert torch.equal(expand_groups(orders, 1), orders)
