"""Choose how an index is searched: the fastest way that finds enough of the true neighbours."""

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unreel.errors import SearchError
from unreel.progress import Progress, ignore_progress
from unreel.search.approximate import ApproximateEngine, Effort
from unreel.search.codes import Codes
from unreel.search.engine import ExactEngine
from unreel.search.exact import inverse_norms
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_store import IndexStore
from unreel.search.tuned_index import FLAT, LISTS, TunedIndex, save_tuned
from unreel.search.tuning_queries import (
    Questions,
    bound_recall,
    count_needed,
    draw_questions,
    measure_recall,
    rank_wanted,
    time_queries,
)
from unreel.search.vector_cache import CacheStamp, VectorCache

# Q queries, G gallery, D features, K neighbours, R candidates

_MIN_ROWS = 2_000
"""Fewer vectors are all compared in less than a millisecond."""
_RESERVE = 0.2
"""Share of what the target leaves to be missed that the choice leaves to other queries."""
_NUM_CHECKS = 3
_STEP = 1.5
"""Factor by which the effort grows when other queries find less than the target."""
_MAX_LIST_SHARE = 0.2
"""Of the lists; to look at more of them takes longer than to look at codes without lists."""
_COVERED_SHARES = (0.4, 0.8)
"""Of the neighbours that need not be missed for their codes, how many lie in the lists that are looked at."""
_MAX_CANDIDATE_SHARE = 0.05
_MAX_CANDIDATES = 20_000


def tune_index(
    path: Path,
    *,
    target_recall: float = 0.95,
    top_k: int = 10,
    unit: Unit = "video",
    num_queries: int = 200,
    seed: int = 0,
    progress: Progress = ignore_progress,
) -> TunedIndex:
    """Choose and prepare the fastest way of search that reaches a recall; the index stays as it is.

    Queries are vectors of the index. Some choose the effort; the recall that is reported was measured with as
    many others. Where it falls short of the target, more effort is tried, up to twice, with others again.

    Args:
        path: of the index.
        target_recall: share of the true nearest neighbours that is to be found, in (0, 1]; 1 is exact search.
        top_k: k, neighbours per query.
        unit: whether whole videos or clips are compared.
        num_queries: of each measurement.
        seed: of the choice of queries, and of the codes.
        progress: is told of the vectors that are encoded.

    Returns:
        What was chosen and measured. Of few vectors, or where nothing else is faster, exact search is chosen.

    Raises:
        SearchError: the index is missing, damaged or empty, or its cache folder cannot be written.
        ValueError: an argument is out of range.
    """
    check_target(target_recall, top_k)
    if num_queries < 10:
        raise ValueError(
            f"num_queries must be at least 10 to tell one recall from another, got {num_queries}"
        )
    if unit not in UNITS:
        raise ValueError(f"unit must be 'video' or 'clip', got {unit!r}")
    store = IndexStore.open(path)
    cache = _take_vectors(store, unit)
    if not len(cache.keys):
        raise SearchError(f"{path} holds no videos; put some in with `unreel index` before it is tuned")
    wanted = TunedIndex(unit=unit, top_k=top_k, target_recall=target_recall, num_rows=len(cache.keys))
    tuned, codes = choose_search(cache, wanted, num_queries=num_queries, seed=seed, progress=progress)
    try:
        save_tuned(store, tuned, cache.stamp, codes)
    except OSError as error:
        raise SearchError(
            f"cannot write to {store.cache_folder} ({error}); make room there, or let it be written to"
        ) from error
    return tuned


