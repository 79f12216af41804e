import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.test_svm import build_table
from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.evaluate.liblinear import SVMConfig
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.evaluate.shuffle_sensitivity_features import ShuffledFeatures
from unreel.evaluate.shuffle_sensitivity_scores import (
    ShuffledScore,
    find_obstacles,
    mean_cosine,
    mean_cosine_between,
    measure_retrieval,
    measure_svm,
)
from unreel.evaluate.svm import evaluate_svm
from unreel.features.table import FeatureTable

SPLITS = RankingConfig("label", "test", "train")


def move(table: FeatureTable, vectors: np.ndarray) -> FeatureTable:
    columns = {name: table.column(name) for name in FeatureTable.column_names()}
    return FeatureTable.from_columns(table.info, vectors, **columns)


def make_features(
    table: FeatureTable | None = None, *, noises: tuple[float, ...] = (0, 5)
) -> ShuffledFeatures:
    """Shuffles stand in as noise: none, which changes nothing, and much."""
    table = build_table(noise=1.0) if table is None else table
    queries = table.select("test")
    rng = np.random.default_rng(9)
    shuffled = [
        move(queries, queries.vectors + noise * rng.normal(size=queries.vectors.shape)) for noise in noises
    ]
    return ShuffledFeatures(table, queries, tuple(shuffled), 0, [])


def replace_test(features: ShuffledFeatures, shuffle: int) -> FeatureTable:
    """Return the table of all videos, those of the test split shuffled."""
    vectors = features.normal.vectors.copy()
    vectors[features.normal.column("split") == "test"] = features.shuffled[shuffle].vectors
    return move(features.normal, vectors)


def test_accuracies_are_those_of_one_classifier_on_all_versions() -> None:
    features = make_features()
    score = measure_svm(features, SPLITS, SVMConfig())
    fitted = evaluate_svm(features.normal, config=SPLITS)
    level = fitted.ranking.levels["video"]
    assert score.normal == level.top1
    assert score.normal_by_class == level.accuracy_by_class
    assert score.queries_by_class == level.queries_by_class
    assert (score.queries, score.gallery, score.chance) == (32, 48, 1 / 8)
    # The training split is the same, so fitting again finds the same classifier.
    again = [evaluate_svm(replace_test(features, shuffle), config=SPLITS) for shuffle in (0, 1)]
    expected = [result.ranking.levels["video"] for result in again]
    assert score.shuffled == tuple(found.top1 for found in expected)
    assert score.shuffled[0] == score.normal > score.shuffled[1] > 0
    for name, share in score.shuffled_by_class.items():
        both = [found.accuracy_by_class[name] for found in expected]
        assert share == pytest.approx(sum(both) / 2)


def test_recall_is_that_of_shuffled_queries_among_videos_as_they_are() -> None:
    features = make_features()
    score = measure_retrieval(features, SPLITS)
    tables = [features.normal, replace_test(features, 0), replace_test(features, 1)]
    levels = [evaluate_retrieval(table, ks=[1], config=SPLITS).levels["video"] for table in tables]
    assert [score.normal, *score.shuffled] == [level.recall[1] for level in levels]
    assert score.normal_by_class == {name: own[1] for name, own in levels[0].recall_by_class.items()}
    assert score.chance == pytest.approx(levels[0].chance[1])
    assert (score.queries, score.gallery) == (32, 48)
    assert score.difference > 0


def test_without_splits_a_shuffled_video_does_not_find_itself() -> None:
    """Each video is its own best match; the others are of the other class."""
    vectors = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]
    table = build_vectors(vectors, ["a", "b", "c", "d"], labels=["x", "y", "x", "y"])
    features = ShuffledFeatures(table, table, (table,), 0, [])
    score = measure_retrieval(features, RankingConfig("label", "", ""))
    assert (score.normal, score.shuffled) == (0.0, (0.0,))
    assert (score.queries, score.gallery) == (4, 4)


def test_a_worked_score() -> None:
    """0.9 - (0.5 + 0.7) / 2 = 0.3; the deviation of 0.5 and 0.7 is 0.1 sqrt(2)."""
    score = ShuffledScore(10, 20, 0.1, 0.9, (0.5, 0.7), {}, {}, {})
    assert score.difference == pytest.approx(0.3)
    assert score.deviation == pytest.approx(0.1 * math.sqrt(2))
    values = score.to_json()
    assert values["mean_shuffled"] == pytest.approx(0.6)
    assert values["shuffled"] == [0.5, 0.7]
    assert ShuffledScore(10, 20, 0.1, 0.9, (0.5,), {}, {}, {}).deviation == 0


def test_solvers_that_were_stopped_are_counted() -> None:
    assert measure_svm(make_features(), SPLITS, SVMConfig(max_iterations=1)).unconverged == 8
    assert measure_svm(make_features(), SPLITS, SVMConfig()).unconverged == 0


def test_what_stands_in_the_way_is_said() -> None:
    table = build_table(num_classes=2)
    assert find_obstacles(make_features(table), "train", "label") == {}
    assert find_obstacles(make_features(table), "", "label").keys() == {"svm"}
    assert "8 videos would be both" in find_obstacles(make_features(table), "", "label")["svm"]
    alone = find_obstacles(make_features(build_table(num_classes=1)), "train", "label")
    assert alone == {"svm": "there is a single label to learn from"}
    bare = build_vectors(table.vectors, table.video_ids.tolist(), splits=table.column("split").tolist())
    assert find_obstacles(make_features(bare), "train", "label") == {
        "svm": "no label is known of the videos",
        "retrieval": "no label is known of the videos",
    }


@given(st.integers(0, 100), st.integers(1, 6), st.integers(1, 4))
def test_cosines_are_those_of_plain_loops(seed: int, num_rows: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, num_rows, dimension)).astype(np.float32)
    videos = np.array([f"v{number}" for number in rng.integers(0, 3, num_rows)], dtype=object)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(float(x) ** 2 for x in a)) / math.sqrt(sum(float(y) ** 2 for y in b))

    pairs = [cosine(a, b) for a, b in zip(first, second, strict=True)]
    assert mean_cosine(first, second) == pytest.approx(sum(pairs) / num_rows, abs=1e-6)
    others = [
        cosine(first[i], first[j]) for i in range(num_rows) for j in range(num_rows) if videos[i] != videos[j]
    ]
    found = mean_cosine_between(first, videos)
    if not others:
        assert found is None
    else:
        assert found == pytest.approx(sum(others) / len(others), abs=1e-6)


def test_a_row_of_zeros_is_like_nothing() -> None:
    zeros = np.zeros((2, 3), dtype=np.float32)
    assert mean_cosine(zeros, np.ones((2, 3), dtype=np.float32)) == 0
    assert mean_cosine_between(zeros, np.array(["a", "b"], dtype=object)) == 0


def test_what_the_classifier_cannot_do_is_refused() -> None:
    with pytest.raises(FeaturesError, match="an SVM needs two classes"):
        measure_svm(make_features(build_table(num_classes=1)), SPLITS, SVMConfig())
