import dataclasses
import math
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.data.frame_index import FrameIndex
from unreel.data.probe import probe_video
from unreel.data.sample_videos import write_video
from unreel.errors import FeaturesError, VideoError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.search.query import (
    Query,
    embed_file,
    embed_query,
    find_frames,
    parse_query,
    read_query_clips,
    search_videos,
)


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
    (hit,) = search_videos(as_query(catalog.video(2).path), encoder, table, top_k=1)
    assert hit.video_id == catalog.video(2).id


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


# Words to a query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("video.mp4", Query("video.mp4")),
        ("video.mp4@3.5-6.0", Query("video.mp4", 3.5, 6.0)),
        ("x@1-2", Query("x", 1.0, 2.0)),
        ("x@0-.5", Query("x@0-.5")),
        ("x@0-7.", Query("x", 0.0, 7.0)),
        ("a@b.mp4", Query("a@b.mp4")),
        ("a@b.mp4@0.25-1", Query("a@b.mp4", 0.25, 1.0)),
        ("x@1-2@3-4", Query("x@1-2", 3.0, 4.0)),
        ("x@1-2.mp4", Query("x@1-2.mp4")),
        ("@1-2", Query("@1-2")),
        ("x@-1-2", Query("x@-1-2")),
        ("x@1-inf", Query("x@1-inf")),
        ("x@1e3-2e3", Query("x@1e3-2e3")),
        ("-", Query("-")),
        ("", Query("")),
        ("line\nbreak.mp4@1-2", Query("line\nbreak.mp4", 1.0, 2.0)),
        ("n" * 5000, Query("n" * 5000)),
        ("n\0@1-2", Query("n\0", 1.0, 2.0)),
    ],
)
def test_a_stretch_of_time_stands_behind_the_last_at_sign(text: str, query: Query) -> None:
    assert parse_query(text) == query


@pytest.mark.parametrize("text", ["x@3-3", "x@6-3.5", "x@0-0", "x@" + "9" * 400 + "-" + "9" * 401])
def test_a_stretch_without_time_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"at 0 s or later and end after its start, got .*video\.mp4@3\.5-6\.0"
    ):
        parse_query(text)


@pytest.mark.parametrize(
    ("start_sec", "end_sec"), [(-1, 2), (math.nan, 2), (0, math.nan), (math.inf, math.inf)]
)
def test_a_stretch_that_is_none_is_refused(start_sec: float, end_sec: float) -> None:
    with pytest.raises(ValueError, match="a stretch of time must start at 0 s or later"):
        Query("x", start_sec, end_sec)


def test_a_file_whose_name_ends_like_a_stretch_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip@1-2").write_text("")
    (tmp_path / "folder@1-2").mkdir()
    assert parse_query("clip@1-2") == Query("clip@1-2")
    assert parse_query("clip@1-2@3-4") == Query("clip@1-2", 3.0, 4.0)
    assert parse_query("folder@1-2") == Query("folder", 1.0, 2.0)


def test_only_a_query_without_times_is_whole() -> None:
    assert Query("x").is_whole
    assert not Query("x", 0.0, 9.0).is_whole
    assert not Query("x", 1.0).is_whole


# Time to frames


def index_of(*pts: int, time_base: tuple[int, int] = (1, 10)) -> FrameIndex:
    return FrameIndex(np.array(pts, dtype=np.int64), np.array([0]), time_base)


UNEVEN = index_of(40, 41, 45, 60, 61)
"""Frames at 0, 0.1, 0.5, 2 and 2.1 s after the first."""


@pytest.mark.parametrize(
    ("start_sec", "end_sec", "frames"),
    [
        (0, math.inf, range(5)),
        (0, 0.1, range(1)),
        (0, 0.1001, range(2)),
        (0.1, 0.5, range(1, 2)),
        (0.3, 0.4, range(1, 2)),
        (0.3, 0.6, range(1, 3)),
        (1.9, 2.1, range(2, 4)),
        (2.1, 9, range(4, 5)),
        (3.0, 4.0, range(4, 5)),
    ],
)
def test_frames_that_are_shown_in_a_stretch_are_found_whole_or_in_part(
    start_sec: float, end_sec: float, frames: range
) -> None:
    assert find_frames(Path("v.mp4"), UNEVEN, start_sec, end_sec) == frames