def check_target(target_recall: float, top_k: int) -> None:
    """Refuse what no search can be tuned to.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0 < target_recall <= 1:
        raise ValueError(f"target_recall must be above 0 and at most 1, got {target_recall}")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")


def _take_vectors(store: IndexStore, unit: Unit) -> VectorCache:
    cache = VectorCache.load(store, unit)
    with store.read() as reader:
        if cache is None or cache.stamp != CacheStamp.take(reader, unit, store.info.dimension):
            cache = VectorCache.build(store, unit, reader)
    return cache


def choose_search(
    cache: VectorCache,
    wanted: TunedIndex,
    *,
    num_queries: int,
    seed: int = 0,
    progress: Progress = ignore_progress,
) -> tuple[TunedIndex, Codes | None]:
    """Do what `tune_index` does with the vectors of a cache; codes are returned where search is not exact.

    Args:
        cache: all vectors.
        wanted: names the number of neighbours and the recall; the rest is filled in.
        num_queries: of each measurement.
        seed: of the choice of queries, and of the codes.
        progress: is told of the vectors that are encoded.
    """
    exact = ExactEngine(cache.keys, cache.vectors, cache.scales)
    # No number of queries shows that none of the others misses a neighbour.
    if wanted.target_recall == 1 or len(cache.keys) < max(_MIN_ROWS, 20 * wanted.top_k):
        return wanted, None
    drawn = draw_questions(cache, exact, wanted.top_k, num_queries * (1 + _NUM_CHECKS), seed)
    choosing, checking = drawn.select(slice(num_queries)), drawn.select(slice(num_queries, None))
    exact_ms = time_queries(exact, choosing)
    best = dataclasses.replace(wanted, query_ms=exact_ms, exact_query_ms=exact_ms)
    best_codes = None
    for tuned, codes in _propose(cache, choosing, best, seed, progress):
        query_ms = time_queries(ApproximateEngine(codes, cache, tuned.effort), choosing)
        if query_ms < best.query_ms:
            best, best_codes = dataclasses.replace(tuned, query_ms=query_ms), codes
    if best_codes is None:
        return best, None
    best = _confirm(best, best_codes, cache, checking)
    if best.query_ms >= exact_ms:
        return dataclasses.replace(wanted, query_ms=exact_ms, exact_query_ms=exact_ms), None
    return best, best_codes


def _propose(
    cache: VectorCache, questions: Questions, wanted: TunedIndex, seed: int, progress: Progress
) -> Iterator[tuple[TunedIndex, Codes]]:
    """Yield ways of search that reach the target with some queries."""
    aim = wanted.target_recall + _RESERVE * (1 - wanted.target_recall)
    for num_lists in (0, 2 ** round(math.log2(2 * math.sqrt(len(cache.keys))))):
        started = time.perf_counter()
        codes = Codes.train(cache.vectors, cache.scales, num_lists=num_lists, seed=seed)
        all_probes = _choose_probes(codes, cache, questions, aim) if num_lists else [0]
        if not all_probes:
            continue
        codes.add(cache.keys, cache.vectors, cache.scales, progress)
        build_sec = time.perf_counter() - started
        for num_probes in all_probes:
            num_candidates = _choose_candidates(codes, cache, questions, num_probes, aim)
            if num_candidates:
                yield (
                    dataclasses.replace(
                        wanted,
                        kind=LISTS if num_lists else FLAT,
                        num_lists=num_lists,
                        num_probes=num_probes,
                        num_candidates=num_candidates,
                        build_sec=build_sec,
                    ),
                    codes,
                )


def _choose_probes(codes: Codes, cache: VectorCache, questions: Questions, aim: float) -> list[int]:
    """Return numbers of lists that hold enough of the true neighbours; none when that are too many lists.

    No code is needed for it: a neighbour's list is that of the centre next to it.
    """
    most = max(1, math.floor(_MAX_LIST_SHARE * codes.num_lists))
    scale_Q = inverse_norms(questions.vectors_QD, "query")
    lists_QP = codes.find_lists(questions.vectors_QD * scale_Q[:, None], most)
    rows = np.searchsorted(cache.keys, questions.neighbors_QK.reshape(-1))
    neighbors = cache.vectors[rows] * cache.scales[rows, None]
    homes_QK = codes.find_lists(neighbors, 1).reshape(questions.neighbors_QK.shape)
    ranks_QK = rank_wanted(lists_QP, homes_QK)
    needed = {count_needed(ranks_QK, aim + share * (1 - aim)) for share in _COVERED_SHARES}
    return sorted(number for number in needed if number <= most)


def _choose_candidates(
    codes: Codes, cache: VectorCache, questions: Questions, num_probes: int, aim: float
) -> int:
    """Return how many candidates hold enough of the true neighbours, 0 when too many would."""
    most = max(20 * questions.top_k, math.floor(_MAX_CANDIDATE_SHARE * len(cache.keys)))
    scale_Q = inverse_norms(questions.vectors_QD, "query")
    most = min(most, _MAX_CANDIDATES, len(cache.keys))
    numbers_QR = codes.search(questions.vectors_QD * scale_Q[:, None], most, num_probes)
    rows_QK = np.searchsorted(cache.keys, questions.neighbors_QK)
    needed = count_needed(rank_wanted(numbers_QR, rows_QK), aim)
    return needed if needed <= most else 0


def _confirm(tuned: TunedIndex, codes: Codes, cache: VectorCache, questions: Questions) -> TunedIndex:
    """Measure recall with queries that had no part in the choice; try more effort where it falls short."""
    count = len(questions.keys_Q) // _NUM_CHECKS
    effort = tuned.effort
    for check in range(_NUM_CHECKS):
        others = questions.select(slice(check * count, (check + 1) * count))
        engine = ApproximateEngine(codes, cache, effort)
        recall = measure_recall(engine, others)
        if recall >= tuned.target_recall or check == _NUM_CHECKS - 1:
            break
        effort = Effort(
            math.ceil(_STEP * effort.num_candidates), math.ceil(_STEP * effort.num_probes), effort.top_k
        )
    low, high = bound_recall(recall, count)
    return dataclasses.replace(
        tuned,
        num_probes=effort.num_probes,
        num_candidates=effort.num_candidates,
        index_recall_at_k=recall,
        recall_low=low,
        recall_high=high,
        num_queries=count,
        num_bytes=codes.count_bytes(),
        query_ms=time_queries(engine, others),
    )
