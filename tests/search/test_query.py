import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.features.tiny import build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.data.sample_videos import write_video
from unreel.errors import FeaturesError, VideoError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.search.query import Query, embed_file, search_videos


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def table(catalog: Catalog, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    out = tmp_path_factory.mktemp("features") / "f.parquet"
    extract_features(encoder, catalog, out, read=ReadConfig(clips_per_video=3, num_workers=0))
    return FeatureTable.load(out)


def as_query(path: Path) -> Query:
    return Query(str(path))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_copy_of_a_video_finds_the_video_first(
    catalog: Catalog, encoder: Encoder, table: FeatureTable, tmp_path: Path
) -> None:
    for row in range(0, 12, 3):
        video = catalog.video(row)
        shutil.copy(video.path, tmp_path / "query.mp4")
        hits = search_videos(as_query(tmp_path / "query.mp4"), encoder, table, top_k=3)
        assert hits[0].video_id == video.id
        assert hits[0].path == video.path.name
        assert hits[0].label == video.label
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert len({hit.video_id for hit in hits}) == 3


def test_scores_and_starts_follow_from_the_vectors(
    catalog: Catalog, encoder: Encoder, table: FeatureTable
) -> None:
    query = catalog.video(4).path
    mean = embed_file(as_query(query), encoder, table).mean(axis=0)
    for hit in search_videos(as_query(query), encoder, table, top_k=12):
        rows = [row for row, video in enumerate(table.video_ids) if video == hit.video_id]
        assert len(rows) == 3
        own = table.vectors[rows].mean(axis=0)
        assert hit.score == pytest.approx(cosine(mean, own), abs=1e-5)
        scores = [cosine(mean, table.vectors[row]) for row in rows]
        best = rows[int(np.argmax(scores))]
        assert hit.start_sec == pytest.approx(float(table.column("start_sec")[best]))


def test_the_query_is_embedded_as_the_table_was(
    catalog: Catalog, encoder: Encoder, table: FeatureTable
) -> None:
    video = catalog.video(7)
    rows = table.video_ids == video.id
    np.testing.assert_allclose(
        embed_file(as_query(video.path), encoder, table), table.vectors[rows], rtol=1e-4, atol=1e-6
    )


def test_a_table_of_frames_is_searched_too(catalog: Catalog, tmp_path: Path) -> None:
    encoder = build_frame_encoder()
    out = tmp_path / "frames.parquet"
    read = ReadConfig(clips_per_video=2, num_workers=0)
    extract_features(encoder, catalog, out, pooling="frame", read=read)
    table = FeatureTable.load(out)
    assert embed_file(as_query(catalog.video(2).path), encoder, table).shape == (8, encoder.num_features)
    assert search_videos(as_query(catalog.video(2).path), encoder, table, top_k=1)[0].video_id == catalog.video(2).id


def test_a_table_of_max_pooled_maps_is_searched_too(catalog: Catalog, tmp_path: Path) -> None:
    config = build_frame_encoder().config
    spec = dataclasses.replace(config.input, crop_px=24)
    encoder = Encoder.untrained(EncoderConfig(config.backbone, spec))
    out = tmp_path / "maps.parquet"
    read = ReadConfig(clips_per_video=2, num_workers=0)
    extract_features(encoder, catalog, out, pooling="conv5_max", read=read)
    table = FeatureTable.load(out)
    video = catalog.video(2)
    assert embed_file(as_query(video.path), encoder, table).shape == (2, 4 * encoder.num_features)
    hits = search_videos(as_query(video.path), encoder, table, top_k=1)
    assert (hits[0].video_id, hits[0].score) == (video.id, pytest.approx(1.0, abs=1e-5))


def test_a_query_of_another_size_and_length_is_welcome(
    encoder: Encoder, table: FeatureTable, tmp_path: Path
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, size=(3, 40, 36, 3), dtype=np.uint8)
    write_video(tmp_path / "short.mp4", frames, fps=10)
    assert len(search_videos(as_query(tmp_path / "short.mp4"), encoder, table, top_k=5)) == 5


def test_asking_for_more_than_there_is_gives_all(
    catalog: Catalog, encoder: Encoder, table: FeatureTable
) -> None:
    assert len(search_videos(as_query(catalog.video(0).path), encoder, table, top_k=500)) == 12


def test_a_table_of_another_encoder_is_refused_and_both_are_named(
    catalog: Catalog, table: FeatureTable, encoder: Encoder
) -> None:
    other = build_encoder(seed=1)
    message = rf"'untrained, seed 0' \(hash {encoder.hash}\).*'untrained, seed 1' \(hash {other.hash}\)"
    with pytest.raises(FeaturesError, match=message):
        search_videos(as_query(catalog.video(0).path), other, table)


def test_an_empty_table_is_refused(catalog: Catalog, encoder: Encoder, table: FeatureTable) -> None:
    empty = table.take(np.array([], dtype=np.int64))
    with pytest.raises(FeaturesError, match="table of features is empty"):
        search_videos(as_query(catalog.video(0).path), encoder, empty)


def test_no_hit_at_all_is_refused(catalog: Catalog, encoder: Encoder, table: FeatureTable) -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        search_videos(as_query(catalog.video(0).path), encoder, table, top_k=0)


@pytest.mark.parametrize("name", ["text.mp4", "absent.mp4"])
def test_a_query_that_is_no_video_is_refused_by_name(
    encoder: Encoder, table: FeatureTable, tmp_path: Path, name: str
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(VideoError, match=name):
        search_videos(as_query(tmp_path / name), encoder, table)
