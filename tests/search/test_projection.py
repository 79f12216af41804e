import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_vectors
from unreel.runs import read_json
from unreel.search import projection
from unreel.search.index_info import IndexInfo
from unreel.search.index_reader import IndexReader
from unreel.search.index_rows import split_by_video
from unreel.search.index_store import IndexStore
from unreel.search.projection import Projection, choose_evenly, project_file, project_index, project_vectors


def build_clusters(*, per_cluster: int = 12, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = np.eye(size)[:3] * 5
    names = np.repeat(np.arange(3), per_cluster)
    vectors = centres[names] + rng.normal(scale=0.3, size=(len(names), size))
    return vectors.astype(np.float32), names


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_alike_vectors_lie_close_together(method: Projection) -> None:
    vectors, names = build_clusters()
    points = project_vectors(vectors, method)
    assert points.shape == (36, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(36) * 9
    assert (names[distances.argmin(axis=1)] == names).mean() == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 5))
def test_points_lie_in_the_unit_square_and_touch_its_sides(seed: int, count: int, size: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    points = project_vectors(vectors, "pca")
    assert points.shape == (count, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    sides = points.max(axis=0) - points.min(axis=0)
    assert sides.max() == pytest.approx(1.0) or sides.max() == 0.0
    np.testing.assert_allclose((points.max(axis=0) + points.min(axis=0)) / 2, 0.5, atol=1e-9)


def test_a_worked_example() -> None:
    """Of (1, 0), (0, 1) and what lies between, all of length 1, the first axis leads from one to the other.

    Along it they lie at -1 / sqrt 2, 1 / sqrt 2 and 0; across it the third is 1 - 1 / sqrt 2 away from the
    line through the others, which has length sqrt 2.
    """
    points = project_vectors(np.array([[3.0, 0.0], [0.0, 7.0], [2.0, 2.0]], dtype=np.float32), "pca")
    assert sorted(points[:, 0]) == pytest.approx([0.0, 0.5, 1.0])
    height = abs(points[2, 1] - points[0, 1])
    assert height == pytest.approx((1 - 1 / np.sqrt(2)) / np.sqrt(2))
    assert points[0, 1] == pytest.approx(points[1, 1])


def test_length_plays_no_role() -> None:
    vectors, _ = build_clusters()
    scales = np.random.default_rng(1).uniform(0.1, 10, size=(36, 1)).astype(np.float32)
    np.testing.assert_allclose(
        project_vectors(vectors, "pca"), project_vectors(vectors * scales, "pca"), atol=1e-5
    )


def test_few_long_vectors_and_many_short_ones_give_the_same_map() -> None:
    """Zeros behind every vector change nothing but which of the two Gram matrices is the smaller one."""
    vectors, _ = build_clusters(per_cluster=4)
    wide = np.pad(vectors, ((0, 0), (0, 40)))
    np.testing.assert_allclose(project_vectors(vectors, "pca"), project_vectors(wide, "pca"), atol=1e-6)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_same_vectors_give_the_same_map(method: Projection) -> None:
    vectors, _ = build_clusters(per_cluster=5)
    np.testing.assert_array_equal(project_vectors(vectors, method), project_vectors(vectors, method))


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_few_or_equal_vectors_have_a_map_too(method: Projection, count: int) -> None:
    assert project_vectors(np.ones((count, 3), dtype=np.float32), method).tolist() == [[0.5, 0.5]] * count
    assert np.isfinite(project_vectors(np.eye(6, dtype=np.float32)[:count], method)).all()
    assert np.isfinite(project_vectors(np.zeros((count, 1), dtype=np.float32), method)).all()


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match="method must be one of pca, tsne, got 'umap'"):
        project_vectors(np.ones((2, 2), dtype=np.float32), "umap")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"needs vectors, one at least, got shape \(0, 2\)"):
        project_vectors(np.ones((0, 2), dtype=np.float32), "pca")


def test_a_choice_is_as_large_as_it_may_be_and_lasts() -> None:
    ids = [f"video{number}" for number in range(100)]
    chosen = choose_evenly(ids, 30)
    assert len(chosen) == 30
    assert chosen == sorted(set(chosen))
    assert choose_evenly(ids, 100) == list(range(100))
    without = [name for name in ids if name != ids[chosen[0]]]
    names, later = {ids[row] for row in chosen}, {without[row] for row in choose_evenly(without, 30)}
    assert len(names & later) == 29


def build_index(path: Path, count: int) -> IndexStore:
    vectors = np.random.default_rng(0).normal(size=(2 * count, 4))
    names = [f"v{number // 2}" for number in range(2 * count)]
    table = build_vectors(vectors, names, labels=[f"label of {name}" for name in names])
    store = IndexStore.create(path, IndexInfo(encoder_hash="0" * 16, dimension=4))
    store.add(list(split_by_video(table)))
    return store


def test_the_videos_of_an_index_are_named(tmp_path: Path) -> None:
    store = build_index(tmp_path / "videos.index", 5)
    with store.read() as reader:
        found = project_index(reader, "pca")
        generation = reader.generation
        means = np.stack([reader.vectors("video", reader.keys_of("video", f"v{row}"))[0] for row in range(5)])
    assert (found["total"], found["generation"], found["method"]) == (5, generation, "pca")
    assert [point["id"] for point in found["points"]] == ["v0", "v1", "v2", "v3", "v4"]
    assert found["points"][3]["label"] == "label of v3"
    assert found["points"][3]["path"] == "v3.mp4"
    points = [[point["x"], point["y"]] for point in found["points"]]
    np.testing.assert_allclose(points, project_vectors(means, "pca"), atol=1e-5)


def test_of_too_many_videos_some_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "MAX_POINTS", 4)
    with build_index(tmp_path / "videos.index", 9).read() as reader:
        found = project_index(reader, "pca")
    assert (found["total"], len(found["points"])) == (9, 4)


def test_an_index_without_videos_has_an_empty_map(tmp_path: Path) -> None:
    store = IndexStore.create(tmp_path / "videos.index", IndexInfo(encoder_hash="0" * 16, dimension=4))
    with store.read() as reader:
        assert project_index(reader, "tsne")["points"] == []


def test_the_job_writes_plain_json(tmp_path: Path) -> None:
    build_index(tmp_path / "videos.index", 3)
    job = {"index": str(tmp_path / "videos.index"), "method": "pca", "out": str(tmp_path / "map.json")}
    assert project_file(json.loads(json.dumps(job))) == {"shown": 3}
    assert len(read_json(tmp_path / "map.json")["points"]) == 3


def test_only_the_videos_on_the_map_are_read_and_they_are_those_chosen_by_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "MAX_POINTS", 4)
    built: list[str] = []
    build = IndexReader._build_video
    monkeypatch.setattr(
        IndexReader, "_build_video", lambda reader, row: (built.append(row[1]), build(reader, row))[1]
    )
    with build_index(tmp_path / "videos.index", 9).read() as reader:
        found = [point["id"] for point in project_index(reader, "pca")["points"]]
    names = [f"v{row}" for row in range(9)]
    assert found == sorted(sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))[:4])
    assert sorted(built) == found
