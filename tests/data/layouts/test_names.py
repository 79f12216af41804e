import os
from pathlib import Path
from typing import get_args

import pytest

from tests.data.layouts.trees import add_videos, read, write_tree
from unreel.data.layouts.names import LAYOUTS, DataSet, LayoutName, read_data_set
from unreel.errors import CatalogError

LISTS = {"a_test_split1.txt": "x.avi 1\ny.avi 2\n"}


def test_every_name_is_a_layout_but_none() -> None:
    assert set(get_args(LayoutName)) == {"none", *LAYOUTS}
    assert all(layout.origin and layout.splits for layout in LAYOUTS.values())


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"mmact"}))
def test_whoever_lacks_annotations_is_told_where_they_come_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match=r"there is no such annotation file in .*; it is part of .*; say where"
    ):
        read(name, tmp_path)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_split_that_a_data_set_does_not_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"layout {name} has no split '9' \(--layout-split\); it has "):
        read(name, tmp_path, "9")


def test_a_split_or_annotations_need_a_layout() -> None:
    for wrong in ({"split": "1"}, {"annotations": Path("a")}):
        with pytest.raises(ValueError, match="are those of a data set; name it with --layout"):
            DataSet(**wrong)  # type: ignore[arg-type]


def test_annotations_may_lie_elsewhere(tmp_path: Path) -> None:
    lists = write_tree(tmp_path / "lists", LISTS)
    videos = add_videos(tmp_path / "videos", ["a/x.avi", "a/y.avi"])
    data_set = DataSet("hmdb51", annotations=lists)
    laid_out = read_data_set(data_set, [videos], lambda _: None)
    assert [(video.path, video.label, video.split) for video in laid_out.videos] == [
        (str(videos / "a" / "x.avi"), "a", "train"),
        (str(videos / "a" / "y.avi"), "a", "test"),
    ]


def test_several_sources_are_one_data_set(tmp_path: Path) -> None:
    write_tree(tmp_path / "one", LISTS)
    add_videos(tmp_path, ["one/a/x.avi", "two/a/y.avi", "two/a/z.avi"])
    laid_out = read_data_set(DataSet("hmdb51"), [tmp_path / "one", tmp_path / "two"], lambda _: None)
    assert [os.path.relpath(video.path, tmp_path) for video in laid_out.videos] == [
        "one/a/x.avi",
        "two/a/y.avi",
    ]
    assert laid_out.notes == [
        "videos on the disk that no annotation names, and which are left out: 1 (z.avi)"
    ]


def test_of_many_videos_that_nothing_names_a_few_are_shown(tmp_path: Path) -> None:
    write_tree(tmp_path, LISTS)
    (note,) = read("hmdb51", add_videos(tmp_path, [f"{number}.avi" for number in range(5)])).notes
    assert note.endswith("left out: 5 (0.avi, 1.avi, 2.avi, ...)")


def test_a_file_that_cannot_be_read_is_found_all_the_same(tmp_path: Path) -> None:
    write_tree(tmp_path, LISTS | {"a/x.avi": ""})
    laid_out = read("hmdb51", tmp_path)
    assert [video.path for video in laid_out.videos] == [str(tmp_path / "a" / "x.avi")]
    assert list(laid_out.missing) == [str(tmp_path / "a" / "y.avi")]


def test_a_file_as_source_is_refused(tmp_path: Path) -> None:
    add_videos(tmp_path, ["x.avi"])
    with pytest.raises(
        CatalogError, match=r"x\.avi: layout hmdb51 takes folders; name the folder of the videos"
    ):
        read("hmdb51", tmp_path / "x.avi")


def test_whoever_waits_hears_of_it(tmp_path: Path) -> None:
    heard: list[int] = []
    add_videos(write_tree(tmp_path, LISTS), ["a/x.avi", "a/y.avi"])
    read_data_set(DataSet("hmdb51"), [tmp_path], heard.append)
    assert heard[-1] == 2
