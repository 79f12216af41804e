"""The shuffle degree is the edit distance, and its classes leave no gap."""

import itertools
import random
from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.augment import shuffle_degree as module
from unreel.augment.shuffle_degree import (
    class_to_degree,
    count_degree_classes,
    degree_to_class,
    possible_degrees,
    shuffle_degree,
)

# Rows: frames; columns: degree 0, 1, 2, ...; counted by enumeration with another program.
NUM_OF_DEGREE = {
    1: [1, 0],
    2: [1, 0, 1],
    3: [1, 0, 5, 0],
    4: [1, 0, 12, 5, 6],
    5: [1, 0, 22, 24, 65, 8],
    6: [1, 0, 35, 65, 275, 233, 111],
    7: [1, 0, 51, 136, 793, 1494, 2045, 520],
    8: [1, 0, 70, 245, 1832, 5553, 13525, 14111, 4983],
    9: [1, 0, 92, 400, 3662, 15514, 55967, 116077, 130811, 40356],
}

PERMUTATIONS = st.integers(1, 24).flatmap(lambda num_frames: st.permutations(range(num_frames)))


def levenshtein(left: list[int], right: list[int]) -> int:
    """The textbook's table of prefixes, row by row."""
    previous = list(range(len(right) + 1))
    for row, symbol in enumerate(left, start=1):
        current = [row]
        for column, other in enumerate(right, start=1):
            replaced = previous[column - 1] + (symbol != other)
            current.append(min(previous[column] + 1, current[-1] + 1, replaced))
        previous = current
    return previous[-1]


def plain_degree(order: list[int]) -> int:
    return levenshtein(list(range(len(order))), order)


def degree_of(order: list[int]) -> int:
    return int(shuffle_degree([order])[0])


def all_permutations(num_frames: int) -> np.ndarray:
    """Every permutation, the last frame put into every place of the shorter ones."""
    orders = np.zeros((1, 1), dtype=np.int8)
    for last in range(1, num_frames):
        places = [np.insert(orders, place, last, axis=1) for place in range(last + 1)]
        orders = np.concatenate(places)
    return orders


def longest_ascent(order: list[int]) -> int:
    """Length of the longest increasing subsequence, by patience sorting."""
    ends: list[int] = []
    for frame in order:
        place = bisect_left(ends, frame)
        ends[place : place + 1] = [frame]
    return len(ends)


def swapped(order: list[int], one: int, other: int) -> list[int]:
    result = list(order)
    result[one], result[other] = result[other], result[one]
    return result


def moved(order: list[int], source: int, target: int) -> list[int]:
    result = list(order)
    result.insert(target, result.pop(source))
    return result


@pytest.mark.parametrize("num_frames", range(1, 8))
def test_the_degree_is_the_edit_distance_of_every_short_shuffle(num_frames: int) -> None:
    orders = all_permutations(num_frames)
    assert len({tuple(order) for order in orders.tolist()}) == len(orders)
    assert shuffle_degree(orders).tolist() == [plain_degree(order) for order in orders.tolist()]


@given(PERMUTATIONS)
def test_the_degree_is_the_edit_distance(order: list[int]) -> None:
    assert degree_of(order) == plain_degree(order)


@pytest.mark.parametrize("num_frames", [62, 63, 64, 65, 130])
def test_the_degree_is_the_edit_distance_around_the_sizes_where_wider_integers_begin(num_frames: int) -> None:
    chance = random.Random(num_frames)
    orders = []
    for disorder in (1, 4, num_frames):
        for _ in range(3):
            # The larger the jitter, the less is kept of the order.
            noise = [frame + disorder * chance.random() for frame in range(num_frames)]
            orders.append(sorted(range(num_frames), key=noise.__getitem__))
    assert shuffle_degree(orders).tolist() == [plain_degree(order) for order in orders]


@pytest.mark.parametrize("num_frames", NUM_OF_DEGREE)
def test_as_many_permutations_have_each_degree_as_were_counted(num_frames: int) -> None:
    degree = shuffle_degree(all_permutations(num_frames))
    assert np.bincount(degree, minlength=num_frames + 1).tolist() == NUM_OF_DEGREE[num_frames]


