import json
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.test_ranking import build_table
from tests.features.tiny import build_vectors
from unreel.evaluate.ranking import RankingConfig
from unreel.evaluate.retrieval import chance_at_k, evaluate_retrieval, recall_at_k

classes = st.integers(-1, 3)


@given(
    st.integers(1, 8).flatmap(
        lambda k: st.lists(
            st.tuples(st.integers(0, 3), st.lists(classes, min_size=k, max_size=k)), min_size=1, max_size=12
        )
    ),
    st.data(),
)
def test_recall_is_that_of_a_double_loop(cases: list[tuple[int, list[int]]], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(cases[0][1])))
    hits = 0
    for target, neighbors in cases:
        found = False
        for neighbor in neighbors[:k]:
            if neighbor == target:
                found = True
        hits += found
    query = np.array([target for target, _ in cases])
    gallery = np.array([neighbors for _, neighbors in cases])
    assert recall_at_k(query, gallery, k).mean() == pytest.approx(hits / len(cases))


def test_a_worked_example() -> None:
    """Nearest classes of three queries of class 0, 1 and 2; the third finds its own at rank 3."""
    query = np.array([0, 1, 2])
    neighbors = np.array([[0, 1, 1], [0, 1, 2], [0, 1, 2]])
    assert [recall_at_k(query, neighbors, k).mean() for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_neighbours_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be between 1 and the 3 neighbours at hand, got {k}"):
        recall_at_k(np.zeros(2, dtype=int), np.zeros((2, 3), dtype=int), k)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1), st.integers(1, 30))
def test_chance_is_the_hypergeometric_probability(pairs: list[tuple[int, int]], k: int) -> None:
    """A query with m right rows among n misses with probability C(n - m, k) / C(n, k)."""
    pairs = [(max(n, k), min(m, max(n, k))) for n, m in pairs]
    expected = 1 - sum(comb(n - m, k) / comb(n, k) for n, m in pairs) / len(pairs)
    available, matches = (np.array(column) for column in zip(*pairs, strict=True))
    assert chance_at_k(matches, available, k) == pytest.approx(expected, abs=1e-9)


def test_videos_are_compared_by_their_means_and_clips_one_by_one() -> None:
    """The test video's clips point along x and y, their mean along the diagonal.

    Clip (1, 0) is nearest to a's clip (hit), clip (0, 1) to b's (miss): 1 of 2. The mean (.5, .5) has
    cosine 0.71 with a and b alike, and 1.0 with c, a B as well: a miss.
    """
    table = build_vectors(
        [[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]],
        ["q", "q", "a", "b", "c"],
        labels=["A", "A", "A", "B", "B"],
        splits=["test", "test", "train", "train", "train"],
    )
    result = evaluate_retrieval(table, ks=(1, 2, 3, 10))
    video, clip = result.levels["video"], result.levels["clip"]
    # Behind the diagonal, a and b tie at 0.71: the lower row, a, comes first.
    assert video.recall == {1: 0.0, 2: 1.0, 3: 1.0}
    assert clip.recall == {1: 0.5, 2: 0.5, 3: 1.0}
    assert (video.queries, video.gallery, clip.queries, clip.gallery) == (1, 3, 2, 3)
    assert video.chance[1] == pytest.approx(1 / 3)
    assert video.impossible_ks == [10]
    assert video.without_match == 0


def test_every_query_and_every_gallery_row_takes_part() -> None:
    table = build_table(3, num_videos=30)
    labelled = table.column("label") != ""
    test, train = table.column("split") == "test", table.column("split") == "train"
    result = evaluate_retrieval(table, ks=(1,))
    clip, video = result.levels["clip"], result.levels["video"]
    assert clip.queries + clip.without_target == test.sum()
    assert clip.queries == (test & labelled).sum()
    assert clip.gallery == train.sum()
    assert video.queries + video.without_target == len(set(table.video_ids[test])) == 15
    assert video.gallery == len(set(table.video_ids[train])) == 15
    assert sum(clip.queries_by_class.values()) == clip.queries


def test_the_mean_over_classes_weighted_by_their_queries_is_the_recall() -> None:
    result = evaluate_retrieval(build_table(5, num_videos=40), ks=(1, 5))
    for level in result.levels.values():
        for k, recall in level.recall.items():
            total = sum(
                level.recall_by_class[name][k] * count for name, count in level.queries_by_class.items()
            )
            assert total / level.queries == pytest.approx(recall)


def test_a_class_that_the_gallery_lacks_counts_as_missed_and_is_reported() -> None:
    table = build_vectors([[1, 0], [1, 0]], ["q", "x"], labels=["a", "b"], splits=["test", "train"])
    level = evaluate_retrieval(table, ks=(1,)).levels["video"]
    assert (level.recall, level.without_match, level.chance) == ({1: 0.0}, 1, {1: 0.0})


def test_leave_one_out_is_used_where_there_is_one_split() -> None:
    table = build_vectors([[1, 0], [1, 0], [0, 1]], ["u", "v", "w"], labels=["a", "a", "b"])
    result = evaluate_retrieval(table, ks=(1, 2, 3))
    assert result.settings["query_split"] == result.settings["gallery_split"] == ""
    # u and v find each other; w has nobody. A third neighbour does not exist: two others are all there is.
    assert result.levels["video"].recall == {1: pytest.approx(2 / 3), 2: pytest.approx(2 / 3)}
    assert result.levels["video"].impossible_ks == [3]


def test_one_level_can_be_had_alone() -> None:
    assert list(evaluate_retrieval(build_table(0), ks=(1,), levels=["clip"]).levels) == ["clip"]


def test_the_result_is_json_with_settings_counts_and_the_encoders_hash() -> None:
    table = build_table(7)
    values = json.loads(
        json.dumps(evaluate_retrieval(table, config=RankingConfig(is_centered=True)).to_json())
    )
    assert values["protocol"] == "retrieval"
    assert values["settings"] == {
        "by": "label",
        "query_split": "test",
        "gallery_split": "train",
        "is_centered": True,
    }
    assert values["features"]["encoder_hash"] == "0" * 16
    assert set(values["levels"]) == {"video", "clip"}
    assert values["levels"]["video"]["queries"] > 0
    assert values["seconds"] >= 0


@pytest.mark.parametrize("ks", [(), (0, 1)])
def test_ks_must_be_positive(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ks must be one or more positive numbers"):
        evaluate_retrieval(build_table(0), ks=ks)
