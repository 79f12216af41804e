import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.caches import build_cache, draw_clustered
from unreel.search import approximate
from unreel.search.approximate import ApproximateEngine, Effort, find_rows
from unreel.search.codes import Codes
from unreel.search.engine import NO_KEY, ExactEngine
from unreel.search.vector_cache import VectorCache

ROWS, SIZE, LISTS = 3000, 32, 16
GENEROUS = Effort(num_candidates=600, num_probes=LISTS)


@pytest.fixture(scope="module")
def cache() -> VectorCache:
    """Keys are 3, 5, 7, ...: no row number is one by chance."""
    return build_cache(draw_clustered(ROWS, SIZE), 2 * np.arange(ROWS) + 3)


@pytest.fixture(scope="module", params=[0, LISTS], ids=["flat", "lists"])
def codes(request: pytest.FixtureRequest, cache: VectorCache) -> Codes:
    codes = Codes.train(cache.vectors, cache.scales, num_lists=request.param)
    codes.add(cache.keys, cache.vectors, cache.scales)
    return codes


def build_exact(cache: VectorCache) -> ExactEngine:
    return ExactEngine(cache.keys, cache.vectors, cache.scales)


def test_scores_are_the_true_cosines_in_order(codes: Codes, cache: VectorCache) -> None:
    queries = 7 * cache.vectors[:20] + 0.1
    scores, keys = ApproximateEngine(codes, cache, Effort(30, 2)).search(queries, 5)
    for query, own_scores, own_keys in zip(queries, scores, keys, strict=True):
        vectors = cache.vectors[(own_keys - 3) // 2]
        cosines = vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))
        np.testing.assert_allclose(own_scores, cosines, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_with_enough_effort_the_answer_is_that_of_exact_search(codes: Codes, cache: VectorCache) -> None:
    queries = cache.vectors[100:130]
    found = ApproximateEngine(codes, cache, GENEROUS).search(queries, 10)
    expected = build_exact(cache).search(queries, 10)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)


def test_more_neighbours_take_more_candidates(codes: Codes, cache: VectorCache) -> None:
    engine = ApproximateEngine(codes, cache, Effort(30, LISTS, top_k=10))
    _, keys = engine.search(cache.vectors[:5], 100)
    assert (keys != NO_KEY).all()


@pytest.mark.parametrize("share", [1, 0.5])
def test_as_many_as_are_asked_for_are_found(codes: Codes, cache: VectorCache, share: float) -> None:
    """A list holds some two hundred vectors, so no single one holds a thousand neighbours."""
    engine = ApproximateEngine(codes, cache, Effort(30, 1, top_k=10))
    allowed = None if share == 1 else cache.keys[: int(share * ROWS)]
    for top_k in (1000, int(share * ROWS)):
        _, keys = engine.search(cache.vectors[:3], top_k, allowed)
        assert (keys != NO_KEY).all()
    np.testing.assert_array_equal(keys, build_exact(cache).search(cache.vectors[:3], top_k, allowed)[1])


@pytest.mark.parametrize("share", [1, 0.5])
def test_where_codes_give_too_few_all_are_compared(codes: Codes, cache: VectorCache, share: float) -> None:
    """As where the lists that are looked at are short."""
    engine = ApproximateEngine(codes, cache, Effort(5, 1, top_k=50))
    allowed = None if share == 1 else cache.keys[: int(share * ROWS)]
    _, keys = engine.search(cache.vectors[:3], 50, allowed)
    np.testing.assert_array_equal(keys, build_exact(cache).search(cache.vectors[:3], 50, allowed)[1])


def test_more_neighbours_take_more_lists(cache: VectorCache) -> None:
    """A query's cluster has twenty vectors; the next eighty lie in other clusters, and so in other lists."""
    codes = Codes.train(cache.vectors, cache.scales, num_lists=LISTS)
    codes.add(cache.keys, cache.vectors, cache.scales)
    queries = cache.vectors[:20]
    found = ApproximateEngine(codes, cache, Effort(600, 1, top_k=10)).search(queries, 100)[1]
    expected = build_exact(cache).search(queries, 100)[1]
    assert np.mean([np.isin(own, true).mean() for own, true in zip(found, expected, strict=True)]) > 0.9


