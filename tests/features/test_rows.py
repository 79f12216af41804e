from pathlib import Path

import numpy as np
import pytest

from unreel.data.batch import Rejection
from unreel.data.catalog import Catalog
from unreel.features.reading import EmbeddedVideo
from unreel.features.rows import build_table
from unreel.features.table_info import FeatureInfo

INFO = FeatureInfo(encoder_hash="abc", dimension=2)
FRAMES = np.array([[0, 4, 8, 12], [7, 11, 15, 19]])


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


def test_a_clip_vector_stands_for_all_its_frames(catalog: Catalog) -> None:
    """At 25 frames per second frame 12 is shown from 0.48 to 0.52 s, and the last frame, 19, until 0.80 s."""
    features = np.array([[[1, 2]], [[3, 4]]], dtype=np.float32)
    table = build_table([EmbeddedVideo(2, FRAMES, {"average": features})], catalog, "average", INFO)
    video = catalog.video(2)
    assert table.video_ids.tolist() == [video.id] * 2
    assert table.column("path").tolist() == ["02.mp4"] * 2
    assert table.column("label").tolist() == [video.label] * 2
    assert table.column("split").tolist() == ["train"] * 2
    assert table.column("group").tolist() == [video.group] * 2
    assert table.column("clip_index").tolist() == [0, 1]
    assert table.column("frame_index").tolist() == [0, 7]
    np.testing.assert_allclose(table.column("start_sec"), [0.0, 0.28])
    np.testing.assert_allclose(table.column("end_sec"), [0.52, 0.80], atol=1e-6)
    assert table.vectors.tolist() == [[1, 2], [3, 4]]


def test_a_frame_vector_stands_for_its_frame(catalog: Catalog) -> None:
    features = np.arange(16, dtype=np.float32).reshape(2, 4, 2)
    table = build_table([EmbeddedVideo(0, FRAMES, {"frame": features})], catalog, "frame", INFO)
    assert table.column("clip_index").tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert table.column("frame_index").tolist() == FRAMES.reshape(-1).tolist()
    np.testing.assert_allclose(table.column("start_sec")[1], 0.16)
    np.testing.assert_allclose(table.column("end_sec")[1], 0.20)
    assert table.vectors[5].tolist() == [10, 11]


def test_a_network_that_shortens_time_names_the_frame_in_the_middle(catalog: Catalog) -> None:
    """Four frames on two positions: the middles are frames 1 and 3 of the clip."""
    features = np.zeros((2, 2, 2), dtype=np.float32)
    table = build_table([EmbeddedVideo(0, FRAMES, {"frame": features})], catalog, "frame", INFO)
    assert table.column("frame_index").tolist() == [4, 12, 11, 19]


def test_a_clip_that_starts_again_reaches_from_its_first_to_its_last_frame(catalog: Catalog) -> None:
    looped = np.array([[18, 19, 0, 1]])
    features = np.zeros((1, 1, 2), dtype=np.float32)
    table = build_table([EmbeddedVideo(0, looped, {"average": features})], catalog, "average", INFO)
    assert table.column("frame_index").tolist() == [0]
    np.testing.assert_allclose(table.column("end_sec"), [0.80], atol=1e-6)


def test_rejected_videos_have_no_rows(catalog: Catalog) -> None:
    rejected = EmbeddedVideo(0, FRAMES, {}, Rejection("00.mp4", "broken"))
    good = EmbeddedVideo(1, FRAMES, {"average": np.ones((2, 1, 2), dtype=np.float32)})
    table = build_table([rejected, good], catalog, "average", INFO)
    assert set(table.video_ids) == {catalog.video(1).id}
    assert len(build_table([rejected], catalog, "average", INFO)) == 0
