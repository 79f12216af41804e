from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.scan_samples import run_jobs_here
from tests.search.watching import WORK, make_video
from unreel.data import scan
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import identify_video
from unreel.data.listing import list_files
from unreel.errors import CatalogError, SearchError
from unreel.progress import ignore_progress
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import NewVideo, RejectedVideo
from unreel.search.index_store import IndexStore
from unreel.search.watched_index import WatchedIndex

Seen = list[Catalog]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    monkeypatch.setattr(scan, "_WORK", WORK)
    (tmp_path / "videos").mkdir()
    for name, content in (("a.mp4", "good"), ("b.mp4", "good"), ("c.mp4", "bad")):
        (tmp_path / "videos" / name).write_text(content)
    return tmp_path / "videos"


@pytest.fixture
def store(folder: Path, tmp_path: Path) -> IndexStore:
    """An index that knows ``a.mp4``, with a label."""
    store = IndexStore.create(tmp_path / "i", IndexInfo("0" * 16, dimension=3, root=str(folder)))
    video = make_video("a.mp4", label="jump")
    store.add([NewVideo(**{**vars(video), "id": identify_video("a.mp4")})])
    return store


def bring_in(index: WatchedIndex, folder: Path, *, keeps_metadata: bool = True) -> None:
    listing = list_files([folder])
    index.bring_in(listing, keeps_metadata=keeps_metadata, num_workers=1, progress=ignore_progress)


def make_index(path: Path, folder: Path, seen: Seen) -> WatchedIndex:
    update: Callable[[Catalog], object] = seen.append
    return WatchedIndex(path, folder, update)


def test_an_index_that_is_not_there_holds_nothing(folder: Path, tmp_path: Path) -> None:
    index = make_index(tmp_path / "i", folder, [])
    assert index.videos == {}
    assert not index.refresh()
    index.remove(["a.mp4"])
    assert (index.list_unread(), index.list_unembedded()) == ({}, {})
    assert not (tmp_path / "i").exists()


def test_refresh_tells_of_every_change_once(folder: Path, store: IndexStore) -> None:
    index = make_index(store.path, folder, [])
    assert index.videos.keys() == {"a.mp4"}
    assert not index.refresh()
    store.add([make_video("b.mp4")])
    assert index.refresh()
    assert not index.refresh()
    assert index.videos.keys() == {"a.mp4", "b.mp4"}
    store.path.unlink()
    assert index.refresh()
    assert index.videos == {}


def test_an_index_that_was_made_anew_is_another(folder: Path, store: IndexStore) -> None:
    """With as many changes as the one before."""
    index = make_index(store.path, folder, [])
    store.path.unlink()
    fresh = IndexStore.create(store.path, store.info)
    fresh.add([make_video("z.mp4")])
    with fresh.read() as reader:
        assert reader.generation == 1
    assert index.refresh()
    assert index.videos.keys() == {"z.mp4"}


def test_new_files_are_read_once_and_handed_on(folder: Path, tmp_path: Path) -> None:
    seen: Seen = []
    index = make_index(tmp_path / "i", folder, seen)
    for _ in range(2):
        bring_in(index, folder)
    assert [catalog.table["path"].to_pylist() for catalog in seen] == [["a.mp4", "b.mp4"]] * 2
    assert seen[0].root == folder
    (rejected,) = index.list_unread().values()
    assert (rejected.path, rejected.reason) == ("c.mp4", "the file says that it is bad")
    assert index.rejected_path == tmp_path / "i.rejected.csv"
    assert Catalog.load(tmp_path / "i.catalog.parquet").hash == seen[0].hash


def test_labels_of_the_index_are_kept_when_the_folder_gives_none(folder: Path, store: IndexStore) -> None:
    seen: Seen = []
    index = make_index(store.path, folder, seen)
    bring_in(index, folder)
    bring_in(index, folder, keeps_metadata=False)
    assert [catalog.labels for catalog in seen] == [["jump", ""], ["", ""]]
    assert seen[0].table.schema.equals(seen[1].table.schema)


def test_without_a_usable_file_nothing_is_handed_on_and_the_reasons_are_listed(
    folder: Path, tmp_path: Path
) -> None:
    seen: Seen = []
    index = make_index(tmp_path / "i", folder, seen)
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_text("bad")
    bring_in(index, folder)
    assert (seen, index.list_unread().keys()) == ([], {"a.mp4", "b.mp4", "c.mp4"})
    for path in folder.iterdir():
        path.unlink()
    bring_in(index, folder)
    assert (seen, index.list_unread()) == ([], {})


def test_videos_and_rejections_are_removed_by_path(folder: Path, store: IndexStore) -> None:
    index = make_index(store.path, folder, [])
    store.reject([RejectedVideo(identify_video("b.mp4"), "b.mp4", "damaged", 1, 2)])
    assert index.list_unembedded()["b.mp4"].reason == "damaged"
    index.remove({"a.mp4", "b.mp4"})
    index.refresh()
    assert (index.videos, index.list_unembedded()) == ({}, {})


def test_an_index_of_another_folder_is_refused(store: IndexStore, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"/i holds videos of .*/videos, not of .*; watch that folder"):
        make_index(store.path, tmp_path, [])


def test_what_is_no_catalog_beside_the_index_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "i.catalog.parquet").write_text("a poem")
    with pytest.raises(CatalogError, match=r"i\.catalog\.parquet: exists and is not a catalog"):
        bring_in(make_index(tmp_path / "i", folder, []), folder)