def test_places_that_cannot_be_filled_are_marked() -> None:
    cache = build_cache(draw_clustered(40, SIZE))
    codes = Codes.train(cache.vectors, cache.scales)
    codes.add(cache.keys, cache.vectors, cache.scales)
    scores, keys = ApproximateEngine(codes, cache, Effort(50)).search(cache.vectors[:2], 60)
    assert (keys[:, :40] != NO_KEY).all()
    assert (keys[:, 40:] == NO_KEY).all()
    assert np.isneginf(scores[:, 40:]).all()


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01])
def test_only_allowed_vectors_are_found_and_the_nearest_of_them(
    codes: Codes, cache: VectorCache, share: float
) -> None:
    rng = np.random.default_rng(0)
    allowed = np.sort(rng.choice(cache.keys, int(share * ROWS), replace=False))
    strangers = np.sort(np.append(allowed, [4, 10**9]))  # keys of vectors that came later
    queries = cache.vectors[:20]
    _, keys = ApproximateEngine(codes, cache, Effort(300, 3)).search(queries, 10, strangers)
    _, expected = build_exact(cache).search(queries, 10, allowed)
    assert np.isin(keys, allowed).all()
    assert np.mean([np.isin(own, true).mean() for own, true in zip(keys, expected, strict=True)]) > 0.9


def test_few_allowed_vectors_are_all_compared(cache: VectorCache, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = Codes.train(cache.vectors, cache.scales)
    codes.add(cache.keys, cache.vectors, cache.scales)
    engine = ApproximateEngine(codes, cache, Effort(10))

    def refuse(*_: object) -> None:
        raise AssertionError("codes were looked at")

    monkeypatch.setattr(codes, "search", refuse)
    few = cache.keys[: int(approximate.EXACT_SHARE * ROWS)]
    assert np.isin(engine.search(cache.vectors[:1], 10, few)[1], few).all()
    with pytest.raises(AssertionError, match="codes were looked at"):
        engine.search(cache.vectors[:1], 10, cache.keys[: len(few) + 1])


def test_nothing_allowed_finds_nothing(codes: Codes, cache: VectorCache) -> None:
    engine = ApproximateEngine(codes, cache, GENEROUS)
    _, keys = engine.search(cache.vectors[:1], 3, np.empty(0, dtype=np.int64))
    assert (keys == NO_KEY).all()


def test_codes_of_vectors_that_are_gone_are_passed_over(codes: Codes, cache: VectorCache) -> None:
    """Every second vector has left the cache; rows have moved, keys have not."""
    left = build_cache(cache.vectors[1::2], cache.keys[1::2])
    engine = ApproximateEngine(codes, left, GENEROUS)
    queries = cache.vectors[-20:]  # the last row is what a place of -1 would stand for
    np.testing.assert_array_equal(engine.search(queries, 5)[1], build_exact(left).search(queries, 5)[1])
    allowed = left.keys[:900]
    expected = build_exact(left).search(queries, 5, allowed)[1]
    np.testing.assert_array_equal(engine.search(queries, 5, allowed)[1], expected)


def test_equal_scores_are_ordered_by_key() -> None:
    vectors = np.tile(draw_clustered(20, SIZE), (3, 1))
    cache = build_cache(vectors)
    codes = Codes.train(cache.vectors, cache.scales)
    codes.add(cache.keys, cache.vectors, cache.scales)
    _, keys = ApproximateEngine(codes, cache, Effort(60)).search(cache.vectors[:4], 3)
    assert keys.tolist() == [[row + 1, row + 21, row + 41] for row in range(4)]


def test_it_says_how_it_searches(codes: Codes, cache: VectorCache) -> None:
    name = ApproximateEngine(codes, cache, Effort(50, 2)).name
    assert name == ("approximate (RaBitQ, 2 of 16 lists)" if codes.num_lists else "approximate (RaBitQ)")


@given(st.sets(st.integers(1, 30)), st.sets(st.integers(1, 30)))
def test_rows_of_keys_are_those_of_a_dictionary(wanted: set[int], there: set[int]) -> None:
    places = {key: row for row, key in enumerate(sorted(there))}
    found = find_rows(np.array(sorted(wanted), dtype=np.int64), np.array(sorted(there), dtype=np.int64))
    assert found.tolist() == [places.get(key, -1) for key in sorted(wanted)]
