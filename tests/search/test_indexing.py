import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.search.mean_color import MeanColor, change_rows
from tests.search.small_indexes import build_video, list_ids
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError, SearchError
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.search.filters import Filter
from unreel.search.index_features import index_features
from unreel.search.index_store import IndexStore
from unreel.search.indexing import IndexSummary, find_video, open_index, update_index
from unreel.search.video_index import VideoIndex

READ = ReadConfig(clips_per_video=2, batch_size=8, num_workers=0)
COUNTS = ("kept", "added", "replaced", "removed", "rejected", "relabelled", "num_videos", "num_clips")


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def whole(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "v.index"
    update_index(path, catalog, MeanColor(), encoder_folder="/runs/a", read=READ)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """An index of all twelve videos, to be changed."""
    return Path(shutil.copy(whole, tmp_path / "v.index"))


def count(summary: IndexSummary) -> dict[str, int]:
    """Return the numbers of a summary that are not zero."""
    return {name: value for name in COUNTS if (value := getattr(summary, name))}


def read_ids(path: Path) -> list[str]:
    return list_ids(IndexStore.open(path))


def test_an_index_holds_what_an_extraction_gives(whole: Path, catalog: Catalog, tmp_path: Path) -> None:
    extract_features(MeanColor(), catalog, tmp_path / "f.parquet", read=READ)
    table = FeatureTable.load(tmp_path / "f.parquet")
    store = IndexStore.open(whole)
    with store.read() as reader:
        ((keys, vectors),) = reader.iterate_vectors("clip")
        np.testing.assert_array_equal(vectors, table.vectors)
        places = reader.locate("clip", keys)
        assert [places[int(key)][0].id for key in keys] == table.video_ids.tolist()
        assert [places[int(key)][1] for key in keys] == table.column("start_sec").tolist()
        video = reader.video(catalog.video(3).id)
    expected = catalog.video(3)
    assert video is not None
    assert (video.file, video.seconds, video.label) == (expected.path, expected.seconds, expected.label)
    assert (video.split, video.group, video.num_bytes) == (expected.split, expected.group, expected.num_bytes)
    assert store.info.encoder_folder == "/runs/a"
    assert store.info.sampling == table.info.sampling
    assert (store.info.dimension, store.info.clips_per_video, store.info.root) == (3, 2, str(catalog.root))


def test_a_second_call_embeds_nothing_and_changes_nothing(path: Path, catalog: Catalog) -> None:
    embedder, told = MeanColor(), []
    before = path.read_bytes()
    summary = update_index(path, catalog, embedder, read=READ, progress=lambda *step: told.append(step))
    assert count(summary) == {"kept": 12, "num_videos": 12, "num_clips": 24}
    assert (summary.videos, summary.out) == (12, path)
    assert embedder.num_clips == 0
    assert told == [(0, 0, "")]
    assert path.read_bytes() == before


def test_only_what_is_new_is_embedded_and_progress_is_told(catalog: Catalog, tmp_path: Path) -> None:
    update_index(tmp_path / "v.index", catalog.take(range(5)), MeanColor(), read=READ)
    embedder, told = MeanColor(), []
    summary = update_index(
        tmp_path / "v.index", catalog, embedder, read=READ, progress=lambda *step: told.append(step)
    )
    assert count(summary) == {"kept": 5, "added": 7, "num_videos": 12, "num_clips": 24}
    assert embedder.num_clips == 14
    assert told == [(0, 7, ""), (4, 7, ""), (7, 7, "")]
    assert read_ids(tmp_path / "v.index") == catalog.ids


@pytest.mark.parametrize(("column", "value"), [("bytes", 7), ("mtime_ns", 8)])
def test_a_file_that_changed_is_embedded_again(path: Path, catalog: Catalog, column: str, value: int) -> None:
    changed = change_rows(catalog, column, {2: value})
    embedder = MeanColor()
    summary = update_index(path, changed, embedder, read=READ)
    assert count(summary) == {"kept": 11, "replaced": 1, "num_videos": 12, "num_clips": 24}
    assert embedder.num_clips == 2
    assert count(update_index(path, changed, embedder, read=READ))["kept"] == 12


def test_labels_splits_and_groups_follow_the_catalog(path: Path, catalog: Catalog) -> None:
    changed = change_rows(change_rows(catalog, "label", {0: "new", 1: "new"}), "group", {0: "g"})
    embedder = MeanColor()
    summary = update_index(path, changed, embedder, read=READ)
    assert count(summary) == {"kept": 12, "relabelled": 2, "num_videos": 12, "num_clips": 24}
    assert embedder.num_clips == 0
    with IndexStore.open(path).read() as reader:
        assert [video.id for video in reader.find_videos(Filter(labels=("new",)))] == catalog.ids[:2]


def test_what_is_no_longer_in_the_catalog_stays_unless_pruned(path: Path, catalog: Catalog) -> None:
    part = catalog.take([0, 1, 2])
    assert count(update_index(path, part, MeanColor(), read=READ)) == {
        "kept": 3,
        "num_videos": 12,
        "num_clips": 24,
    }
    summary = update_index(path, part, MeanColor(), read=READ, is_pruned=True)
    assert count(summary) == {"kept": 3, "removed": 9, "num_videos": 3, "num_clips": 6}
    assert read_ids(path) == catalog.ids[:3]


def test_pruning_to_a_split_leaves_that_split(path: Path, catalog: Catalog) -> None:
    summary = update_index(path, catalog, MeanColor(), split="test", read=READ, is_pruned=True)
    assert count(summary) == {"kept": 3, "removed": 9, "num_videos": 3, "num_clips": 6}
    with IndexStore.open(path).read() as reader:
        assert reader.count_values("split") == {"test": 3}


def break_file(catalog: Catalog, row: int, folder: Path) -> Catalog:
    """Return the catalog over copies of the files, one of which has become text."""
    for video in catalog:
        shutil.copy(video.path, folder)
    folder.joinpath(catalog.video(row).path.name).write_text("no video")
    return Catalog(catalog.table, folder)


def test_a_video_that_fails_is_noted_and_tried_again_when_its_file_changes(
    catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    broken = break_file(catalog, 5, tmp_path / "videos")
    path, told = tmp_path / "v.index", []
    summary = update_index(path, broken, MeanColor(), read=READ, progress=lambda *step: told.append(step))
    assert count(summary) == {"added": 11, "rejected": 1, "num_videos": 11, "num_clips": 22}
    assert told[-1] == (12, 12, "1 rejected")
    with IndexStore.open(path).read() as reader:
        (rejected,) = reader.rejected().values()
    assert (rejected.id, rejected.path) == (catalog.ids[5], catalog.video(5).path.name)
    assert (rejected.num_bytes, rejected.mtime_ns) == (
        catalog.video(5).num_bytes,
        catalog.table["mtime_ns"][5].as_py(),
    )
    assert rejected.reason
    again = MeanColor()
    summary = update_index(path, broken, again, read=READ, progress=lambda *step: told.append(step))
    assert told[-1] == (0, 0, "")
    assert count(summary) == {
        "kept": 11,
        "rejected": 1,
        "num_videos": 11,
        "num_clips": 22,
    }
    assert again.num_clips == 0
    shutil.copy(catalog.video(5).path, tmp_path / "videos")
    mended = change_rows(broken, "mtime_ns", {5: 77})
    assert count(update_index(path, mended, again, read=READ))["added"] == 1
    with IndexStore.open(path).read() as reader:
        assert reader.rejected() == {}


def test_a_video_that_fails_later_leaves_the_index(catalog: Catalog, tmp_path: Path) -> None:
    for video in catalog:
        shutil.copy(video.path, tmp_path)
    moved = Catalog(catalog.table, tmp_path)
    update_index(tmp_path / "v.index", moved, MeanColor(), read=READ)
    moved.video(5).path.write_text("no video")
    summary = update_index(tmp_path / "v.index", change_rows(moved, "bytes", {5: 8}), MeanColor(), read=READ)
    assert count(summary) == {"kept": 11, "rejected": 1, "num_videos": 11, "num_clips": 22}
    assert catalog.ids[5] not in read_ids(tmp_path / "v.index")


def test_pruning_forgets_rejections_too(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    broken = break_file(catalog, 5, tmp_path / "videos")
    update_index(tmp_path / "v.index", broken, MeanColor(), read=READ)
    rest = broken.take([row for row in range(12) if row != 5])
    summary = update_index(tmp_path / "v.index", rest, MeanColor(), read=READ, is_pruned=True)
    assert (summary.removed, summary.rejected) == (0, 0)
    with IndexStore.open(tmp_path / "v.index").read() as reader:
        assert reader.rejected() == {}


def test_vectors_of_a_table_are_adopted_with_the_files_as_they_are(catalog: Catalog, tmp_path: Path) -> None:
    """A table knows neither lengths nor stamps; the catalog brings them, and nothing is embedded."""
    extract_features(MeanColor(), catalog, tmp_path / "f.parquet", read=READ)
    path, embedder = tmp_path / "v.index", MeanColor()
    index_features(path, FeatureTable.load(tmp_path / "f.parquet"))
    IndexStore.open(path).set_files(dict.fromkeys(catalog.ids, (0.1, None, None)))
    longer = change_rows(catalog, "seconds", {4: 99.0})
    assert count(update_index(path, longer, embedder, read=READ))["kept"] == 12
    assert embedder.num_clips == 0
    with IndexStore.open(path).read() as reader:
        video = reader.video(catalog.ids[4])
        assert None not in {value for stamp in reader.stamps().values() for value in stamp}
    assert video is not None
    assert video.seconds == 99.0
    changed = change_rows(catalog, "bytes", {4: 1})
    assert count(update_index(path, changed, embedder, read=READ))["replaced"] == 1


def test_a_pass_that_was_written_survives_the_next_that_fails(catalog: Catalog, tmp_path: Path) -> None:
    class Failing(MeanColor):
        def embed_clips(self, *arguments: object) -> object:  # type: ignore[override]
            if self.num_clips >= 8:
                raise KeyboardInterrupt
            return super().embed_clips(*arguments)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        update_index(tmp_path / "v.index", catalog, Failing(), read=READ)
    assert read_ids(tmp_path / "v.index") == catalog.ids[:4]
    embedder = MeanColor()
    assert count(update_index(tmp_path / "v.index", catalog, embedder, read=READ))["kept"] == 4
    assert embedder.num_clips == 16


def test_several_vectors_per_clip_are_indexed(catalog: Catalog, tmp_path: Path) -> None:
    summary = update_index(tmp_path / "v.index", catalog.take([0]), MeanColor(), pooling="frame", read=READ)
    assert count(summary) == {"added": 1, "num_videos": 1, "num_clips": 4}
    with IndexStore.open(tmp_path / "v.index").read() as reader:
        assert sorted(clip.clip_index for clip in reader.clips(catalog.ids[0])) == [0, 0, 1, 1]


def test_the_index_can_be_searched(path: Path, catalog: Catalog) -> None:
    index = VideoIndex.open(path)
    for video_id in catalog.ids[:3]:
        assert index.search(index.embed_stored(video_id), top_k=1)[0].video_id == video_id


def test_other_encoders_settings_and_folders_are_refused_and_nothing_changes(
    path: Path, catalog: Catalog, tmp_path: Path
) -> None:
    before = read_ids(path)
    with pytest.raises(
        SearchError, match=r"'mean color' \(hash c{16}\), these are of 'other' \(hash d{16}\)"
    ):
        update_index(path, catalog, MeanColor(name="other", hash="d" * 16), read=READ)
    with pytest.raises(SearchError, match=r"made with clips_per_video 2, this is 3; give the same"):
        update_index(path, catalog, MeanColor(), read=dataclasses.replace(READ, clips_per_video=3))
    with pytest.raises(SearchError, match=r"made with pooling 'average', this is 'frame'"):
        update_index(path, catalog, MeanColor(), pooling="frame", read=READ)
    with pytest.raises(SearchError, match=r"made with root '.*', this is '.*'"):
        update_index(path, Catalog(catalog.table, tmp_path), MeanColor(), read=READ)
    with pytest.raises(CatalogError, match="no split 'dev'"):
        update_index(path, catalog, MeanColor(), split="dev", read=READ, is_pruned=True)
    assert read_ids(path) == before


def test_an_unknown_split_makes_no_index(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no split 'dev'"):
        update_index(tmp_path / "v.index", catalog, MeanColor(), split="dev", read=READ)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_has_moved_is_noted(path: Path) -> None:
    info = IndexStore.open(path).info
    open_index(path, dataclasses.replace(info, encoder_folder="/runs/b"))
    assert IndexStore.open(path).info.encoder_folder == "/runs/b"
    open_index(path, dataclasses.replace(info, encoder_folder=""))
    assert IndexStore.open(path).info.encoder_folder == "/runs/b"


def test_a_video_is_named_by_its_id_or_its_path(path: Path, catalog: Catalog) -> None:
    store = IndexStore.open(path)
    assert find_video(store, catalog.ids[3]) == catalog.ids[3]
    assert find_video(store, "03.mp4") == catalog.ids[3]
    with pytest.raises(
        SearchError, match=r"has no video '3\.mp4'; give an id, or a path .* of its 12 videos"
    ):
        find_video(store, "3.mp4")
    # An id that is another's path: the id counts.
    store.add([build_video("04.mp4", [[1, 1, 1]], path="x.mp4")])
    assert find_video(store, "04.mp4") == "04.mp4"


def test_a_rejected_video_is_named_only_where_it_counts(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    broken = break_file(catalog, 5, tmp_path / "videos").take([4, 5])
    update_index(tmp_path / "v.index", broken, MeanColor(), read=READ)
    store = IndexStore.open(tmp_path / "v.index")
    with pytest.raises(SearchError, match=r"has no video '05\.mp4'"):
        find_video(store, "05.mp4")
    assert find_video(store, "05.mp4", with_rejected=True) == catalog.ids[5]
    assert find_video(store, catalog.ids[5], with_rejected=True) == catalog.ids[5]