def test_a_stretch_behind_the_video_is_refused_with_its_end() -> None:
    with pytest.raises(
        VideoError, match=r"v\.mp4.*no frame between 3\.5 s and 4 s; its last one is at 2\.10 s"
    ):
        find_frames(Path("v.mp4"), UNEVEN, 3.5, 4.0)


def test_a_single_frame_is_shown_from_the_start_on() -> None:
    assert find_frames(Path("v.mp4"), index_of(7), 0.0, math.inf) == range(1)
    assert find_frames(Path("v.mp4"), index_of(7), 0.9, 1.0) == range(1)


def test_timestamps_that_do_not_rise_are_put_in_order() -> None:
    """So in H.264 in AVI."""
    assert find_frames(Path("v.avi"), index_of(45, 40, 61, 41, 60), 0.1, 0.5) == range(1, 2)


@given(st.lists(st.integers(0, 500), min_size=1, unique=True), st.floats(0, 60), st.floats(0.001, 9))
def test_a_frame_is_taken_exactly_when_it_is_shown(
    pts: list[int], start_sec: float, length_sec: float
) -> None:
    end_sec = start_sec + length_sec
    index = index_of(*sorted(pts))
    seconds = [*index.timestamps_sec().tolist(), math.inf]
    shown = [
        frame for frame in range(len(pts)) if seconds[frame] < end_sec and seconds[frame + 1] > start_sec
    ]
    if not shown or start_sec > seconds[-2] + 1:
        with pytest.raises(VideoError, match="no frame between"):
            find_frames(Path("v.mp4"), index, start_sec, end_sec)
    else:
        assert list(find_frames(Path("v.mp4"), index, start_sec, end_sec)) == shown


def test_a_stretch_is_read_as_if_it_were_the_video(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    """Frames 5 to 9 of 25 per second are shown from 0.2 to 0.4 s."""
    frames = np.zeros((20, 24, 32, 3), dtype=np.uint8)
    frames[5:10] = 200
    write_video(tmp_path / "v.mp4", frames, fps=25)
    assert probe_video(tmp_path / "v.mp4").frames == 20
    clips = read_query_clips(tmp_path / "v.mp4", encoder.spec, 2, start_sec=0.2, end_sec=0.4)
    assert (clips.shape, clips.dtype) == ((2, 4, 24, 32, 3), np.uint8)
    assert clips.min() > 150
    assert read_query_clips(tmp_path / "v.mp4", encoder.spec, 2, start_sec=0.5).max() < 50


def test_a_stretch_has_vectors_of_its_own(catalog: Catalog, encoder: Encoder, table: FeatureTable) -> None:
    path = catalog.video(1).path
    clips = read_query_clips(path, encoder.spec, 3, start_sec=0.2, end_sec=0.5)
    expected = embed_query(clips, encoder, "average")
    assert expected.shape == (3, encoder.num_features)
    np.testing.assert_array_equal(embed_file(Query(str(path), 0.2, 0.5), encoder, table), expected)
    whole = embed_file(as_query(path), encoder, table)
    assert not np.allclose(whole, expected)
    np.testing.assert_array_equal(embed_file(Query(str(path), 0.0, 99.0), encoder, table), whole)
    with pytest.raises(VideoError, match=r"01\.mp4.*no frame between 7 s and 9 s"):
        embed_file(Query(str(path), 7.0, 9.0), encoder, table)


def test_a_file_that_is_as_its_packets_say_is_not_decoded_as_a_whole(
    catalog: Catalog, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of video would take minutes, and only a few clips of it are wanted."""
    path = catalog.video(1).path
    expected = ClipDecoder(encoder.spec.frame_size).decode_all(path)
    monkeypatch.setattr(
        "unreel.data.probe.trace_decode", lambda path, deadline: pytest.fail("decoded it all")
    )
    clips = read_query_clips(path, encoder.spec, 3)
    found = {frame.tobytes() for frame in clips.reshape(-1, *clips.shape[2:])}
    assert found <= {frame.tobytes() for frame in expected}
    assert len(found) > 4


def test_a_file_that_is_damaged_where_only_decoding_tells_is_read_all_the_same(
    encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "v.mp4"
    pictures = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode(None))
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for packet in packets[33:36]:
        assert packet.pos is not None
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    assert probe_video(path, check="packets").frames == 60
    assert probe_video(path).frames < 60
    assert read_query_clips(path, encoder.spec, 12).shape[0] == 12
