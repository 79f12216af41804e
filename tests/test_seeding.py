"""Streams of random numbers depend on their names alone, and are uniform and independent."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.seeding import RowGenerator, build_generator, derive_key

MANY = 20_000
LITERAL_KEY = 9015662052541538205


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_a_key_is_a_63_bit_number() -> None:
    keys = [derive_key("a", number) for number in range(2000)]
    assert min(keys) >= 0
    assert max(keys) < 2**63
    # The top bit is used: a key fits a torch int64 and loses nothing.
    assert max(keys) > 2**62
    assert len(set(keys)) == 2000


def test_a_key_is_the_same_in_every_process() -> None:
    # Python salts hash() per process; a key must not depend on it. The literal was computed once.
    code = "from unreel.seeding import derive_key; print(derive_key(7, 'clip', 3, 'a/b.mp4'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == derive_key(7, "clip", 3, "a/b.mp4") == LITERAL_KEY


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 2), (2, 1)), ((1,), ("1",)), ((12,), (1, 2)), (("ab",), ("a", "b")), ((), (0,)), ((-1,), (1,))],
)
def test_order_type_and_grouping_of_the_parts_matter(one: tuple, other: tuple) -> None:
    assert derive_key(*one) != derive_key(*other)


def test_numpy_integers_count_as_integers() -> None:
    assert derive_key(np.int64(5), "x") == derive_key(5, "x")


@pytest.mark.parametrize("part", [1.5, None, b"x", (1,)])
def test_other_parts_are_refused(part: object) -> None:
    with pytest.raises(TypeError, match="derive_key takes integers and strings, got"):
        derive_key("a", part)  # type: ignore[arg-type]


def test_a_generator_repeats_itself_and_differs_from_others() -> None:
    assert np.array_equal(build_generator(1, "a").random(5), build_generator(1, "a").random(5))
    assert not np.array_equal(build_generator(1, "a").random(5), build_generator(1, "b").random(5))


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6), st.data())
def test_a_row_does_not_depend_on_the_rows_beside_it(keys: list[int], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(keys) - 1))
    batch, alone = RowGenerator(keys), RowGenerator([keys[row]])
    for draw in (
        lambda rows: rows.uniform(-2, 3),
        lambda rows: rows.integers(7),
        lambda rows: rows.bernoulli(0.3),
        lambda rows: rows.permutations(5),
        lambda rows: rows.log_uniform(0.1, 10),
        lambda rows: rows.fork("x").uniform(),
    ):
        assert np.array_equal(draw(batch)[row], draw(alone)[0])
    copies = batch.repeat(3).uniform().reshape(len(keys), 3)
    assert np.array_equal(copies[row], alone.repeat(3).uniform())


def test_rows_with_one_key_agree_and_draws_move_on() -> None:
    rows = RowGenerator([5, 5, 6])
    first, second = rows.uniform(), rows.uniform()
    assert first[0] == first[1] != first[2]
    assert (first != second).all()


def test_a_fork_depends_on_its_purpose_and_leaves_its_parent_alone() -> None:
    parent, twin = RowGenerator([1, 2]), RowGenerator([1, 2])
    fork = parent.fork("blur")
    assert np.array_equal(fork.uniform(), twin.fork("blur").uniform())
    assert not np.array_equal(twin.fork("blur").uniform(), twin.fork("flip").uniform())
    assert np.array_equal(parent.uniform(), twin.uniform())


def test_streams_do_not_run_into_each_other() -> None:
    """SplitMix64 adds one constant per draw; keys that differ by it must not be the same stream, shifted."""
    key = 2**63 - 10
    rows = RowGenerator([key, (key + 0x9E3779B97F4A7C15) % 2**64])
    draws = np.stack([rows.uniform() for _ in range(4)])
    assert not np.isin(draws[:, 0], draws[:, 1]).any()


def test_forks_and_copies_are_uncorrelated() -> None:
    keys = [derive_key("row", number) for number in range(MANY)]
    rows = RowGenerator(keys)
    blur, flip = rows.fork("blur").uniform(), rows.fork("flip").uniform()
    copies = rows.repeat(2).uniform().reshape(-1, 2)
    own = rows.uniform()
    following = rows.uniform()
    # The correlation of n independent pairs has standard deviation 1 / sqrt(n); five of them bound it.
    bound = 5 / MANY**0.5
    for one, other in [
        (blur, flip),
        (blur, own),
        (copies[:, 0], copies[:, 1]),
        (copies[:, 0], own),
        (own, following),
    ]:
        assert abs(np.corrcoef(one, other)[0, 1]) < bound


@pytest.mark.parametrize(
    "keys", [range(MANY), [derive_key("row", n) for n in range(MANY)]], ids=["small", "derived"]
)
def test_numbers_are_uniform_over_rows(keys: list[int]) -> None:
    """Keys that are mere counters are mixed well enough too."""
    draws = RowGenerator(list(keys)).uniform()
    assert draws.min() >= 0
    assert draws.max() < 1
    # Chi-square with 99 degrees of freedom exceeds 148.2 once in a thousand.
    assert chi_square(np.bincount((draws * 100).astype(int), minlength=100)) < 148.2


def test_numbers_are_uniform_over_draws() -> None:
    rows = RowGenerator([123])
    draws = np.concatenate([rows.uniform() for _ in range(MANY)])
    assert chi_square(np.bincount((draws * 100).astype(int), minlength=100)) < 148.2


def test_uniform_fills_the_interval_asked_for() -> None:
    draws = RowGenerator(range(5000)).uniform(-2.0, 6.0)
    assert draws.min() >= -2
    assert draws.max() < 6
    assert abs(draws.mean() - 2) < 0.15


def test_log_uniform_is_uniform_in_the_logarithm() -> None:
    draws = RowGenerator(range(MANY)).log_uniform(0.1, 10.0)
    assert draws.min() >= 0.1 - 1e-12
    assert draws.max() < 10.0
    # Half of the logarithms lie below log 1 = 0.
    assert abs((draws < 1).mean() - 0.5) < 0.02


def test_integers_are_uniform_and_may_differ_in_range_by_row() -> None:
    counts = np.bincount(RowGenerator(range(MANY)).integers(8), minlength=8)
    # Chi-square with 7 degrees of freedom exceeds 24.3 once in a thousand.
    assert len(counts) == 8
    assert chi_square(counts) < 24.3
    limits = np.array([1, 2, 1000])
    draws = np.stack([rows.integers(limits) for rows in [RowGenerator([1, 2, 3])] for _ in range(200)])
    assert (draws < limits).all()
    assert (draws[:, 0] == 0).all()
    assert draws[:, 2].max() > 900


def test_bernoulli_says_yes_as_often_as_asked() -> None:
    rows = RowGenerator(range(MANY))
    assert abs(rows.bernoulli(0.3).mean() - 0.3) < 0.02
    assert not rows.bernoulli(0.0).any()
    assert rows.bernoulli(1.0).all()


def test_permutations_are_permutations_and_uniform() -> None:
    draws = RowGenerator(range(MANY)).permutations(4)
    assert draws.shape == (MANY, 4)
    assert (np.sort(draws, axis=1) == np.arange(4)).all()
    names = draws @ np.array([1000, 100, 10, 1])
    _, counts = np.unique(names, return_counts=True)
    # 24 permutations; chi-square with 23 degrees of freedom exceeds 49.7 once in a thousand.
    assert len(counts) == 24
    assert chi_square(counts) < 49.7


def test_the_number_of_rows_is_known() -> None:
    assert RowGenerator([1, 2, 3]).num_rows == 3
    assert RowGenerator([1, 2, 3]).repeat(4).num_rows == 12
    assert RowGenerator([]).uniform().shape == (0,)
