"""Shuffles have the degree they say, follow the law they promise, and depend on their own stream alone."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.augment import shuffle as module
from unreel.augment.shuffle import (
    ShuffleConfig,
    construct_shuffle,
    mix_shuffles,
    sample_shuffles,
    sample_shuffles_of_degree,
)
from unreel.augment.shuffle_degree import possible_degrees, shuffle_degree
from unreel.seeding import RowGenerator

CONFIGS = [
    ShuffleConfig(),
    ShuffleConfig(metropolis_steps=5),
    ShuffleConfig(preset="official"),
    ShuffleConfig(preset="plain"),
]

# Share of each degree among 16 frames, from half a million draws with another program.
OFFICIAL_SHARE = {
    0: 0.107,
    2: 0.087,
    3: 0.057,
    4: 0.065,
    5: 0.063,
    6: 0.064,
    7: 0.064,
    8: 0.064,
    9: 0.065,
    10: 0.066,
    11: 0.067,
    12: 0.069,
    13: 0.068,
    14: 0.057,
    15: 0.032,
    16: 0.007,
}
PLAIN_SHARE = {12: 0.0590, 13: 0.170, 14: 0.320, 15: 0.323, 16: 0.110}


def assert_counts_follow(shares: Mapping[object, float], draws: list) -> None:
    """Compare with a chi-square test at one in a thousand; the seeds are fixed, so the answer is too."""
    counts = Counter(draws)
    assert counts.keys() <= shares.keys()
    assert sum(shares.values()) == pytest.approx(1.0)
    expected = {cell: share * len(draws) for cell, share in shares.items()}
    assert min(expected.values()) > 5
    chi_square = sum((counts[cell] - mean) ** 2 / mean for cell, mean in expected.items())
    # Wilson and Hilferty's approximation of the quantile; 3.09 is the normal one.
    freedom = len(shares) - 1
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3
    assert chi_square < limit


def rows_of(orders: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(order) for order in orders.tolist()]


def all_permutations(num_frames: int) -> list[tuple[int, ...]]:
    return list(itertools.permutations(range(num_frames)))


def permutations_of_degree(num_frames: int, degree: int) -> list[tuple[int, ...]]:
    orders = all_permutations(num_frames)
    return [order for order, found in zip(orders, shuffle_degree(orders), strict=True) if found == degree]


def count_displaced(order: tuple[int, ...]) -> int:
    return sum(frame != place for place, frame in enumerate(order))


@pytest.mark.parametrize("num_frames", [*range(4, 20), 64, 65])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_shuffles_have_the_degree_they_say(num_frames: int, config: ShuffleConfig) -> None:
    shuffles = sample_shuffles(num_frames, RowGenerator(range(200)), config)
    assert shuffles.order_BT.shape == (200, num_frames)
    assert shuffles.order_BT.dtype == shuffles.degree_B.dtype == np.int64
    assert shuffle_degree(shuffles.order_BT).tolist() == shuffles.degree_B.tolist()


def test_a_key_gives_the_same_shuffle_on_every_machine() -> None:
    # The literals were computed once; other values would change the runs of every seed.
    exact = sample_shuffles(6, RowGenerator([7, 8]), ShuffleConfig(metropolis_steps=2))
    plain = sample_shuffles(6, RowGenerator([7, 8]), ShuffleConfig(preset="plain"))
    assert exact.order_BT.tolist() == [[1, 0, 2, 3, 4, 5], [3, 1, 0, 2, 4, 5]]
    assert plain.order_BT.tolist() == [[1, 4, 0, 2, 5, 3], [0, 4, 5, 1, 3, 2]]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_clip_is_shuffled_alike_whatever_batch_it_is_in(config: ShuffleConfig) -> None:
    keys = list(range(100, 140))
    together = sample_shuffles(16, RowGenerator(keys), config)
    for row, key in enumerate(keys):
        alone = sample_shuffles(16, RowGenerator([key]), config)
        assert alone.order_BT[0].tolist() == together.order_BT[row].tolist()
        assert alone.degree_B[0] == together.degree_B[row]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_generator_gives_the_same_shuffles_again_and_its_forks_give_others(config: ShuffleConfig) -> None:
    generator = RowGenerator(range(30))
    first = sample_shuffles(16, generator, config)
    again = sample_shuffles(16, generator, config)
    other = sample_shuffles(16, generator.fork("other"), config)
    assert np.array_equal(first.order_BT, again.order_BT)
    # Only the true order, one degree of sixteen, is likely to come twice.
    assert (first.order_BT == other.order_BT).all(axis=1).sum() < 5


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_no_clips_have_no_shuffles(config: ShuffleConfig) -> None:
    shuffles = sample_shuffles(16, RowGenerator([]), config)
    assert shuffles.order_BT.shape == (0, 16)
    assert shuffles.degree_B.shape == (0,)


@pytest.mark.parametrize("num_frames", [4, 5, 16])
def test_all_degrees_are_as_likely(num_frames: int) -> None:
    shuffles = sample_shuffles(num_frames, RowGenerator(range(32_000)), ShuffleConfig())
    degrees = possible_degrees(num_frames)
    assert_counts_follow(dict.fromkeys(degrees, 1 / len(degrees)), shuffles.degree_B.tolist())


@pytest.mark.parametrize(
    ("num_frames", "degree"), [(4, 2), (4, 3), (4, 4), (5, 3), (5, 5), (6, 4), (6, 5), (6, 6), (7, 2)]
)
def test_all_shuffles_that_displace_as_many_frames_as_their_degree_are_as_likely(
    num_frames: int, degree: int
) -> None:
    possible = [
        order for order in permutations_of_degree(num_frames, degree) if count_displaced(order) == degree
    ]
    drawn = sample_shuffles_of_degree(num_frames, np.full(20_000, degree), RowGenerator(range(20_000)))
    assert_counts_follow(dict.fromkeys(possible, 1 / len(possible)), rows_of(drawn))


def test_the_law_is_that_of_random_derangements_of_random_positions() -> None:
    # In plain Python: of 5 frames, all choices of 4 positions, all derangements of them, those of degree 4.
    possible = []
    for places in itertools.combinations(range(5), 4):
        for contents in itertools.permutations(places):
            order = list(range(5))
            for place, frame in zip(places, contents, strict=True):
                order[place] = frame
            is_derangement = all(place != frame for place, frame in zip(places, contents, strict=True))
            if is_derangement and shuffle_degree([order])[0] == 4:
                possible.append(tuple(order))
    drawn = sample_shuffles_of_degree(5, np.full(20_000, 4), RowGenerator(range(20_000)))
    assert_counts_follow(dict.fromkeys(possible, 1 / len(possible)), rows_of(drawn))


def test_a_shuffle_of_each_degree_displaces_as_many_frames() -> None:
    shuffles = sample_shuffles(16, RowGenerator(range(2000)), ShuffleConfig())
    displaced = (shuffles.order_BT != np.arange(16)).sum(axis=1)
    assert displaced.tolist() == shuffles.degree_B.tolist()


def test_every_position_is_displaced_as_often_and_every_frame_is_shown_anywhere() -> None:
    orders = sample_shuffles_of_degree(16, np.full(20_000, 5), RowGenerator(range(20_000)))
    often = (orders != np.arange(16)).mean(axis=0)
    # 5 of 16 positions; the acceptance favours spread ones a little, hence the wide limits.
    assert ((often > 0.29) & (often < 0.335)).all()
    assert len(set(zip(*np.nonzero(orders[:, :, None] == np.arange(16))[1:], strict=True))) == 16 * 16


@pytest.mark.parametrize("preset", ["official", "plain"])
def test_presets_permute_four_frames_by_their_law(preset: str) -> None:
    # k of the n positions, each set with probability 1 / C(n, k), and each of its k! orders.
    shares = dict.fromkeys(all_permutations(4), 0.0)
    counts = range(1, 5) if preset == "official" else [4]
    for count in counts:
        sets = list(itertools.combinations(range(4), count))
        for places, contents in ((s, c) for s in sets for c in itertools.permutations(s)):
            order = list(range(4))
            for place, frame in zip(places, contents, strict=True):
                order[place] = frame
            shares[tuple(order)] += 1 / (len(counts) * len(sets) * math.factorial(count))
    shuffles = sample_shuffles(4, RowGenerator(range(20_000)), ShuffleConfig(preset=preset))  # type: ignore[arg-type]
    assert_counts_follow(shares, rows_of(shuffles.order_BT))


def test_the_official_preset_has_the_degrees_of_the_released_code() -> None:
    shuffles = sample_shuffles(16, RowGenerator(range(100_000)), ShuffleConfig(preset="official"))
    shares = np.bincount(shuffles.degree_B, minlength=17) / 100_000
    assert shares[1] == 0
    for degree, share in OFFICIAL_SHARE.items():
        # The table is rounded to 0.001; the standard deviation of a share is at most 0.001.
        assert shares[degree] == pytest.approx(share, abs=0.0035)


def test_the_plain_preset_nearly_always_has_a_high_degree() -> None:
    shuffles = sample_shuffles(16, RowGenerator(range(50_000)), ShuffleConfig(preset="plain"))
    shares = np.bincount(shuffles.degree_B, minlength=17) / 50_000
    assert shares[12:].sum() == pytest.approx(0.98, abs=0.004)
    for degree, share in PLAIN_SHARE.items():
        assert shares[degree] == pytest.approx(share, abs=0.009)


@pytest.mark.parametrize("num_frames", range(4, 33))
def test_every_degree_is_drawn_where_all_candidates_fail(
    num_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES_PER_ROUND", ())
    degrees = np.repeat(possible_degrees(num_frames), 20)
    orders = sample_shuffles_of_degree(num_frames, degrees, RowGenerator(range(len(degrees))))
    assert shuffle_degree(orders).tolist() == degrees.tolist()


@pytest.mark.parametrize("num_frames", range(4, 8))
def test_every_choice_of_positions_gives_the_degree(num_frames: int) -> None:
    positions = [np.array(order) for order in all_permutations(num_frames)]
    for degree in possible_degrees(num_frames):
        orders = np.array([construct_shuffle(position, degree) for position in positions])
        assert (shuffle_degree(orders) == degree).all()
        # As many frames are displaced as by the other way.
        assert ((orders != np.arange(num_frames)).sum(axis=1) == degree).all()


@given(num_frames=st.integers(4, 90), data=st.data())
def test_the_construction_gives_the_degree(num_frames: int, data: st.DataObject) -> None:
    degree = data.draw(st.sampled_from(possible_degrees(num_frames)))
    position = np.array(data.draw(st.permutations(range(num_frames))))
    assert shuffle_degree(construct_shuffle(position, degree)[None]).tolist() == [degree]


def test_the_construction_is_the_one_of_the_drawing() -> None:
    assert construct_shuffle(np.array([3, 1, 0, 2]), 4).tolist() == [3, 2, 1, 0]
    assert construct_shuffle(np.array([4, 3, 1, 0, 2]), 5).tolist() == [2, 4, 3, 1, 0]
    # Of the positions 0, 2, 3, 5 the order of the first two says which inner one stays: 2 or 3.
    assert construct_shuffle(np.array([5, 2, 0, 3, 1, 4]), 3).tolist() == [3, 1, 2, 5, 4, 0]
    assert construct_shuffle(np.array([2, 5, 0, 3, 1, 4]), 3).tolist() == [2, 1, 5, 3, 4, 0]


def test_constructed_shuffles_differ_from_clip_to_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES_PER_ROUND", ())
    orders = sample_shuffles_of_degree(16, np.full(2000, 2), RowGenerator(range(2000)))
    # Each of the 120 pairs of positions.
    assert len(set(rows_of(orders))) == 120


@pytest.mark.parametrize("rounds", [(1,), (1, 1), (3, 1, 2)])
def test_found_and_constructed_shuffles_go_to_their_own_clips(
    rounds: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES_PER_ROUND", rounds)
    degrees = np.tile(possible_degrees(9), 30)
    orders = sample_shuffles_of_degree(9, degrees, RowGenerator(range(len(degrees))))
    assert shuffle_degree(orders).tolist() == degrees.tolist()


def test_candidates_nearly_never_all_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a shuffle was constructed")

    monkeypatch.setattr(module, "construct_shuffle", refuse)
    # 5 frames of degree 5 are the rarest of all cases.
    for num_frames in (5, 16, 64):
        degrees = np.full(1000, num_frames)
        orders = sample_shuffles_of_degree(num_frames, degrees, RowGenerator(range(1000)))
        assert (shuffle_degree(orders) == num_frames).all()


@pytest.mark.parametrize("num_frames", [4, 7, 16])
def test_steps_keep_the_degree_and_change_the_shuffle(num_frames: int) -> None:
    before = sample_shuffles(num_frames, RowGenerator(range(500)), ShuffleConfig())
    after = sample_shuffles(num_frames, RowGenerator(range(500)), ShuffleConfig(metropolis_steps=20))
    assert before.degree_B.tolist() == after.degree_B.tolist() == shuffle_degree(after.order_BT).tolist()
    is_ordered = before.degree_B == 0
    is_changed = (before.order_BT != after.order_BT).any(axis=1)
    assert not is_changed[is_ordered].any()
    assert is_changed[~is_ordered].mean() > 0.5


def test_only_steps_reach_shuffles_that_shift_all_frames_by_one() -> None:
    rotation = (1, 2, 3, 4, 0)
    generator = RowGenerator(range(3000))
    drawn = sample_shuffles_of_degree(5, np.full(3000, 2), generator)
    assert rotation not in rows_of(drawn)
    assert rotation in rows_of(mix_shuffles(drawn, 30, generator))


@pytest.mark.parametrize(("num_frames", "degree"), [(5, 2), (5, 3), (5, 4), (6, 3)])
def test_many_steps_make_all_shuffles_of_a_degree_as_likely(num_frames: int, degree: int) -> None:
    generator = RowGenerator(range(4000))
    drawn = sample_shuffles_of_degree(num_frames, np.full(4000, degree), generator)
    possible = permutations_of_degree(num_frames, degree)
    shares = dict.fromkeys(possible, 1 / len(possible))
    with pytest.raises(AssertionError):
        assert_counts_follow(shares, rows_of(drawn))
    assert_counts_follow(shares, rows_of(mix_shuffles(drawn, 100, generator)))


def test_a_step_swaps_two_frames_or_moves_one_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every step is accepted, so the order after one of them is what was proposed.
    monkeypatch.setattr(module, "measure_degrees", lambda order_BT: np.zeros(len(order_BT), dtype=np.int64))
    shares: Counter[tuple[int, ...]] = Counter()
    for one, other in itertools.product(range(4), repeat=2):
        swapped = list("abcd")
        swapped[one], swapped[other] = swapped[other], swapped[one]
        moved = list("abcd")
        moved.insert(other, moved.pop(one))
        for order in (swapped, moved):
            shares[tuple("abcd".index(letter) for letter in order)] += 1 / 32
    start = np.tile(np.arange(4), (20_000, 1))
    assert_counts_follow(shares, rows_of(mix_shuffles(start, 1, RowGenerator(range(20_000)))))


def test_steps_leave_the_given_shuffles_alone() -> None:
    orders = sample_shuffles_of_degree(8, np.full(50, 5), RowGenerator(range(50)))
    copy = orders.copy()
    mix_shuffles(orders, 10, RowGenerator(range(50)))
    assert np.array_equal(orders, copy)


@pytest.mark.parametrize("num_frames", [0, 1, 2, 3])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_clips_of_fewer_than_four_frames_are_refused(num_frames: int, config: ShuffleConfig) -> None:
    with pytest.raises(ValueError, match=f"num_frames is {num_frames}; shuffles need clips of at least 4"):
        sample_shuffles(num_frames, RowGenerator(range(3)), config)


@pytest.mark.parametrize("degree", [-1, 1, 9])
def test_degrees_that_no_shuffle_has_are_refused(degree: int) -> None:
    message = f"degree_B holds {degree}; shuffles of 8 frames have the degrees 0 and 2 to 8"
    with pytest.raises(ValueError, match=message):
        sample_shuffles_of_degree(8, np.array([0, 2, degree]), RowGenerator(range(3)))
    with pytest.raises(ValueError, match=message):
        construct_shuffle(np.arange(8), degree)


def test_each_stream_needs_its_degree() -> None:
    with pytest.raises(ValueError, match="degree_B holds 2 degrees for 3 streams; give one for each"):
        sample_shuffles_of_degree(8, np.array([2, 2]), RowGenerator(range(3)))


@pytest.mark.parametrize("preset", ["official", "plain"])
def test_steps_that_would_keep_no_given_degree_are_refused(preset: str) -> None:
    with pytest.raises(
        ValueError, match=f"metropolis_steps is 3 with preset '{preset}'.*set metropolis_steps to 0"
    ):
        ShuffleConfig(preset=preset, metropolis_steps=3)  # type: ignore[arg-type]


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="metropolis_steps is -1; give 0 for none"):
        ShuffleConfig(metropolis_steps=-1)
