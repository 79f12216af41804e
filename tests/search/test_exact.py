import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unreel.search import exact
from unreel.search.exact import ExactIndex

# Small whole numbers: products and sums are exact, so equal scores are equal to the bit.
matrices = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(1, 12), st.integers(1, 40), st.integers(1, 5))
)


def rank_naively(query: NDArray[np.float32], gallery: NDArray[np.float32], top_k: int) -> list[int]:
    """Sort all rows by cosine, then by number, with no matrix algebra."""
    cosines = []
    for row in gallery:
        dot = sum(float(a) * float(b) for a, b in zip(query, row, strict=True))
        norms = sum(float(a) ** 2 for a in query) ** 0.5 * sum(float(b) ** 2 for b in row) ** 0.5
        cosines.append(dot / norms if norms else 0.0)
    return sorted(range(len(gallery)), key=lambda row: (-cosines[row], row))[:top_k]


def unit_axes(rng: np.random.Generator, rows: int, size: int) -> NDArray[np.float32]:
    """Return rows along the axes, some of them zero: cosines are -1, 0 or 1 exactly, so ties abound."""
    matrix = np.zeros((rows, size), dtype=np.float32)
    matrix[np.arange(rows), rng.integers(0, size, rows)] = rng.choice([-2.0, 0.0, 1.0, 4.0], rows)
    return matrix


@given(matrices)
def test_the_answer_is_that_of_a_plain_sort_ties_by_lowest_row(case: tuple[int, int, int, int]) -> None:
    seed, num_queries, num_rows, size = case
    rng = np.random.default_rng(seed)
    gallery, queries = unit_axes(rng, num_rows, size), unit_axes(rng, num_queries, size)
    top_k = int(rng.integers(1, num_rows + 1))
    scores, rows = ExactIndex(gallery).search(queries, top_k)
    for query, found in zip(queries, rows, strict=True):
        assert found.tolist() == rank_naively(query, gallery, top_k)
    assert (np.diff(scores, axis=1) <= 0).all()


@given(matrices)
def test_blocks_change_nothing(case: tuple[int, int, int, int]) -> None:
    seed, num_queries, num_rows, size = case
    rng = np.random.default_rng(seed)
    gallery, queries = unit_axes(rng, num_rows, size), unit_axes(rng, num_queries, size)
    top_k = int(rng.integers(1, num_rows + 1))
    whole = ExactIndex(gallery).search(queries, top_k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_GALLERY_BLOCK", int(rng.integers(1, 9)))
        patch.setattr(exact, "_QUERY_BLOCK", int(rng.integers(1, 5)))
        blocked = ExactIndex(gallery).search(queries, top_k)
    np.testing.assert_array_equal(whole[0], blocked[0])
    np.testing.assert_array_equal(whole[1], blocked[1])


def test_real_vectors_over_several_blocks_are_ranked_as_in_double_precision() -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(20_000, 4)).astype(np.float32)
    queries = rng.normal(size=(60, 4)).astype(np.float32)
    scores, rows = ExactIndex(gallery).search(queries, 7)
    unit = [matrix / np.linalg.norm(matrix, axis=1, keepdims=True) for matrix in (queries, gallery)]
    cosines = unit[0].astype(np.float64) @ unit[1].T.astype(np.float64)
    expected = -np.sort(-cosines, axis=1)[:, :7]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, rows, axis=1), expected, atol=1e-6)


def test_a_worked_example() -> None:
    """cos((1, 0), (1, 1)) = 1 / sqrt 2; (5, 0) points the same way as the query; (-1, 0) the other way."""
    scores, rows = ExactIndex([[1.0, 1.0], [-1.0, 0.0], [5.0, 0.0]]).search([[1.0, 0.0]], 3)
    assert rows.tolist() == [[2, 0, 1]]
    np.testing.assert_allclose(scores, [[1.0, 0.70710678, -1.0]], rtol=1e-6)
    assert scores.dtype == np.float32
    assert rows.dtype == np.int64


def test_lengths_do_not_matter_even_extreme_ones() -> None:
    gallery = np.array([[3e19, 0.0], [1e-19, 1e-19], [0.0, 2.0]], dtype=np.float32)
    scores, rows = ExactIndex(gallery).search([[1e-15, 0.0]], 3)
    assert rows.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(scores, [[1.0, 0.70710678, 0.0]], rtol=1e-5, atol=1e-7)


def test_a_vector_of_zeros_resembles_everything_equally() -> None:
    scores, rows = ExactIndex([[0.0, 0.0], [1.0, 2.0]]).search([[0.0, 0.0], [-1.0, -2.0]], 2)
    np.testing.assert_allclose(scores, [[0.0, 0.0], [0.0, -1.0]], atol=1e-6)
    assert rows.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_its_row(value: float) -> None:
    gallery = np.ones((9, 2), dtype=np.float32)
    gallery[6, 1] = value
    with pytest.raises(ValueError, match="gallery vector 6 holds NaN or infinity"):
        ExactIndex(gallery)
    with pytest.raises(ValueError, match="query vector 6 holds NaN or infinity"):
        ExactIndex(np.ones((2, 2))).search(gallery, 1)


