import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.search.watching import HandWatch
from unreel.data import scan
from unreel.data.listing import Listing
from unreel.errors import CatalogError, SearchError
from unreel.search import folder_watcher
from unreel.search.index_store import IndexStore

MakeWatch = Callable[..., HandWatch]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWatch:
    return lambda **options: HandWatch(tmp_path, monkeypatch, **options)


@pytest.fixture
def watch(make: MakeWatch) -> HandWatch:
    return make()


@pytest.fixture
def filled(watch: HandWatch) -> HandWatch:
    """Three videos, embedded."""
    for name in ("a.mp4", "b.mp4", "day/c.mp4"):
        watch.write(name)
    assert watch.settle().videos == 3
    watch.embedded.clear()
    return watch


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("nothing was due")


def test_an_empty_folder_is_watched_without_an_index(watch: HandWatch) -> None:
    status = watch.settle()
    assert (status.videos, status.waiting, status.rejected, status.messages) == (0, 0, 0, ())
    assert not watch.index.exists()


def test_what_arrives_is_embedded_once_it_has_settled(watch: HandWatch) -> None:
    watch.write("a.mp4")
    watch.write("day/b.mp4")
    first = watch.look()
    assert (first.videos, first.waiting, first.undecided, first.messages) == (0, 2, 2, ())
    assert watch.look(4.9).waiting == 2
    status = watch.look(0.1)
    assert (status.videos, status.waiting, status.undecided) == (2, 0, 0)
    assert status.messages == ("added 2: a.mp4, day/b.mp4",)
    assert watch.embedded == ["a.mp4", "day/b.mp4"]
    assert watch.watcher.num_added == 2
    assert sorted(path.name for path in watch.index.parent.iterdir()) == [
        "videos",
        "videos.index",
        "videos.index.catalog.parquet",
        "videos.index.rejected.csv",
    ]


def test_a_file_that_grows_waits_until_it_does_not(watch: HandWatch) -> None:
    watch.write("ready.mp4")
    for length in range(1, 8):
        watch.write("growing.mp4", "g" * length)
        watch.look(2.0)
    assert watch.videos().keys() == {"ready.mp4"}
    watch.write("growing.mp4")
    assert watch.look(4.0).waiting == 1
    assert watch.look(4.9).waiting == 1
    status = watch.look(0.1)
    assert status.messages == ("added 1: growing.mp4",)
    assert watch.embedded == ["ready.mp4", "growing.mp4"]


def test_a_folder_that_stays_as_it_is_costs_no_work(
    filled: HandWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_watcher.FolderWatcher, "_go_round", forbid)
    for _ in range(3):
        assert filled.look(100).messages == ()
    assert filled.embedded == []


def test_what_has_been_gone_for_long_enough_is_dropped(filled: HandWatch) -> None:
    (filled.folder / "a.mp4").unlink()
    status = filled.look(1)
    assert (status.videos, status.waiting, status.undecided) == (3, 0, 1)
    assert filled.look(4.9).videos == 3
    status = filled.look(0.1)
    assert status.messages == ("dropped 1: a.mp4",)
    assert filled.videos().keys() == {"b.mp4", "day/c.mp4"}
    assert (filled.watcher.num_dropped, filled.embedded) == (1, [])


def test_what_comes_back_in_time_was_never_gone(filled: HandWatch) -> None:
    key = filled.videos()["a.mp4"].key
    status = (filled.folder / "a.mp4").stat()
    (filled.folder / "a.mp4").unlink()
    filled.look(1)
    filled.write("a.mp4", mtime_ns=status.st_mtime_ns)
    assert filled.look(3).messages == ()
    assert filled.look(30).messages == ()
    assert filled.videos()["a.mp4"].key == key


