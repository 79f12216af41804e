import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.test_ranking import build_table
from tests.features.tiny import build_vectors
from unreel.evaluate import knn
from unreel.evaluate.knn import evaluate_knn, vote


def vote_naively(
    neighbors: list[int], scores: list[float], num_classes: int, temperature: float | None
) -> int:
    """Count votes class by class; ties go to the larger sum of similarities, then to the lower number."""
    if all(neighbor < 0 for neighbor in neighbors):
        return -1
    ranked = []
    for number in range(num_classes):
        own = [score for neighbor, score in zip(neighbors, scores, strict=True) if neighbor == number]
        weight = sum(1.0 if temperature is None else math.exp(score / temperature) for score in own)
        ranked.append((weight, sum(own), -number))
    best = max(weight for weight, _, _ in ranked)
    return -max(rest[1:] for rest in ranked if rest[0] == best)[1]


@given(st.integers(0, 100_000))
def test_the_vote_of_equals_is_that_of_a_plain_loop(seed: int) -> None:
    """Similarities are multiples of 1/4, so that sums and their ties are exact."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 6), rng.integers(1, 9))
    neighbors = rng.integers(-1, 4, size=shape)
    scores = -np.sort(-rng.integers(-4, 5, size=shape) / 4, axis=1).astype(np.float32)
    expected = [
        vote_naively(list(n), [float(x) for x in s], 4, None) for n, s in zip(neighbors, scores, strict=True)
    ]
    assert vote(neighbors, scores, 4).tolist() == expected


@given(st.integers(0, 100_000), st.sampled_from([0.07, 0.5, 2.0]))
def test_the_weighted_vote_is_that_of_a_plain_loop(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 6), rng.integers(1, 9))
    neighbors = rng.integers(-1, 4, size=shape)
    scores = -np.sort(-rng.uniform(-1, 1, size=shape), axis=1).astype(np.float32)
    expected = [
        vote_naively(list(n), [float(x) for x in s], 4, temperature)
        for n, s in zip(neighbors, scores, strict=True)
    ]
    assert vote(neighbors, scores, 4, temperature=temperature).tolist() == expected


def test_a_worked_example_where_the_two_votes_differ() -> None:
    """Two neighbours of class 1 at 0.5 outvote one of class 0 at 0.9, but exp(0.9 / 0.07) outweighs both."""
    neighbors, scores = np.array([[0, 1, 1]]), np.array([[0.9, 0.5, 0.5]], dtype=np.float32)
    assert vote(neighbors, scores, 2).tolist() == [1]
    assert vote(neighbors, scores, 2, temperature=0.07).tolist() == [0]


def test_a_tiny_temperature_stays_finite_and_follows_the_nearest() -> None:
    neighbors, scores = np.array([[2, 1, 1, 1]]), np.array([[0.9, 0.8, 0.8, 0.8]], dtype=np.float32)
    assert vote(neighbors, scores, 3, temperature=1e-4).tolist() == [2]


def test_a_temperature_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        vote(np.array([[0]]), np.ones((1, 1), dtype=np.float32), 1, temperature=0)


def test_accuracy_of_a_worked_table() -> None:
    """q is nearest to x, a b, but two of its three nearest are a: wrong at k = 1, right at k = 3."""
    table = build_vectors(
        [[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]],
        ["q", "x", "y", "z"],
        labels=["a", "b", "a", "a"],
        splits=["test", "train", "train", "train"],
    )
    result = evaluate_knn(table, ks=(1, 3, 20))
    for level in result.levels.values():
        assert level.majority == {1: 0.0, 3: 1.0}
        assert (level.queries, level.gallery, level.classes, level.impossible_ks) == (1, 3, 2, [20])


def test_accuracy_at_one_is_recall_at_one_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from unreel.evaluate.retrieval import evaluate_retrieval

    table = build_table(11, num_videos=40)
    whole = evaluate_knn(table, ks=(1, 5))
    recall = evaluate_retrieval(table, ks=(1,))
    for name, level in whole.levels.items():
        assert level.majority[1] == level.weighted[1] == recall.levels[name].recall[1]
    monkeypatch.setattr(knn, "_QUERIES_PER_BLOCK", 3)
    blocked = evaluate_knn(table, ks=(1, 5))
    assert blocked.levels == whole.levels


def test_every_query_takes_part() -> None:
    table = build_table(3, num_videos=30)
    clip = evaluate_knn(table, ks=(1,)).levels["clip"]
    assert clip.queries + clip.without_target == (table.column("split") == "test").sum()
    assert clip.gallery == (table.column("split") == "train").sum()


def test_the_result_is_json_with_settings_and_the_encoders_hash() -> None:
    values = json.loads(json.dumps(evaluate_knn(build_table(7), temperature=0.1).to_json()))
    assert values["protocol"] == "knn"
    assert values["settings"]["temperature"] == 0.1
    assert values["features"]["encoder_hash"] == "0" * 16
    assert set(values["levels"]["clip"]["weighted"]) == {"1", "5"}


@pytest.mark.parametrize("ks", [(), (-1,)])
def test_ks_must_be_positive(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ks must be one or more positive numbers"):
        evaluate_knn(build_table(0), ks=ks)
