import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.catalog import Segment
from unreel.data.layouts.names import DataSet
from unreel.data.listing import Candidate, Listing, list_files, store_path
from unreel.data.video_lists import ListColumns
from unreel.errors import CatalogError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    return path


def stored(listing: Listing) -> list[str]:
    return [store_path(candidate.path, listing.root) for candidate in listing.candidates]


def by_name(listing: Listing) -> dict[str, Candidate]:
    return {os.path.basename(candidate.path): candidate for candidate in listing.candidates}


def test_a_folder_is_listed_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b/x.mp4", "a.mp4", "b.mp4", "B.mp4", "ä.mp4"):
        touch(tmp_path / name)
    listing = list_files([tmp_path])
    assert listing.root == tmp_path
    assert stored(listing) == ["B.mp4", "a.mp4", "b.mp4", "b/x.mp4", "ä.mp4"]


def test_a_relative_source_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "videos" / "a.mp4")
    monkeypatch.chdir(tmp_path)
    listing = list_files([Path("videos/../videos")])
    assert listing.root == tmp_path / "videos"
    assert listing.candidates[0].path == str(tmp_path / "videos" / "a.mp4")


def test_folders_label_what_they_hold_but_not_what_lies_in_the_source_itself(tmp_path: Path) -> None:
    for name in ("jump/a.mp4", "train/run/b.mp4", "c.mp4"):
        touch(tmp_path / name)
    files = by_name(list_files([tmp_path], labels="from-folders"))
    assert {name: file.label for name, file in files.items()} == {
        "a.mp4": "jump",
        "b.mp4": "run",
        "c.mp4": "",
    }
    assert {file.label for file in list_files([tmp_path]).candidates} == {""}


def test_paths_of_a_list_start_from_its_folder(tmp_path: Path) -> None:
    touch(tmp_path / "lists" / "clips" / "a.mp4")
    touch(tmp_path / "other" / "b.mp4")
    outside = touch(tmp_path / "c.mp4")
    path = tmp_path / "lists" / "train.txt"
    path.write_text(f"clips/a.mp4 1\n../other/b.mp4 2\n{outside} 3\n")
    listing = list_files([path])
    assert listing.root == tmp_path / "lists"
    assert stored(listing) == [str(outside), str(tmp_path / "other" / "b.mp4"), "clips/a.mp4"]
    assert [file.label for file in listing.candidates] == ["3", "2", "1"]


def test_root_is_where_the_paths_of_a_list_and_of_the_catalog_start(tmp_path: Path) -> None:
    touch(tmp_path / "videos" / "a.mp4")
    path = tmp_path / "lists" / "train.txt"
    path.parent.mkdir()
    path.write_text("videos/a.mp4 1\n")
    listing = list_files([path], root=tmp_path)
    assert (listing.root, stored(listing)) == (tmp_path, ["videos/a.mp4"])