def test_a_changed_file_is_replaced_when_it_has_settled_and_found_as_it_was_until_then(
    filled: HandWatch,
) -> None:
    key = filled.videos()["a.mp4"].key
    filled.write("a.mp4", "go")
    filled.write("new.mp4")
    assert filled.look(1).waiting == 2
    filled.write("a.mp4", "good", mtime_ns=5)
    status = filled.look(5)
    assert status.messages == ("added 1: new.mp4",)
    assert filled.videos()["a.mp4"].key == key
    status = filled.look(5)
    assert status.messages == ("replaced 1: a.mp4",)
    assert filled.videos()["a.mp4"].key != key
    assert (filled.videos()["a.mp4"].num_bytes, filled.videos()["a.mp4"].mtime_ns) == (4, 5)
    assert filled.watcher.num_replaced == 1


def test_a_file_of_the_same_size_is_another_when_it_was_written_at_another_time(filled: HandWatch) -> None:
    filled.write("a.mp4", "good", mtime_ns=1)
    assert filled.settle().messages == ("replaced 1: a.mp4",)


def test_a_clock_that_jumps_back_years_changes_nothing_but_what_was_written(filled: HandWatch) -> None:
    filled.write("old.mp4", mtime_ns=-(10**18))
    filled.write("future.mp4", mtime_ns=2 * 10**18)
    assert filled.settle().messages == ("added 2: future.mp4, old.mp4",)
    assert filled.look(1).messages == ()


def test_a_renamed_file_is_embedded_anew_under_its_name(filled: HandWatch) -> None:
    (filled.folder / "a.mp4").rename(filled.folder / "z.mp4")
    assert filled.settle().messages == ("added 1: z.mp4", "dropped 1: a.mp4")
    assert filled.videos().keys() == {"b.mp4", "day/c.mp4", "z.mp4"}


