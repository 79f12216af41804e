import shutil
from pathlib import Path

import pytest

from tests.features.tiny import build_encoder
from tests.web.served import Served
from unreel.errors import SearchError, WeightsError
from unreel.search.index_info import IndexInfo
from unreel.search.index_store import IndexStore
from unreel.web.context import WebContext
from unreel.web.problems import Problem


@pytest.fixture
def own(served: Served, tmp_path: Path) -> Served:
    """The same collection with an index of its own, that may be changed."""
    shutil.copy(served.index, tmp_path / "videos.index")
    return Served(
        tmp_path, served.catalog, served.encoder, tmp_path / "videos.index", served.video_ids, served.files
    )


def test_the_encoder_that_the_index_names_is_taken_by_default(own: Served) -> None:
    context = WebContext(own.settings(encoder=None))
    assert context.encoder is not None
    assert context.encoder.hash == context.index().store.info.encoder_hash
    assert context.encoder_note == ""
    assert context.name == "videos"
    assert context.query_service() is not None
    context.close()


def test_without_an_encoder_files_are_refused_and_all_else_works(own: Served, tmp_path: Path) -> None:
    store = IndexStore.open(own.index)
    for folder, note in ((str(tmp_path / "gone"), "gone"), ("", "does not say where its encoder is")):
        store.set_encoder_folder(folder)
        context = WebContext(own.settings(encoder=None))
        assert context.encoder is None
        assert note in context.encoder_note
        with pytest.raises(Problem, match="files cannot be searched with") as caught:
            context.query_service()
        assert (caught.value.status, caught.value.code) == (503, "no_encoder")
        assert "--encoder" in caught.value.remedy
        context.close()


def test_an_encoder_that_was_named_must_be_the_right_one(own: Served, tmp_path: Path) -> None:
    other = build_encoder(seed=1)
    other.save(tmp_path / "other")
    info = IndexStore.open(own.index).info
    with pytest.raises(SearchError, match=f"hash {info.encoder_hash}.*hash {other.hash}.*give the encoder"):
        WebContext(own.settings(encoder=tmp_path / "other"))
    with pytest.raises(WeightsError, match="absent"):
        WebContext(own.settings(encoder=tmp_path / "absent"))
    IndexStore.open(own.index).set_encoder_folder(str(tmp_path / "other"))
    context = WebContext(own.settings(encoder=None))  # what the index names may have been trained anew
    assert other.hash in context.encoder_note
    context.close()


def test_a_missing_index_is_refused_by_name(own: Served, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"absent\.index"):
        WebContext(own.settings(index=tmp_path / "absent.index"))


def test_an_index_that_vanishes_and_comes_back_is_followed(own: Served, tmp_path: Path) -> None:
    context = WebContext(own.settings())
    with context.index().store.read() as reader:
        assert reader.count_keys("video") == 12
    own.index.rename(tmp_path / "aside.index")
    with pytest.raises(Problem, match="the index cannot be read") as caught:
        context.index()
    assert (caught.value.status, caught.value.retry_after_sec) == (503, 5)
    (tmp_path / "aside.index").rename(own.index)
    assert context.index().store.info.encoder == "untrained, seed 0"
    context.close()


def test_an_index_that_is_replaced_is_opened_anew(own: Served, tmp_path: Path) -> None:
    context = WebContext(own.settings())
    info = context.index().store.info
    new = IndexStore.create(tmp_path / "new.index", IndexInfo(**{**vars(info), "encoder_hash": "f" * 16}))
    new.path.rename(own.index)
    with context.index().store.read() as reader:
        assert reader.count_keys("video") == 0
    with pytest.raises(Problem, match="replaced by one of another encoder"):
        context.query_service()
    context.close()


def test_a_mirror_is_searched_where_one_is_named(own: Served, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"qdrant must be an address that begins with http://"):
        WebContext(own.settings(qdrant="desk:6333"))
    context = WebContext(own.settings(qdrant=":memory:"))
    index = context.index()
    assert index.describe_engine().startswith("Qdrant (:memory:, collection unreel_")
    vector = index.embed_stored(own.video_ids[0])
    assert index.search(vector, top_k=1)[0].video_id == own.video_ids[0]
    shutil.copy(own.index, tmp_path / "copy.index")
    (tmp_path / "copy.index").rename(own.index)
    assert context.index() is not index
    assert context.index().describe_engine("clip").startswith("Qdrant (:memory:")
    context.close()


def test_closing_twice_is_harmless_and_leaves_no_file_of_a_visitor(own: Served) -> None:
    context = WebContext(own.settings())
    folder = own.index.with_name("videos.index.cache") / "uploads"
    assert len(list(folder.iterdir())) == 1
    context.close()
    context.close()
    assert list(folder.iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_replaced_for_the_time(own: Served) -> None:
    cache = own.index.with_name("videos.index.cache")
    cache.write_text("no folder")
    context = WebContext(own.settings())
    assert f"{cache} cannot be written (not a directory)" in context.folder_note
    folder = context.work_folder
    assert str(folder) in context.folder_note
    with context.index().store.read() as reader:
        video = reader.video(own.video_ids[0])
    assert video is not None
    assert context.pictures.draw(video, 0.0).result(30).startswith(b"\xff\xd8")
    assert list((folder / "thumbnails").iterdir())
    context.close()
    assert not folder.exists()
    assert cache.read_text() == "no folder"


def test_a_cache_folder_that_can_be_written_is_used_without_a_word(own: Served) -> None:
    context = WebContext(own.settings())
    assert (context.folder_note, context.work_folder) == ("", own.index.with_name("videos.index.cache"))
    context.close()
    assert context.work_folder.exists()