def test_as_many_shuffles_of_16_frames_have_degree_two_as_the_formula_says() -> None:
    # 120 swaps and 15 * 15 moves, of which 15 are both: 330 = 15 * 44 / 2, the formula (n - 1)(3n - 4) / 2.
    first = list(range(16))
    pairs = list(itertools.product(range(16), repeat=2))
    near = {tuple(change(first, *pair)) for change in (swapped, moved) for pair in pairs} - {tuple(first)}
    assert len(near) == 330
    assert set(shuffle_degree(list(near)).tolist()) == {2}
    # Nothing that is two such changes away has degree 2 unless it is one change away too.
    further = {tuple(change(list(order), *p)) for order in near for change in (swapped, moved) for p in pairs}
    assert (shuffle_degree(list(near | further)) == 2).sum() == 330


@pytest.mark.parametrize("num_frames", [2, 4, 5, 16, 31, 63, 64, 100])
def test_the_true_order_has_degree_zero(num_frames: int) -> None:
    assert degree_of(list(range(num_frames))) == 0


@pytest.mark.parametrize("num_frames", [4, 16, 63, 64])
def test_any_swap_of_two_frames_has_degree_two(num_frames: int) -> None:
    pairs = itertools.combinations(range(num_frames), 2)
    orders = [swapped(list(range(num_frames)), *pair) for pair in pairs]
    assert set(shuffle_degree(orders).tolist()) == {2}


@pytest.mark.parametrize("num_frames", [4, 16, 63, 64])
def test_moving_one_frame_anywhere_has_degree_two(num_frames: int) -> None:
    pairs = itertools.permutations(range(num_frames), 2)
    orders = [moved(list(range(num_frames)), *pair) for pair in pairs]
    assert set(shuffle_degree(orders).tolist()) == {2}


# The middle one of an odd number stays in its place. Wider integers begin at 64 and at 16,384 frames.
@pytest.mark.parametrize(
    ("num_frames", "degree"),
    [(2, 2), (5, 4), (16, 16), (63, 62), (64, 64), (16_383, 16_382), (16_384, 16_384)],
)
def test_a_reversal_keeps_at_most_the_frame_in_the_middle(num_frames: int, degree: int) -> None:
    assert degree_of(list(range(num_frames))[::-1]) == degree


