import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unreel.search.engine import NO_KEY, ExactEngine, merge_found
from unreel.search.exact import inverse_norms

KEYS = np.array([3, 5, 8, 9])
VECTORS = np.array([[1, 0], [0, 1], [-1, 0], [2, 2]], dtype=np.float32)
QUERY = np.array([[1, 0]], dtype=np.float32)


def test_keys_stand_for_rows_best_first() -> None:
    """cos((1, 0), (2, 2)) = 1 / sqrt 2."""
    scores, keys = ExactEngine(KEYS, VECTORS).search(QUERY, 4)
    assert keys.tolist() == [[3, 9, 5, 8]]
    np.testing.assert_allclose(scores, [[1.0, 0.70710678, 0.0, -1.0]], rtol=1e-6)
    assert (scores.dtype, keys.dtype) == (np.float32, np.int64)


def test_places_that_nothing_fills_are_marked() -> None:
    scores, keys = ExactEngine(KEYS, VECTORS).search(QUERY, 6)
    assert keys.tolist() == [[3, 9, 5, 8, NO_KEY, NO_KEY]]
    assert scores[0, 4:].tolist() == [-np.inf, -np.inf]


def test_only_allowed_keys_are_found_and_others_may_be_among_them() -> None:
    engine = ExactEngine(KEYS, VECTORS)
    scores, keys = engine.search(QUERY, 3, np.array([1, 5, 8, 77]))
    assert keys.tolist() == [[5, 8, NO_KEY]]
    assert scores.tolist() == [[0.0, -1.0, -np.inf]]
    assert engine.search(QUERY, 1, np.array([8]))[1].tolist() == [[8]]
    assert engine.search(QUERY, 1, np.array([], dtype=np.int64))[1].tolist() == [[NO_KEY]]
    assert engine.search(QUERY, 1)[1].tolist() == [[3]]


def test_an_array_asked_for_again_means_the_same_and_another_one_does_not() -> None:
    engine = ExactEngine(KEYS, VECTORS)
    for _ in range(2):
        for key in (5, 8):
            allowed = np.array([key])
            assert engine.search(QUERY, 1, allowed)[1].tolist() == [[key]]
            assert engine.search(QUERY, 1, allowed)[1].tolist() == [[key]]


def test_an_engine_without_vectors_finds_nothing() -> None:
    engine = ExactEngine(np.empty(0, dtype=np.int64), np.empty((0, 2), dtype=np.float32))
    scores, keys = engine.search(QUERY, 2)
    assert (keys.tolist(), scores.tolist()) == ([[NO_KEY, NO_KEY]], [[-np.inf, -np.inf]])
    assert engine.name == "exact"


def test_equal_scores_are_ordered_by_key() -> None:
    same = np.ones((5, 2), dtype=np.float32)
    assert ExactEngine(np.array([2, 4, 6, 7, 9]), same).search(QUERY, 3)[1].tolist() == [[2, 4, 6]]


def test_scales_that_are_known_give_the_same() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    queries = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    keys = np.arange(50)
    known = ExactEngine(keys, vectors, inverse_norms(vectors, "gallery")).search(queries, 7)
    for mine, theirs in zip(known, ExactEngine(keys, vectors).search(queries, 7), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def build_rows(seed: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return ascending keys, and vectors along the axes: cosines are exact, so ties abound."""
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.choice(200, rows, replace=False)).astype(np.int64)
    vectors = np.zeros((rows, 3), dtype=np.float32)
    vectors[np.arange(rows), rng.integers(0, 3, rows)] = rng.choice([-2.0, 0.0, 1.0, 4.0], rows)
    return keys, vectors


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 40), st.floats(0, 1))
def test_parts_find_together_what_the_whole_finds(seed: int, rows: int, top_k: int, share: float) -> None:
    keys, vectors = build_rows(seed, rows)
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, size=(3, 3)).astype(np.float32)
    allowed = np.flatnonzero(rng.random(200) < share)
    cut = int(rng.integers(0, rows + 1))
    halves = [ExactEngine(keys[part], vectors[part]) for part in (slice(cut), slice(cut, None))]
    whole = ExactEngine(keys, vectors).search(queries, top_k, allowed)
    merged = merge_found([half.search(queries, top_k, allowed) for half in halves], top_k)
    np.testing.assert_array_equal(merged[1], whole[1])
    np.testing.assert_array_equal(merged[0], whole[0])


def test_merging_orders_equal_scores_by_key_and_keeps_what_is_asked_for() -> None:
    one = (np.array([[0.5, 0.25, -np.inf]], np.float32), np.array([[7, 2, NO_KEY]]))
    other = (np.array([[0.5, 0.5, -1.0]], np.float32), np.array([[3, 9, 4]]))
    scores, keys = merge_found([one, other], 5)
    assert keys.tolist() == [[3, 7, 9, 2, 4]]
    assert scores.tolist() == [[0.5, 0.5, 0.5, 0.25, -1.0]]
    assert merge_found([one, other], 6)[1][0, 5] == NO_KEY


def test_a_query_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="queries have 3 features, the gallery has 2"):
        ExactEngine(KEYS, VECTORS).search(np.ones((1, 3), dtype=np.float32), 1)
