import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.caches import build_cache, draw_random
from unreel.search.engine import ExactEngine, Found
from unreel.search.tuning_queries import (
    Questions,
    bound_recall,
    count_needed,
    draw_questions,
    drop_self,
    measure_recall,
    rank_wanted,
    time_queries,
)
from unreel.search.vector_cache import VectorCache


class Canned:
    """An engine that gives the same answer to each query."""

    name = "canned"

    def __init__(self, scores: list[list[float]], keys: list[list[int]], seconds: float = 0.0) -> None:
        self.found = np.array(scores, dtype=np.float32), np.array(keys)
        self.seconds = seconds

    def search(self, queries_QD: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> Found:
        time.sleep(self.seconds)
        return self.found


def draw(cache: VectorCache, count: int, seed: int = 0) -> Questions:
    return draw_questions(cache, ExactEngine(cache.keys, cache.vectors, cache.scales), 3, count, seed)


def test_a_question_is_a_vector_of_the_index_and_its_answer_are_others() -> None:
    cache = build_cache(draw_random(50, 8))
    questions = draw(cache, 20)
    assert questions.top_k == 3
    for key, vector, neighbors, scores in zip(
        questions.keys_Q, questions.vectors_QD, questions.neighbors_QK, questions.scores_QK, strict=True
    ):
        np.testing.assert_array_equal(cache.vectors[key - 1], vector)
        cosines = cache.vectors @ vector * cache.scales / np.linalg.norm(vector)
        cosines[key - 1] = -2
        assert neighbors.tolist() == (np.argsort(-cosines)[:3] + 1).tolist()
        np.testing.assert_allclose(scores, np.sort(cosines)[::-1][:3], atol=1e-6)


def test_no_vector_is_asked_for_twice_and_parts_share_none() -> None:
    questions = draw(build_cache(draw_random(50, 8)), 1000)
    assert sorted(questions.keys_Q.tolist()) == list(range(1, 51))
    first, second = questions.select(slice(20)), questions.select(slice(20, None))
    assert (len(first.keys_Q), len(second.scores_QK)) == (20, 30)
    assert not set(first.keys_Q.tolist()) & set(second.keys_Q.tolist())


def test_the_seed_decides_which_are_drawn() -> None:
    cache = build_cache(draw_random(50, 8))
    first, again, other = (draw(cache, 10, seed).keys_Q.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_query_leaves_itself_out_or_else_the_last_place() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]], dtype=np.float32)
    keys = np.array([[4, 5, 6], [4, 5, 6]])
    left_scores, left_keys = drop_self(scores, keys, np.array([5, 99]))
    assert left_keys.tolist() == [[4, 6], [4, 5]]
    np.testing.assert_allclose(left_scores, [[0.9, 0.7], [0.9, 0.8]])


def test_recall_is_the_share_of_neighbours_as_near_as_the_last_true_one() -> None:
    """Query 1 finds 2 of 2, one of them as near as its true neighbour and another; query 2 finds 1 of 2."""
    questions = Questions(
        keys_Q=np.array([1, 2]),
        vectors_QD=np.zeros((2, 4), dtype=np.float32),
        neighbors_QK=np.array([[7, 8], [7, 8]]),
        scores_QK=np.array([[0.9, 0.5], [0.9, 0.5]], dtype=np.float32),
    )
    engine = Canned([[1.0, 0.9, 0.5], [1.0, 0.9, 0.4]], [[1, 7, 33], [2, 7, 9]])
    assert measure_recall(engine, questions) == 0.75
    empty = Canned([[-np.inf] * 3] * 2, [[-1] * 3] * 2)
    assert measure_recall(empty, questions) == 0.0


@pytest.mark.parametrize(("recall", "count"), [(0.5, 10), (0.95, 200), (0.999, 50)])
def test_the_ends_of_the_interval_are_recalls_that_the_measured_one_just_agrees_with(
    recall: float, count: int
) -> None:
    """Wilson: at either end p, the measured recall is 1.96 standard deviations sqrt(p (1 - p) / n) away."""
    low, high = bound_recall(recall, count)
    assert low < recall < high
    for end in (low, high):
        assert abs(recall - end) == pytest.approx(1.959964 * (end * (1 - end) / count) ** 0.5)


def test_a_perfect_recall_has_an_interval_too() -> None:
    """At recall 1 the lower end is n / (n + z squared): 10 / 13.8415 = 0.7225."""
    assert bound_recall(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert bound_recall(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_the_time_of_a_query_is_that_of_the_median() -> None:
    questions = draw(build_cache(draw_random(20, 8)), 5)
    assert 3 <= time_queries(Canned([[1.0]], [[1]], seconds=0.003), questions) < 300


@given(st.lists(st.permutations(range(8)).map(lambda order: order[:5]), min_size=1, max_size=4))
def test_ranks_count_what_must_be_looked_at(listed: list[list[int]]) -> None:
    wanted = [[0, 3, 9]] * len(listed)
    ranks = rank_wanted(np.array(listed), np.array(wanted))
    expected = [[row.index(number) + 1 if number in row else 6 for number in (0, 3, 9)] for row in listed]
    assert ranks.tolist() == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.floats(0.01, 1))
def test_what_is_needed_is_the_least_that_meets_the_share(ranks: list[int], share: float) -> None:
    needed = count_needed(np.array([ranks]), share)
    assert np.mean(np.array(ranks) <= needed) >= share - 1e-9
    assert needed == min(ranks) or np.mean(np.array(ranks) <= needed - 1) < share