def test_several_sources_share_the_folder_above_them(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4")
    touch(tmp_path / "b" / "y.mp4")
    listing = list_files([tmp_path / "a", tmp_path / "b" / "y.mp4"])
    assert (listing.root, stored(listing)) == (tmp_path, ["a/x.mp4", "b/y.mp4"])


def test_sources_without_a_shared_folder_start_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on drives C: and D:."""
    touch(tmp_path / "a.mp4")

    def refuse(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", refuse)
    assert list_files([tmp_path, tmp_path / "a.mp4"]).root == tmp_path


def test_a_named_file_may_end_as_it_likes(tmp_path: Path) -> None:
    assert stored(list_files([touch(tmp_path / "recording.bin")])) == ["recording.bin"]


def test_columns_of_a_table_reach_the_candidates(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    path = tmp_path / "v.csv"
    path.write_text("path,action,split,film,extra\na.mp4,jump,test,alien,1\n")
    listing = list_files([path], columns=ListColumns(label="action", group="film"))
    (file,) = listing.candidates
    assert (file.label, file.split, file.group) == ("jump", "test", "alien")
    assert listing.notes == ["v.csv: columns ignored: extra"]


def test_a_list_that_names_missing_files_has_them_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "folder.mp4").mkdir()
    path = tmp_path / "v.txt"
    path.write_text("a.mp4\ngone.mp4\nfolder.mp4\ngone.mp4\n")
    listing = list_files([path])
    assert stored(listing) == ["a.mp4"]
    assert listing.refused == {"gone.mp4": "file not found", "folder.mp4": "not a file but a folder"}
    assert listing.num_duplicates == 1


def test_names_that_are_not_utf8_are_refused_by_name(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for name in (b"/a.mp4", b"/b\xff.mp4"):
        with open(folder + name, "wb") as file:
            file.write(b"video")
    listing = list_files([tmp_path])
    reason = "the name is not UTF-8; rename the file or its folder"
    assert listing.candidates == []
    assert listing.refused == {"caf\\xe9/a.mp4": reason, "caf\\xe9/b\\xff.mp4": reason}


def test_a_file_is_listed_once_under_its_own_name_however_it_is_reached(tmp_path: Path) -> None:
    touch(tmp_path / "m.mp4")
    (tmp_path / "a.mp4").symlink_to("m.mp4")
    (tmp_path / "z.mp4").symlink_to("m.mp4")
    listing = list_files([tmp_path, tmp_path / "m.mp4"])
    assert stored(listing) == ["m.mp4"]
    assert listing.num_duplicates == 3
    assert listing.notes == ["files reached again, which have one row all the same: 3"]


def test_a_file_keeps_its_own_name_in_a_folder_reached_by_a_link(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "m.mp4")
    (tmp_path / "real" / "a.mp4").symlink_to("m.mp4")
    (tmp_path / "way").symlink_to("real")
    listing = list_files([tmp_path / "way"])
    assert (listing.root, stored(listing)) == (tmp_path / "way", ["m.mp4"])


def test_a_list_gives_its_name_as_split_when_asked_to(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        touch(tmp_path / name)
    (tmp_path / "train.txt").write_text("a.mp4 1\n")
    (tmp_path / "val.csv").write_text("path,split\nb.mp4,\nc.mp4,test\n")
    lists = [tmp_path / "train.txt", tmp_path / "val.csv"]
    assert [file.split for file in list_files(lists, splits="from-lists").candidates] == [
        "train",
        "val",
        "test",
    ]
    assert [file.split for file in list_files(lists).candidates] == ["", "", "test"]


def test_a_later_source_fills_in_what_an_earlier_one_left_open(tmp_path: Path) -> None:
    touch(tmp_path / "jump" / "a.mp4")
    path = tmp_path / "v.csv"
    path.write_text("path,label,split\njump/a.mp4,leap,test\n")
    (file,) = list_files([tmp_path, path]).candidates
    assert (file.label, file.split) == ("leap", "test")


def test_contradicting_lists_are_reported_and_the_first_is_kept(tmp_path: Path) -> None:
    for number in range(5):
        touch(tmp_path / f"{number}.mp4")
    path = tmp_path / "v.txt"
    path.write_text("".join(f"{number}.mp4 {label}\n" for label in "ab" for number in range(5)))
    listing = list_files([path])
    assert {file.label for file in listing.candidates} == {"a"}
    (warning,) = listing.warnings
    assert warning.startswith(
        "files listed again with another label, split, group or segments, of which the first was kept: 5"
    )
    assert f"{tmp_path / '0.mp4'} ('a', then 'b')" in warning
    assert warning.endswith("2.mp4 ('a', then 'b'), ...)")


def test_an_unreadable_folder_is_refused_and_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_files([tmp_path])
    assert list(listing.refused) == ["closed"]
    assert listing.refused["closed"].startswith("the folder cannot be read: permission denied")
    assert f"the folder {tmp_path / 'closed'} cannot be read: permission denied" in listing.warnings[0]
    assert listing.unread_folders == [str(tmp_path / "closed")]


def test_loops_are_noted(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "round").symlink_to(".")
    (note,) = list_files([tmp_path]).notes
    assert note.startswith(
        "links not followed, because they lead to folders that were read already, perhaps in"
    )
    assert note.endswith(f"a loop: 1 ({tmp_path / 'round'})")


def test_refused_and_other_files_of_a_folder_are_passed_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    touch(tmp_path / "manifest.csv")
    listing = list_files([tmp_path])
    assert listing.refused == {"pipe.mp4": "not a file but a named pipe"}
    assert listing.other_files == {".csv": 1}


def test_a_long_list_is_examined_in_turns_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.data.listing._FILES_PER_TURN", 2)
    for number in range(5):
        touch(tmp_path / f"{number}.mp4")
    path = tmp_path / "v.txt"
    path.write_text("".join(f"{number}.mp4\n" for number in range(5)))
    heard: list[tuple[int, int, str]] = []
    listing = list_files([path], progress=lambda *state: heard.append(state))
    assert stored(listing) == [f"{number}.mp4" for number in range(5)]
    assert [note for _, _, note in heard] == ["looking for videos"] * 3
    assert all(done == 0 and total >= 1 for done, total, _ in heard)


def test_sources_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"gone: there is no such folder, list or video"):
        list_files([tmp_path / "gone"])
    with pytest.raises(CatalogError, match=r"root .*gone is not a folder"):
        list_files([tmp_path], root=tmp_path / "gone")
    with pytest.raises(ValueError, match="no sources: name a folder, a list or a video"):
        list_files([])


@given(
    st.lists(st.text("ab.é /", min_size=1), min_size=1, max_size=4),
    st.lists(st.sampled_from("xyz"), max_size=3),
)
def test_a_stored_path_leads_back_to_the_file(words: list[str], root_words: list[str]) -> None:
    root = Path("/", *root_words)
    words = [*words, "v.mp4"]
    for path in (os.path.normpath("/" + "/".join(words)), os.path.normpath(os.path.join(root, *words))):
        clean = "/" + path.lstrip("/")
        is_below = Path(clean) != root and Path(clean).is_relative_to(root)
        assert os.path.join(root, store_path(clean, root)) == clean
        assert store_path(clean, root).startswith("/") != is_below


def test_paths_below_the_root_are_stored_relative_and_others_absolute(tmp_path: Path) -> None:
    assert store_path(f"{tmp_path}/a/b.mp4", tmp_path) == "a/b.mp4"
    assert store_path(f"{tmp_path}2/b.mp4", tmp_path) == f"{tmp_path}2/b.mp4"
    assert store_path("/b.mp4", Path("/")) == "b.mp4"


def test_segments_of_a_list_reach_the_candidates(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    path = tmp_path / "v.csv"
    path.write_text("path,start_sec,end_sec,label\na.mp4,0,1,x\na.mp4,2,3,y\n")
    (file,) = list_files([tmp_path, path]).candidates
    assert (file.label, file.segments) == ("", (Segment(0.0, 1.0, "x"), Segment(2.0, 3.0, "y")))


def test_lists_with_other_segments_contradict_each_other(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    for name, start in (("one.csv", 0), ("two.csv", 1)):
        (tmp_path / name).write_text(f"path,start_sec,end_sec,label\na.mp4,{start},2,x\n")
    listing = list_files([tmp_path / "one.csv", tmp_path / "two.csv"])
    assert listing.candidates[0].segments == (Segment(0.0, 2.0, "x"),)
    assert listing.warnings[0].endswith("a.mp4 (other segments))")


def write_data_set(folder: Path) -> Path:
    """HMDB51 with two classes, one video that is missing and one that no list names."""
    for name in ("clap/a.avi", "run/b.avi", "run/other.avi"):
        touch(folder / "videos" / name)
    (folder / "lists").mkdir()
    (folder / "lists" / "clap_test_split1.txt").write_text("a.avi 1\ngone.avi 2\n")
    (folder / "lists" / "run_test_split1.txt").write_text("b.avi 2\n")
    return folder


def test_a_data_set_is_listed_by_its_annotations(tmp_path: Path) -> None:
    listing = list_files([write_data_set(tmp_path)], data_set=DataSet("hmdb51"))
    assert [(store_path(file.path, tmp_path), file.label, file.split) for file in listing.candidates] == [
        ("videos/clap/a.avi", "clap", "train"),
        ("videos/run/b.avi", "run", "test"),
    ]
    assert listing.refused == {
        "clap/gone.avi": "missing: the annotations name it for test, no file has this name"
    }
    assert listing.other_files == {".txt": 2}
    assert listing.notes == [
        "videos on the disk that no annotation names, and which are left out: 1 (other.avi)"
    ]
    assert listing.warnings[-1] == (
        "videos that the annotations name are not on the disk (test: 1 of 2 missing, train: 0 of 1 missing; "
        "by class: clap 1)"
    )


def test_videos_of_a_data_set_that_cannot_be_read_keep_their_reason(tmp_path: Path) -> None:
    (write_data_set(tmp_path) / "videos" / "run" / "b.avi").write_bytes(b"")
    listing = list_files([tmp_path], data_set=DataSet("hmdb51"))
    assert listing.refused["videos/run/b.avi"] == "the file is empty (0 bytes)"
    assert len(listing.refused) == 2


def test_a_data_set_says_itself_what_its_labels_are(tmp_path: Path) -> None:
    data_set = DataSet("hmdb51")
    for options in (
        {"labels": "from-folders"},
        {"splits": "from-lists"},
        {"columns": ListColumns(label="x")},
    ):
        with pytest.raises(
            ValueError, match="layout hmdb51 takes labels and splits from its annotation files"
        ):
            list_files([tmp_path], data_set=data_set, **options)  # type: ignore[arg-type]
