import io
import tracemalloc

import faiss
import numpy as np
import pytest

from tests.search.caches import build_cache, draw_clustered, draw_random
from unreel.search.codes import Codes
from unreel.search.vector_cache import VectorCache

ROWS, SIZE, LISTS = 3000, 64, 16


@pytest.fixture(scope="module")
def cache() -> VectorCache:
    return build_cache(draw_clustered(ROWS, SIZE))


@pytest.fixture(scope="module", params=[0, LISTS], ids=["flat", "lists"])
def codes(request: pytest.FixtureRequest, cache: VectorCache) -> Codes:
    return encode(cache, num_lists=request.param)


def encode(cache: VectorCache, num_lists: int = 0, seed: int = 0) -> Codes:
    codes = Codes.train(cache.vectors, cache.scales, num_lists=num_lists, seed=seed)
    codes.add(cache.keys, cache.vectors, cache.scales)
    return codes


def unit_vectors(cache: VectorCache, rows: slice) -> np.ndarray:
    return cache.vectors[rows] * cache.scales[rows, None]


def test_a_code_tells_which_vectors_are_near(codes: Codes, cache: VectorCache) -> None:
    """Each vector has about twenty near ones among 3000: its best 100 candidates hold the ten nearest."""
    unit = unit_vectors(cache, slice(50))
    cosines = unit @ unit_vectors(cache, slice(None)).T
    candidates = codes.search(unit, 100, LISTS)
    nearest = np.argsort(-cosines, axis=1)[:, :10]
    found = [len(set(a) & set(b)) for a, b in zip(nearest.tolist(), candidates.tolist(), strict=True)]
    assert np.mean(found) > 9


def test_a_vector_is_the_first_candidate_of_itself_whatever_its_length(
    codes: Codes, cache: VectorCache
) -> None:
    longer = build_cache(cache.vectors * np.linspace(0.01, 100, ROWS, dtype=np.float32)[:, None])
    for vectors in (cache, longer):
        own = encode(vectors, codes.num_lists)
        first = own.search(unit_vectors(cache, slice(40)), 3, LISTS)
        assert np.mean([row in found for row, found in enumerate(first.tolist())]) > 0.9


def test_only_allowed_codes_are_found_and_what_is_missing_is_marked(codes: Codes, cache: VectorCache) -> None:
    allowed = np.zeros(ROWS, dtype=bool)
    allowed[[5, 17, 2999]] = True
    found = codes.search(unit_vectors(cache, slice(4)), 6, LISTS, allowed)
    assert {tuple(sorted(row)) for row in found.tolist()} == {(-1, -1, -1, 5, 17, 2999)}


def test_more_probes_find_more(cache: VectorCache) -> None:
    codes = encode(cache, num_lists=LISTS)
    counts = [
        (codes.search(unit_vectors(cache, slice(9)), ROWS, probes) >= 0).sum() for probes in (1, 4, LISTS)
    ]
    assert counts[0] < counts[1] < counts[2] == 9 * ROWS
    assert (codes.search(unit_vectors(cache, slice(9)), ROWS, 1000) >= 0).all()


def test_the_lists_of_a_query_are_those_of_the_nearest_centres(cache: VectorCache) -> None:
    codes = encode(cache, num_lists=LISTS)
    centres = codes._index.quantizer.reconstruct_n(0, LISTS)
    unit = unit_vectors(cache, slice(20))
    np.testing.assert_array_equal(codes.find_lists(unit, 3), np.argsort(-(unit @ centres.T), axis=1)[:, :3])


def test_codes_are_the_same_when_vectors_come_in_parts(codes: Codes, cache: VectorCache) -> None:
    parts = Codes.train(cache.vectors, cache.scales, num_lists=codes.num_lists)
    for part in (slice(0, 1000), slice(1000, ROWS)):
        parts.add(cache.keys[part], cache.vectors[part], cache.scales[part])
    assert (len(parts), parts.num_lists) == (len(codes), codes.num_lists)
    np.testing.assert_array_equal(parts.keys_A, cache.keys)
    unit = unit_vectors(cache, slice(10))
    np.testing.assert_array_equal(parts.search(unit, 50, 4), codes.search(unit, 50, 4))


def test_what_was_written_is_read(codes: Codes, cache: VectorCache) -> None:
    file = io.BytesIO()
    codes.write(file)
    file.seek(0)
    again = Codes.read(file, cache.keys, SIZE)
    assert again is not None
    assert again.num_lists == codes.num_lists
    unit = unit_vectors(cache, slice(10))
    np.testing.assert_array_equal(again.search(unit, 50, 4), codes.search(unit, 50, 4))
    again.add(np.array([ROWS + 1]), cache.vectors[:1], cache.scales[:1])
    assert len(again) == ROWS + 1


def test_what_is_no_codes_of_these_keys_is_not_taken(codes: Codes, cache: VectorCache) -> None:
    file = io.BytesIO()
    codes.write(file)
    flat = faiss.IndexFlatIP(SIZE)
    flat.add(cache.vectors)
    other = io.BytesIO(faiss.serialize_index(flat).tobytes())
    assert Codes.read(other, cache.keys, SIZE) is None
    assert Codes.read(io.BytesIO(b"nonsense"), cache.keys, SIZE) is None
    for keys, size in ((cache.keys[:-1], SIZE), (cache.keys, SIZE + 1)):
        file.seek(0)
        assert Codes.read(file, keys, size) is None


def test_the_size_is_about_that_of_the_file(codes: Codes) -> None:
    """64 numbers are 8 bytes of code and 8 of factors, 8 are the key; lists add 8 and their centres."""
    file = io.BytesIO()
    codes.write(file)
    expected = ROWS * 24 if not codes.num_lists else ROWS * 32 + LISTS * SIZE * 4
    assert codes.count_bytes() == expected
    assert abs(file.tell() + 8 * ROWS - expected) < 2000


def test_one_seed_gives_one_training(cache: VectorCache) -> None:
    unit = unit_vectors(cache, slice(10))
    first, again, other = (encode(cache, LISTS, seed).find_lists(unit, LISTS) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_vectors_are_copied_some_at_a_time() -> None:
    """40,000 vectors of 64 numbers are 10 MB, a block of 32,768 is 8 MB; the memory of faiss is not seen."""
    cache = build_cache(draw_random(40_000, SIZE))
    codes = Codes.train(cache.vectors[:1000], cache.scales[:1000])
    told: list[tuple[int, int]] = []
    tracemalloc.start()
    try:
        codes.add(
            cache.keys, cache.vectors, cache.scales, lambda done, total, note: told.append((done, total))
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 9.5e6
    assert told == [(32_768, 40_000), (40_000, 40_000)]