@pytest.mark.parametrize("top_k", [0, 3])
def test_more_neighbours_than_rows_are_refused(top_k: int) -> None:
    with pytest.raises(
        ValueError, match=f"top_k must be between 1 and the 2 rows of the gallery, got {top_k}"
    ):
        ExactIndex([[1.0], [2.0]]).search([[1.0]], top_k)


def test_queries_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="queries have 3 features, the gallery has 2"):
        ExactIndex([[1.0, 2.0]]).search([[1.0, 2.0, 3.0]], 1)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (3,), (1, 2, 3)])
def test_what_is_no_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be a matrix with at least one row and column"):
        ExactIndex(np.zeros(shape))


def test_the_gallery_may_be_write_protected_and_is_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "gallery.npy", np.eye(3, dtype=np.float32))
    gallery = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    index = ExactIndex(gallery)
    assert np.shares_memory(index._vectors_GD, gallery)
    assert index.search([[0.0, 1.0, 0.0]], 1)[1].tolist() == [[1]]
    assert (len(index), index.dimension) == (3, 3)


def test_memory_does_not_grow_with_queries_times_gallery() -> None:
    """All scores at once would take 40,000 x 1,500 x 4 bytes = 240 MB."""
    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(size=(rows, 4)).astype(np.float32) for rows in (40_000, 1_500))
    index = ExactIndex(gallery)
    tracemalloc.start()
    try:
        index.search(queries, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 16e6 < peak < 40e6


@pytest.mark.parametrize("gallery_block", [3, 8192])
@given(matrices)
def test_of_allowed_rows_the_answer_is_that_of_a_gallery_of_them_alone(
    gallery_block: int, case: tuple[int, int, int, int]
) -> None:
    seed, num_queries, num_rows, size = case
    rng = np.random.default_rng(seed)
    gallery, queries = unit_axes(rng, num_rows, size), unit_axes(rng, num_queries, size)
    allowed = rng.random(num_rows) < rng.choice([0.1, 0.5, 1.0])
    top_k, count = int(rng.integers(1, num_rows + 1)), int(allowed.sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_GALLERY_BLOCK", gallery_block)
        scores, rows = ExactIndex(gallery).search(queries, top_k, allowed_G=allowed)
    kept = np.flatnonzero(allowed)
    for query, found, own in zip(queries, rows, scores, strict=True):
        expected = [int(kept[place]) for place in rank_naively(query, gallery[kept], top_k)]
        assert found.tolist() == expected + [-1] * (top_k - len(expected))
        assert np.isneginf(own[count:]).all()
        assert np.isfinite(own[:count]).all()


def test_nothing_allowed_is_nothing_found() -> None:
    """Of 3 rows that are asked for, row 2 alone may be found; cos((1, 0), (1, 1)) = 1 / sqrt 2."""
    index = ExactIndex([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    scores, rows = index.search([[1.0, 0.0]], 3, allowed_G=np.array([False, False, True]))
    assert rows.tolist() == [[2, -1, -1]]
    np.testing.assert_allclose(scores, [[0.70710678, -np.inf, -np.inf]], rtol=1e-6)
    assert index.search([[1.0, 0.0]], 2, allowed_G=np.zeros(3, dtype=bool))[1].tolist() == [[-1, -1]]


def test_scales_that_are_given_are_used() -> None:
    """Twice the true scale of a row makes twice its score."""
    gallery = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    scales = exact.inverse_norms(gallery, "gallery")
    np.testing.assert_allclose(scales, [0.2, 0.0], rtol=1e-6)
    np.testing.assert_allclose(
        ExactIndex(gallery, scales).search([[0.0, 2.0]], 2)[0], [[0.8, 0.0]], rtol=1e-6
    )
    np.testing.assert_allclose(ExactIndex(gallery, 2 * scales).search([[0.0, 2.0]], 1)[0], [[1.6]], rtol=1e-6)


@pytest.mark.parametrize("num_queries", [1, 3])
@pytest.mark.parametrize("rows", [slice(None), slice(None, None, 2), slice(None, None, -1)])
def test_a_gallery_may_be_any_view_of_memory_write_protected_or_not(num_queries: int, rows: slice) -> None:
    matrix = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    queries = matrix[7 : 7 + num_queries]
    expected = ExactIndex(matrix[rows].copy()).search(queries, 4)
    for is_writeable in (True, False):
        matrix.flags.writeable = is_writeable
        scores, found = ExactIndex(matrix[rows]).search(queries, 4)
        np.testing.assert_array_equal(found, expected[1])
        np.testing.assert_allclose(scores, expected[0], atol=1e-6)


def test_memory_of_one_search_is_given_back_at_once() -> None:
    """Scores take 16 MB; tensors over numpy's memory must not hold it until rubbish is collected."""
    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(size=(rows, 4)).astype(np.float32) for rows in (10_000, 512))
    gallery.flags.writeable = queries.flags.writeable = False
    index = ExactIndex(gallery)
    tracemalloc.start()
    try:
        for _ in range(3):
            index.search(queries, 5)
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < 1e6