def test_files_that_cannot_be_read_are_rejected_by_name_and_tried_again_when_they_change(
    filled: HandWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.write("camera.mp4", "no moov yet")
    status = filled.settle()
    assert (status.videos, status.rejected, status.waiting) == (3, 1, 0)
    assert status.messages == ("rejected camera.mp4: the file says that it is bad",)
    with monkeypatch.context() as patch:
        patch.setattr(folder_watcher.FolderWatcher, "_go_round", forbid)
        assert filled.look(1000).rejected == 1
    with monkeypatch.context() as patch:
        patch.setattr(scan, "_WORK", "tests.data.worker_jobs:forbid")
        (filled.folder / "b.mp4").unlink()
        assert filled.settle().messages == ("dropped 1: b.mp4",)
    filled.write("camera.mp4", "good")
    status = filled.settle()
    assert status.messages == ("added 1: camera.mp4",)
    assert (status.videos, status.rejected) == (3, 0)


def test_files_that_cannot_be_embedded_are_rejected_and_tried_again_when_they_change(
    filled: HandWatch,
) -> None:
    filled.failing = {"deep.mp4", "a.mp4"}
    filled.write("deep.mp4")
    filled.write("a.mp4", mtime_ns=1)
    status = filled.settle()
    assert status.messages == (
        "dropped 1: a.mp4",
        "rejected a.mp4: frame 3 is damaged",
        "rejected deep.mp4: frame 3 is damaged",
    )
    assert (status.videos, status.rejected) == (2, 2)
    assert filled.look(1000).messages == ()
    assert sorted(filled.embedded) == ["a.mp4", "deep.mp4"]
    filled.failing = set()
    filled.write("a.mp4", mtime_ns=2)
    (filled.folder / "deep.mp4").unlink()
    status = filled.settle()
    assert (status.messages, status.rejected) == (("added 1: a.mp4",), 0)


def test_a_file_that_was_rejected_is_forgotten_when_it_is_gone(filled: HandWatch) -> None:
    filled.failing = {"deep.mp4"}
    for name, content in (("bad.mp4", "bad"), ("deep.mp4", "good"), ("empty.mp4", "")):
        filled.write(name, content)
    assert filled.settle().rejected == 3
    for name in ("bad.mp4", "deep.mp4", "empty.mp4"):
        (filled.folder / name).unlink()
    status = filled.settle()
    assert (status.rejected, status.videos, status.undecided, status.messages) == (0, 3, 0, ())
    assert filled.look(100).undecided == 0


def test_a_video_that_turned_into_rubbish_leaves_the_index(filled: HandWatch) -> None:
    filled.write("a.mp4", "rubbish")
    (filled.folder / "b.mp4").write_text("")
    status = filled.settle()
    assert status.messages == (
        "dropped 2: a.mp4, b.mp4",
        "rejected a.mp4: the file says that it is bad",
        "rejected b.mp4: the file is empty (0 bytes)",
    )
    assert filled.videos().keys() == {"day/c.mp4"}


def test_when_only_rubbish_is_left_the_index_is_empty(watch: HandWatch) -> None:
    """A scan of files of which none can be used writes no catalog; here that is no error."""
    watch.write("a.mp4")
    watch.settle()
    watch.write("a.mp4", "rubbish")
    assert watch.settle().messages == ("dropped 1: a.mp4", "rejected a.mp4: the file says that it is bad")
    assert watch.videos() == {}
    watch.write("a.mp4", "good")
    assert watch.settle().messages == ("added 1: a.mp4",)


def test_an_empty_file_is_not_called_rejected_before_it_has_settled(watch: HandWatch) -> None:
    """As a program makes it that is about to write."""
    watch.write("a.mp4", "")
    status = watch.look()
    assert (status.rejected, status.undecided, status.messages) == (0, 1, ())
    watch.write("a.mp4")
    assert watch.settle().messages == ("added 1: a.mp4",)


def test_many_rejections_are_told_in_a_few_lines(watch: HandWatch) -> None:
    for number in range(8):
        watch.write(f"{number}.mp4", "bad")
    messages = watch.settle().messages
    assert messages[:5] == tuple(f"rejected {n}.mp4: the file says that it is bad" for n in range(5))
    assert messages[5:] == (f"rejected 3 more, see {watch.index}.rejected.csv",)


def test_a_file_without_the_right_to_read_it_is_tried_again_after_a_while(
    watch: HandWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed right is no change of size or time of writing."""
    refuse = "tests.search.test_folder_watcher:refuse"
    watch.write("a.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(scan, "_WORK", refuse)
        assert watch.settle().messages == ("rejected a.mp4: cannot be opened: Permission denied",)
    assert watch.look(599).messages == ()
    assert watch.look(1).messages == ("added 1: a.mp4",)
    with monkeypatch.context() as patch:
        patch.setattr(folder_watcher.FolderWatcher, "_go_round", forbid)
        watch.look(10_000)


def refuse(_: object) -> dict[str, Any]:
    return {"reason": "cannot be opened: Permission denied", "is_lasting": False}


def test_temporary_names_are_never_looked_at(watch: HandWatch) -> None:
    for name in (
        ".a.mp4",
        "b.mp4.part",
        "c.mp4.crdownload",
        ".hidden/d.mp4",
        "e.mp4~",
        "~f.mp4",
        "g.temp.mp4",
    ):
        watch.write(name)
    watch.write(".empty.mp4", "")
    status = watch.settle()
    assert (status.videos, status.waiting, status.rejected, status.undecided) == (0, 0, 0, 0)
    (watch.folder / "b.mp4.part").rename(watch.folder / "b.mp4")
    assert watch.settle().messages == ("added 1: b.mp4",)


def test_names_and_links_that_make_no_sense_are_rejected_and_do_no_harm(watch: HandWatch) -> None:
    watch.write("a.mp4")
    shutil.copy(watch.folder / "a.mp4", os.fsencode(watch.folder) + b"/caf\xe9.mp4")
    (watch.folder / "loop.mp4").symlink_to("loop.mp4")
    (watch.folder / "round").symlink_to(watch.folder)
    (watch.folder / "twin.mp4").symlink_to("a.mp4")
    watch.write('line\nbreak "漢" \u202e.mp4')
    status = watch.settle()
    assert (status.videos, status.rejected, status.undecided) == (2, 2, 0)
    rejected = [line for line in status.messages if line.startswith("rejected")]
    assert rejected[0] == r"rejected caf\xe9.mp4: the name is not UTF-8; rename the file or its folder"
    assert rejected[1].startswith("rejected loop.mp4: ")
    assert watch.look(100).messages == ()


def test_a_folder_that_vanishes_is_waited_for(filled: HandWatch) -> None:
    filled.folder.rename(filled.folder.with_name("elsewhere"))
    status = filled.look(1)
    assert status.messages == (f"{filled.folder} is not there: nothing is dropped, waiting for it",)
    assert status.videos == 3
    assert filled.look(1000).messages == ()
    filled.folder.with_name("elsewhere").rename(filled.folder)
    assert filled.look(1).messages == (f"{filled.folder} is there again",)
    assert filled.look(1000).messages == ()
    assert filled.videos().keys() == {"a.mp4", "b.mp4", "day/c.mp4"}
    assert filled.embedded == []


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), CatalogError("gone just now")])
def test_a_folder_that_cannot_be_listed_is_waited_for(
    filled: HandWatch, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> Listing:
        raise error

    monkeypatch.setattr(folder_watcher, "list_files", fail)
    (message,) = filled.look(1).messages
    assert f"cannot be read ({error})" in message
    assert filled.look(1000).videos == 3


def forbid_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Take away the right to list a folder, from root as well."""
    scandir = os.scandir

    def refuse_one(path: str) -> Any:
        if path == str(folder):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_one)


def test_videos_of_a_folder_that_may_not_be_listed_any_more_stay(
    filled: HandWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (filled.folder / "a.mp4").unlink()
    with monkeypatch.context() as patch:
        forbid_folder(patch, filled.folder / "day")
        status = filled.settle()
        assert filled.videos().keys() == {"b.mp4", "day/c.mp4"}
        assert status.messages[0] == "dropped 1: a.mp4"
        assert status.messages[1].startswith("rejected day: the folder cannot be read: permission denied")
    assert filled.settle().rejected == 0
    assert filled.embedded == []
    with monkeypatch.context() as patch:
        forbid_folder(patch, filled.folder)
        assert "cannot be read: nothing is dropped" in filled.settle().messages[0]
    assert filled.look(100).videos == 2


def test_all_videos_gone_at_once_stay_until_they_are_seen_again(filled: HandWatch) -> None:
    """As when the place of a disk that is not mounted is an empty folder."""
    shutil.move(filled.folder, filled.folder.with_name("kept"))
    filled.folder.mkdir()
    (message,) = filled.settle().messages
    assert message.startswith(f"all 3 videos are gone from {filled.folder} at once, as when a disk is not")
    assert "--allow-empty drops them" in message
    assert filled.look(1000).messages == ()
    filled.write("new.mp4")
    assert filled.settle().messages == ("added 1: new.mp4",)
    assert filled.look(1000).videos == 4
    shutil.copytree(filled.folder.with_name("kept"), filled.folder, dirs_exist_ok=True)
    assert filled.settle().messages == ()
    (filled.folder / "a.mp4").unlink()
    assert filled.settle().messages == ("dropped 1: a.mp4",)


def test_videos_that_are_all_moved_to_another_folder_are_there_under_their_new_names_alone(
    filled: HandWatch,
) -> None:
    (filled.folder / "2024").mkdir()
    for name in ("a.mp4", "b.mp4", "day"):
        (filled.folder / name).rename(filled.folder / "2024" / name)
    assert filled.settle().messages == (
        "added 3: 2024/a.mp4, 2024/b.mp4, 2024/day/c.mp4",
        "dropped 3: a.mp4, b.mp4, day/c.mp4",
    )


def test_another_disk_in_the_place_of_the_first_drops_nothing(filled: HandWatch) -> None:
    shutil.rmtree(filled.folder)
    filled.write("other.mp4", mtime_ns=1)
    messages = filled.settle().messages
    assert messages[0].startswith("all 3 videos are gone")
    assert messages[1:] == ("added 1: other.mp4",)
    assert filled.look(100).videos == 4


def test_all_videos_may_leave_at_once_when_that_is_allowed(filled: HandWatch) -> None:
    filled.start(is_empty_allowed=True)
    shutil.rmtree(filled.folder)
    filled.folder.mkdir()
    assert filled.settle().messages == ("dropped 3: a.mp4, b.mp4, day/c.mp4",)
    assert filled.look(1).videos == 0


def test_a_new_process_goes_on_where_the_old_one_stopped(
    filled: HandWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.write("bad.mp4", "bad")
    filled.settle()
    filled.write("new.mp4")
    (filled.folder / "b.mp4").unlink()
    filled.embedded.clear()
    filled.start()
    status = filled.look()
    assert (status.videos, status.waiting, status.undecided) == (3, 2, 3)
    assert filled.look(5).messages == (
        "added 1: new.mp4",
        "dropped 1: b.mp4",
        "rejected bad.mp4: the file says that it is bad",
    )
    assert filled.embedded == ["new.mp4"]


def test_folders_become_labels_when_asked_and_follow_the_flag(make: MakeWatch) -> None:
    watch = make(labels="from-folders")
    watch.write("jump/a.mp4")
    watch.write("b.mp4")
    watch.settle()
    assert {path: video.label for path, video in watch.videos().items()} == {
        "b.mp4": "",
        "jump/a.mp4": "jump",
    }


def test_labels_that_the_folder_does_not_give_stay_in_the_index(filled: HandWatch) -> None:
    """As those that a catalog with labels brought into the index before it was watched."""
    store = IndexStore.open(filled.index)
    store.update_metadata([(filled.videos()["a.mp4"].id, "jump", "train", "film")])
    filled.start()
    filled.write("a.mp4", mtime_ns=1)
    filled.settle()
    video = filled.videos()["a.mp4"]
    assert (video.label, video.split, video.group, video.mtime_ns) == ("jump", "train", "film", 1)
    filled.start(labels="from-folders")
    filled.look()
    assert filled.videos()["day/c.mp4"].label == "day"
    assert filled.videos()["a.mp4"].label == ""


def test_vectors_of_a_table_of_features_are_kept_though_nothing_is_known_of_their_files(
    filled: HandWatch,
) -> None:
    store = IndexStore.open(filled.index)
    from tests.search.watching import make_video
    from unreel.search.index_rows import NewVideo

    known = filled.videos()["a.mp4"]
    store.add([NewVideo(**{**vars(make_video("a.mp4", stamp=(None, None))), "id": known.id})])
    filled.update = lambda catalog: None  # type: ignore[method-assign, assignment]
    filled.start()
    assert filled.settle().videos == 3


def test_what_another_process_takes_out_or_deletes_is_put_back(filled: HandWatch) -> None:
    IndexStore.open(filled.index).remove([filled.videos()["a.mp4"].id])
    assert filled.look(1).messages == ("added 1: a.mp4",)
    for path in filled.index.parent.glob("videos.index*"):
        path.unlink()
    assert filled.look(1).messages == ("added 3: a.mp4, b.mp4, day/c.mp4",)
    assert filled.look(1).messages == ()


def test_an_index_of_another_folder_is_refused(filled: HandWatch, tmp_path: Path) -> None:
    filled.folder = tmp_path
    with pytest.raises(SearchError, match=r"holds videos of .*videos, not of .*; watch that folder"):
        filled.start()


def test_work_that_is_broken_off_is_counted_as_far_as_it_came(filled: HandWatch) -> None:
    def stop_after_one(catalog: Any) -> None:
        if len(catalog) > 3:
            HandWatch.update(filled, catalog.take(range(4)))
            raise KeyboardInterrupt

    filled.update = stop_after_one  # type: ignore[method-assign, assignment]
    filled.start()
    for name in ("x.mp4", "y.mp4"):
        filled.write(name)
    filled.look()
    with pytest.raises(KeyboardInterrupt):
        filled.look(5)
    assert filled.watcher.num_added == 1


def test_nothing_is_kept_of_what_came_and_went(make: MakeWatch) -> None:
    watch = make(settle_sec=0.0)
    watch.write("stays.mp4")
    for number in range(10):
        path = watch.write(f"{number}.mp4", "good" if number % 3 else "bad")
        watch.look(1)
        path.unlink()
        watch.look(1)
    watch.look(1)
    watcher: Any = watch.watcher
    assert watch.videos().keys() == {"stays.mp4"}
    sizes = [len(watcher._done), len(watcher._held), len(watcher._reasons), len(watcher._settling._since)]
    assert sizes == [1, 0, 0, 1]
