import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.errors import SearchError, VideoError
from unreel.features.encoder import Encoder
from unreel.features.reading import ReadConfig
from unreel.search.filters import Filter
from unreel.search.indexing import update_index
from unreel.search.query import Query
from unreel.search.search_index import check_encoder, embed_query_file, search_index
from unreel.search.video_index import VideoIndex


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def index(catalog: Catalog, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> VideoIndex:
    path = tmp_path_factory.mktemp("index") / "v.index"
    update_index(path, catalog, encoder, read=ReadConfig(clips_per_video=3, num_workers=0))
    return VideoIndex.open(path)


def test_a_file_is_embedded_and_finds_its_like_itself_too(
    index: VideoIndex, catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    shutil.copy(catalog.video(4).path, tmp_path / "query.mp4")
    query = Query(str(tmp_path / "query.mp4"))
    answer = search_index(index, query, encoder, top_k=3)
    assert (answer.query, answer.video_id) == (query, "")
    assert answer.hits[0].video_id == catalog.ids[4]
    assert answer.hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert len(answer.hits) == 3


@pytest.mark.parametrize("name", ["id", "path"])
def test_a_video_of_the_index_needs_no_encoder_and_does_not_find_itself(
    index: VideoIndex, catalog: Catalog, name: str
) -> None:
    source = {"id": catalog.ids[4], "path": "04.mp4"}[name]
    for unit, count in (("video", 11), ("clip", 33)):
        answer = search_index(index, Query(source), top_k=99, unit=unit)  # type: ignore[arg-type]
        assert answer.video_id == catalog.ids[4]
        assert len(answer.hits) == count
        assert catalog.ids[4] not in {hit.video_id for hit in answer.hits}


def test_a_file_and_the_stored_video_have_the_same_vector(
    index: VideoIndex, catalog: Catalog, encoder: Encoder
) -> None:
    vector_D = embed_query_file(Query(str(catalog.video(2).path)), encoder, index.store.info)
    assert vector_D.shape == (encoder.num_features,)
    np.testing.assert_allclose(vector_D, index.embed_stored(catalog.ids[2]), rtol=1e-4, atol=1e-6)


def test_a_stretch_counts_of_a_file_and_of_a_stored_video(
    index: VideoIndex, catalog: Catalog, encoder: Encoder
) -> None:
    path = str(catalog.video(0).path)
    whole, part = (search_index(index, Query(path, 0.0, end), encoder).hits for end in (np.inf, 0.3))
    assert [hit.score for hit in whole] != [hit.score for hit in part]
    whole, part = (search_index(index, Query(catalog.ids[0], 0.0, end)).hits for end in (np.inf, 0.1))
    assert [hit.score for hit in whole] != [hit.score for hit in part]
    with pytest.raises(SearchError, match="has no vector between 5 s and 6 s"):
        search_index(index, Query(catalog.ids[0], 5.0, 6.0))
    with pytest.raises(VideoError, match="no frame between 5 s and 6 s"):
        search_index(index, Query(path, 5.0, 6.0), encoder)


def test_filters_are_passed_on(index: VideoIndex, catalog: Catalog) -> None:
    answer = search_index(index, Query(catalog.ids[0]), wanted=Filter(splits=("test",)))
    assert {hit.split for hit in answer.hits} == {"test"}
    assert len(answer.hits) == 3


def test_a_file_without_an_encoder_is_refused(index: VideoIndex, catalog: Catalog) -> None:
    with pytest.raises(
        SearchError, match=r"00\.mp4 is a file, and embedding it needs the encoder of the index"
    ):
        search_index(index, Query(str(catalog.video(0).path)))


@pytest.mark.parametrize("source", ["absent.mp4", "", ".", "-", "x" * 5000, "a\0b"])
def test_what_is_neither_a_file_nor_in_the_index_is_refused(
    index: VideoIndex, encoder: Encoder, source: str
) -> None:
    with pytest.raises(
        SearchError, match=r"there is no file '.*', and .*v\.index has no video '.*'; give an id"
    ):
        search_index(index, Query(source), encoder)


def test_a_folder_is_no_file_so_a_video_may_have_its_name(
    index: VideoIndex, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "04.mp4").mkdir()
    assert search_index(index, Query("04.mp4")).video_id == catalog.ids[4]


def test_a_file_that_is_no_video_is_refused_by_name(
    index: VideoIndex, encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "query.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"query\.mp4"):
        search_index(index, Query(str(tmp_path / "query.mp4")), encoder)


def test_another_encoder_is_refused_and_both_are_named(
    index: VideoIndex, catalog: Catalog, encoder: Encoder
) -> None:
    other = build_encoder(seed=1)
    message = rf"'untrained, seed 0' \(hash {encoder.hash}\).*'untrained, seed 1' \(hash {other.hash}\)"
    with pytest.raises(SearchError, match=message):
        search_index(index, Query(str(catalog.video(0).path)), other)
    with pytest.raises(SearchError, match="give the encoder that made the vectors, or make another index"):
        check_encoder(other, index.store.info)
    check_encoder(encoder, index.store.info)


def test_no_hit_at_all_is_refused(index: VideoIndex, catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        search_index(index, Query(catalog.ids[0]), top_k=0)
