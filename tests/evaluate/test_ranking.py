import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.evaluate.ranking import Level, RankingConfig, are_alike, find_neighbors
from unreel.features.table import FeatureTable

ALL = RankingConfig(query_split="", gallery_split="")


def build_table(seed: int, *, num_videos: int = 8, with_splits: bool = True) -> FeatureTable:
    """Return a table with one to three clips per video, of a few classes, some without a class."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, num_videos)
    videos = [f"v{video}" for video in range(num_videos) for _ in range(counts[video])]
    label_of = {f"v{video}": ["a", "b", "c", ""][rng.integers(0, 4)] for video in range(num_videos)}
    label_of["v0"] = "a"
    split_of = {f"v{video}": "test" if video % 2 == 0 else "train" for video in range(num_videos)}
    return build_vectors(
        rng.normal(size=(len(videos), 4)),
        videos,
        labels=[label_of[video] for video in videos],
        splits=[split_of[video] if with_splits else "" for video in videos],
    )


def rank_naively(table: FeatureTable, level: Level, config: RankingConfig) -> list[list[tuple[str, float]]]:
    """Return class and cosine of every row of other videos, best first, for every query with a class."""
    query_split, gallery_split = config.resolve_splits(table.split_names)
    sides = []
    for split in (query_split, gallery_split):
        side = table.select(split)
        sides.append(side.average_per_video() if level == "video" else side)
    queries, gallery = sides
    ranked = []
    for q in range(len(queries)):
        if not queries.column("label")[q]:
            continue
        others = []
        for g in range(len(gallery)):
            if gallery.video_ids[g] != queries.video_ids[q]:
                a, b = queries.vectors[q].astype(float), gallery.vectors[g].astype(float)
                others.append((str(gallery.column("label")[g]), float(a @ b / np.sqrt((a @ a) * (b @ b)))))
        ranked.append(sorted(others, key=lambda item: -item[1]))
    return ranked


@pytest.mark.parametrize("level", ["video", "clip"])
@pytest.mark.parametrize(
    "config", [RankingConfig(), ALL, RankingConfig(query_split="train", gallery_split="train")]
)
@given(seed=st.integers(0, 10_000))
def test_neighbors_are_those_of_a_plain_loop(seed: int, level: Level, config: RankingConfig) -> None:
    table = build_table(seed)
    expected = rank_naively(table, level, config)
    if not expected:
        with pytest.raises(FeaturesError, match="has a label"):
            find_neighbors(table, 5, level, config)
        return
    neighbors = find_neighbors(table, 5, level, config)
    assert len(neighbors.query_class_Q) == len(expected)
    found = neighbors.neighbor_class_QK.shape[1]
    assert found == min(5, *(len(others) for others in expected))
    for q, others in enumerate(expected):
        names = [neighbors.classes[c] if c >= 0 else "" for c in neighbors.neighbor_class_QK[q]]
        assert names == [name for name, _ in others[:found]]
        np.testing.assert_allclose(neighbors.scores_QK[q], [score for _, score in others[:found]], atol=1e-5)
        target = neighbors.classes[neighbors.query_class_Q[q]]
        assert neighbors.matches_Q[q] == sum(name == target for name, _ in others)
        assert neighbors.available_Q[q] == len(others)


def test_test_queries_train_by_default() -> None:
    assert RankingConfig().resolve_splits(["test", "train", "val"]) == ("test", "train")


def test_without_both_splits_all_videos_ask_all_others() -> None:
    assert RankingConfig().resolve_splits(["train", "val"]) == ("val", "train")
    assert RankingConfig().resolve_splits(["val"]) == ("", "")
    assert RankingConfig().resolve_splits(["train"]) == ("", "")
    assert RankingConfig().resolve_splits([]) == ("", "")


def test_a_named_split_asks_itself_unless_another_is_searched() -> None:
    assert RankingConfig(query_split="val").resolve_splits(["val"]) == ("val", "val")
    assert RankingConfig(query_split="val").resolve_splits(["test", "train", "val"]) == ("val", "train")
    assert RankingConfig(query_split="val", gallery_split="").resolve_splits(["val"]) == ("val", "")


def test_a_video_is_never_its_own_neighbour_even_with_many_clips() -> None:
    """Ten equal clips of one video, and one clip of another: only the other one is left."""
    table = build_vectors([[1.0, 0.0]] * 10 + [[0.0, 1.0]], ["v"] * 10 + ["w"], labels=["a"] * 10 + ["b"])
    neighbors = find_neighbors(table, 50, "clip", RankingConfig())
    assert neighbors.neighbor_class_QK.shape == (11, 1)
    assert neighbors.neighbor_class_QK[:, 0].tolist() == [1] * 10 + [0]
    assert neighbors.matches_Q.tolist() == [0] * 11


def test_centering_takes_the_galleries_mean_away() -> None:
    """All vectors lie close together around (10, 10); only their differences tell the classes apart."""
    table = build_vectors(
        [[11.0, 10.0], [11.5, 10.2], [10.0, 11.2], [9.0, 9.0]],
        ["q", "x", "y", "z"],
        labels=["a", "a", "b", "b"],
        splits=["test", "train", "train", "train"],
    )
    gallery = table.vectors[1:].astype(float)
    query = table.vectors[0] - gallery.mean(axis=0)
    centered = gallery - gallery.mean(axis=0)
    cosines = centered @ query / np.linalg.norm(centered, axis=1) / np.linalg.norm(query)
    neighbors = find_neighbors(table, 3, "clip", RankingConfig(is_centered=True))
    np.testing.assert_allclose(neighbors.scores_QK[0], np.sort(cosines)[::-1], atol=1e-5)
    assert neighbors.neighbor_class_QK[0, 0] == 0
    assert find_neighbors(table, 3, "clip", RankingConfig()).scores_QK.min() > 0.99


@pytest.mark.parametrize("level", ["video", "clip"])
@pytest.mark.parametrize("config", [RankingConfig(is_centered=True), RankingConfig("label", "", "", True)])
def test_centering_leaves_the_table_as_it_was(level: Level, config: RankingConfig) -> None:
    table = build_table(3)
    before = table.vectors.copy()
    first = find_neighbors(table, 3, level, config)
    np.testing.assert_array_equal(table.vectors, before)
    np.testing.assert_array_equal(find_neighbors(table, 3, level, config).scores_QK, first.scores_QK)


@pytest.mark.parametrize(
    ("level", "config", "copies"),
    [
        ("video", RankingConfig(), 0.1),
        ("video", ALL, 0.2),
        ("clip", RankingConfig(), 1.0),
        ("clip", RankingConfig(is_centered=True), 1.0),
        ("clip", ALL, 0.0),
        ("clip", RankingConfig("label", "", "", is_centered=True), 1.0),
    ],
)
def test_long_vectors_are_copied_once_at_most(level: Level, config: RankingConfig, copies: float) -> None:
    """60 MB: 60 videos of 10 clips. A block of queries is 51 MB of it, or less where there are fewer."""
    videos = [f"v{row // 10:02d}" for row in range(600)]
    table = build_vectors(
        np.random.default_rng(0).random((600, 25_000), dtype=np.float32),
        videos,
        labels=["a"] * 600,
        splits=["test" if row < 100 else "train" for row in range(600)],
    )
    num_queries = 6 if level == "video" else 100
    if config.query_split == "":
        num_queries = 60 if level == "video" else 512
    allowed = copies * table.vectors.nbytes + num_queries * 25_000 * 4 + 12e6
    tracemalloc.start()
    try:
        find_neighbors(table, 5, level, config)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < allowed


def test_groups_can_be_the_target() -> None:
    table = build_vectors(
        [[1, 0], [1, 0.1], [0, 1]], ["u", "v", "w"], labels=["a", "b", "b"], groups=["s", "s", "t"]
    )
    neighbors = find_neighbors(table, 1, "video", RankingConfig(by="group"))
    assert neighbors.classes == ["s", "t"]
    assert neighbors.neighbor_class_QK[0, 0] == neighbors.query_class_Q[0]


def test_queries_without_a_class_are_counted_and_gallery_rows_without_one_stay() -> None:
    table = build_vectors(
        [[1, 0], [1, 0.2], [1, 0.1], [0, 1]],
        ["q", "r", "x", "y"],
        labels=["a", "", "", "a"],
        splits=["test", "test", "train", "train"],
    )
    neighbors = find_neighbors(table, 2, "video", RankingConfig())
    assert neighbors.num_without_target == 1
    assert neighbors.neighbor_class_QK.tolist() == [[-1, 0]]
    assert neighbors.num_gallery == 2


def test_no_class_at_all_is_refused() -> None:
    with pytest.raises(FeaturesError, match="none of the 2 queries has a group"):
        find_neighbors(build_vectors([[1.0], [2.0]], ["v", "w"]), 1, "video", RankingConfig(by="group"))


def test_a_single_video_has_nothing_to_be_compared_with() -> None:
    table = build_vectors([[1.0], [2.0]], ["v", "v"], labels=["a", "a"])
    with pytest.raises(FeaturesError, match="no other video"):
        find_neighbors(table, 1, "clip", RankingConfig())


def test_a_missing_split_is_refused() -> None:
    table = build_table(0)
    with pytest.raises(FeaturesError, match="no split 'val'"):
        find_neighbors(table, 1, "video", RankingConfig(query_split="val"))


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        find_neighbors(build_table(0), 0, "video", RankingConfig())


def test_ks_are_split_into_possible_and_impossible() -> None:
    neighbors = find_neighbors(build_table(1), 50, "video", RankingConfig())
    found = neighbors.neighbor_class_QK.shape[1]
    assert found == 4
    assert neighbors.keep_possible([50, 1, 4, 1, 5]) == ([1, 4], [5, 50])


@given(seed=st.integers(0, 100), scale=st.sampled_from([1e-20, 1.0, 1e20]))
def test_vectors_are_alike_when_they_differ_by_rounding_alone(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    one_1D = rng.normal(size=(1, 5)).astype(np.float32) * np.float32(scale)
    assert are_alike(np.repeat(one_1D, 4, axis=0))
    assert are_alike(np.nextafter(np.repeat(one_1D, 4, axis=0), [[0], [1], [0], [1]], dtype=np.float32))
    assert not are_alike(one_1D * np.array([[1], [1], [1.001]], dtype=np.float32))
    assert not are_alike(one_1D)
    assert are_alike(np.zeros((2, 5), dtype=np.float32))