@pytest.mark.parametrize("num_frames", [4, 16, 33, 64])
def test_a_rotation_by_r_frames_has_degree_two_r(num_frames: int) -> None:
    for shift in range(num_frames // 2 + 1):
        order = [(frame + shift) % num_frames for frame in range(num_frames)]
        assert degree_of(order) == 2 * shift


@given(PERMUTATIONS)
def test_undoing_a_shuffle_has_the_same_degree(order: list[int]) -> None:
    assert degree_of(np.argsort(order).tolist()) == degree_of(order)


@given(PERMUTATIONS)
def test_a_shuffle_of_the_reversed_clip_has_the_same_degree(order: list[int]) -> None:
    complement = [len(order) - 1 - frame for frame in reversed(order)]
    assert degree_of(complement) == degree_of(order)


@given(PERMUTATIONS, st.data())
def test_one_swap_or_move_changes_the_degree_by_two_at_most(order: list[int], data: st.DataObject) -> None:
    places = st.integers(0, len(order) - 1)
    one, other = data.draw(places), data.draw(places)
    before = degree_of(order)
    assert abs(degree_of(swapped(order, one, other)) - before) <= 2
    assert abs(degree_of(moved(order, one, other)) - before) <= 2


@given(PERMUTATIONS)
def test_the_degree_lies_between_frames_out_of_order_and_frames_out_of_place(order: list[int]) -> None:
    displaced = sum(frame != place for place, frame in enumerate(order))
    assert len(order) - longest_ascent(order) <= degree_of(order) <= displaced


@given(PERMUTATIONS, PERMUTATIONS)
def test_the_degree_of_shuffles_side_by_side_is_at_most_the_sum(left: list[int], right: list[int]) -> None:
    joined = left + [len(left) + frame for frame in right]
    assert degree_of(joined) <= degree_of(left) + degree_of(right)


def test_a_shuffle_has_its_degree_in_any_block_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = all_permutations(6)
    together = shuffle_degree(orders)
    # 20 numbers are 3 rows of 6 to a block.
    monkeypatch.setattr(module, "LARGEST_BLOCK", 20)
    assert np.array_equal(shuffle_degree(orders), together)
    # Not even one row fits, so each is a block.
    monkeypatch.setattr(module, "LARGEST_BLOCK", 1)
    assert np.array_equal(shuffle_degree(orders), together)


@pytest.mark.parametrize("num_places", [0, 1, 2, 3, 4, 5, 6])
def test_a_shuffle_has_its_degree_however_many_places_are_compared_at_once(
    num_places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = all_permutations(6)
    together = shuffle_degree(orders)
    monkeypatch.setattr(module, "LARGEST_STEPS", num_places * orders.size)
    assert np.array_equal(shuffle_degree(orders), together)


@pytest.mark.parametrize("kind", ["i1", "u1", "i4", "u8", "i8"])
def test_all_integers_give_the_same_degree(kind: str) -> None:
    orders = np.array([[3, 1, 0, 2], [0, 1, 2, 3]], dtype=kind)
    degree = shuffle_degree(orders)
    assert degree.tolist() == [3, 0]
    assert degree.dtype == np.int64


def test_the_shuffles_are_left_as_they_are() -> None:
    orders = all_permutations(5)
    copy = orders.copy()
    shuffle_degree(orders)
    assert np.array_equal(orders, copy)


def test_no_shuffles_have_no_degrees() -> None:
    degree = shuffle_degree(np.empty((0, 7), dtype=np.int64))
    assert degree.shape == (0,)
    assert degree.dtype == np.int64


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ([0, 1, 2], r"order_BT has shape \(3,\).*; give integers, one row per clip"),
        ([[[0, 1]]], r"order_BT has shape \(1, 1, 2\)"),
        ([[0.0, 1.0]], "type float64; give integers"),
        (np.empty((3, 0), dtype=np.int64), r"order_BT has shape \(3, 0\)"),
        (
            [[0, 1, 2], [0, 1, 1]],
            r"order_BT\[1\] is \[0, 1, 1\], no permutation; give every number from 0 to 2",
        ),
        ([[1, 2, 3]], r"order_BT\[0\] is \[1, 2, 3\], no permutation"),
        ([[0, -1, 2]], r"order_BT\[0\] is \[0, -1, 2\], no permutation"),
    ],
)
def test_rows_that_are_no_permutations_are_refused(orders: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shuffle_degree(orders)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_frames", range(4, 10))
def test_the_possible_degrees_are_those_that_occur(num_frames: int) -> None:
    occurring = [degree for degree, count in enumerate(NUM_OF_DEGREE[num_frames]) if count]
    assert list(possible_degrees(num_frames)) == occurring


def test_sixteen_frames_have_sixteen_degrees_and_never_one() -> None:
    assert possible_degrees(16) == (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
    assert count_degree_classes(16) == 16


@pytest.mark.parametrize("num_frames", range(4, 40))
def test_classes_number_the_degrees_without_a_gap(num_frames: int) -> None:
    degrees = np.array(possible_degrees(num_frames))
    classes = degree_to_class(degrees)
    assert classes.tolist() == list(range(count_degree_classes(num_frames)))
    assert class_to_degree(classes).tolist() == degrees.tolist()
    assert classes.dtype == class_to_degree(classes).dtype == np.int64


@pytest.mark.parametrize("num_frames", [-1, 0, 1, 2, 3])
def test_clips_of_fewer_than_four_frames_are_refused(num_frames: int) -> None:
    with pytest.raises(ValueError, match=f"num_frames is {num_frames}; shuffles need clips of at least 4"):
        possible_degrees(num_frames)
    with pytest.raises(ValueError, match="at least 4 frames"):
        count_degree_classes(num_frames)


@pytest.mark.parametrize("degree", [1, -1, -5])
def test_numbers_that_are_no_degrees_have_no_class(degree: int) -> None:
    with pytest.raises(ValueError, match=f"degree_B holds {degree}; a degree is 0 or at least 2"):
        degree_to_class([0, 2, degree, 3])


def test_negative_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="class_B holds -1; classes count from 0"):
        class_to_degree([0, -1])
