from pathlib import Path

import pytest

from tests.data.layouts.trees import add_videos, annotations_of, as_rows, read, scan, write_tree
from unreel.data.layouts.kinetics import make_kinetics, read_kinetics
from unreel.errors import CatalogError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = (
    HEADER
    + 'air drumming,_dbcJuKJQNs,40,50,train,0\n"massaging person\'s head",-3B32lodo2M,59,69,train,0\n'
    + "air drumming,gone0000000,0,10,train,0\n"
)
VAL = HEADER.replace(",is_cc", "") + "abseiling,a2X2hz1G6i8,1200.0,1210.0,validate\n"
TEST = "youtube_id,time_start,time_end,split\nzzzzzzzzzzz,7,17,test\n"


def test_class_folders_with_underscores_become_a_catalog(data: Path, clip: Path) -> None:
    write_tree(data, {"annotations/train.csv": TRAIN, "annotations/val.csv": VAL})
    names = [
        "train/air_drumming/_dbcJuKJQNs_000040_000050.mp4",
        "train/massaging_person's_head/-3B32lodo2M_000059_000069.mkv",
        "val/abseiling/a2X2hz1G6i8_001200_001210.mp4",
    ]
    add_videos(data, names, clip)
    catalog, summary, rejected = scan("kinetics400", data)
    assert list(zip(catalog.labels, catalog.splits, catalog.groups, strict=True)) == [
        ("air drumming", "train", "_dbcJuKJQNs"),
        ("massaging person's head", "train", "-3B32lodo2M"),
        ("abseiling", "val", "a2X2hz1G6i8"),
    ]
    assert list(rejected) == ["air drumming/gone0000000_000000_000010.mp4"]
    assert summary.notes == ("no list was found of test, which is left out",)
    assert summary.warnings == (
        "the annotations name 3 classes, published are 400",
        "videos that the annotations name are not on the disk (train: 1 of 3 missing, val: 0 of 1 missing; "
        "by class: air drumming 1)",
    )


def test_files_without_class_folders_and_a_test_list_without_labels_are_read(tmp_path: Path) -> None:
    write_tree(tmp_path, {"kinetics400_test.csv": TEST, "validate.csv": VAL})
    names = ["zzzzzzzzzzz_000007_000017.mp4", "a2X2hz1G6i8_001200_001210.mp4"]
    laid_out = read("kinetics400", add_videos(tmp_path, names))
    assert [(video.label, video.split) for video in laid_out.videos] == [("abseiling", "val"), ("", "test")]
    assert laid_out.notes == ["no list was found of train, which is left out"]
    write_tree(tmp_path, {"train.csv": TRAIN})
    assert read("kinetics400", tmp_path).notes == []


@pytest.mark.parametrize(
    "name",
    [
        "train.csv",
        "kinetics700_train.csv",
        "kinetics-700_train.csv",
        "kinetics_700_train.csv",
        "k700_train.csv",
    ],
)
def test_lists_go_by_several_names(name: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {name: TRAIN})
    annotations = make_kinetics(700).read(annotations_of(tmp_path), "")
    assert as_rows(annotations.videos)[:1] == [
        ("air drumming/_dbcJuKJQNs_000040_000050.mp4", "air drumming", "train", "_dbcJuKJQNs")
    ]
    assert annotations.published.classes == 700
    assert annotations.notes == ["no list was found of val and test, which are left out"]


def test_classes_of_all_lists_are_written_with_spaces(tmp_path: Path) -> None:
    """Some copies of the lists have underscores."""
    write_tree(tmp_path, {"train.csv": HEADER + "air_drumming,abc,0,10,train,0\n"})
    laid_out = read("kinetics400", add_videos(tmp_path, ["abc_000000_000010.mp4"]))
    assert [video.label for video in laid_out.videos] == ["air drumming"]


def test_identifiers_that_differ_in_capitals_are_different(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train.csv": HEADER + "a,Abc,0,10,train,0\nb,aBc,0,10,train,0\n"})
    laid_out = read("kinetics400", add_videos(tmp_path, ["aBc_000000_000010.mp4"]))
    assert [video.label for video in laid_out.videos] == ["b"]


def test_without_any_list_nothing_is_read(tmp_path: Path) -> None:
    message = r"train\.csv, val\.csv or test\.csv: there is no such annotation file .*Kinetics-600 download"
    with pytest.raises(CatalogError, match=message):
        read("kinetics600", tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,abc,x,10,train,0", r"train\.csv, line 2: time_start is 'x', not a number of seconds; download"),
        ("a,abc,0,-1,train,0", r"line 2: time_end is '-1', not"),
        ("a,abc,nan,10,train,0", r"line 2: time_start is 'nan', not"),
        ("a,abc,0,1e9,train,0", r"line 2: time_end is '1e9', not"),
        ("a,../abc,0,10,train,0", r"line 2: '\.\./abc' is no name as"),
        ("a/../b,abc,0,10,train,0", r"line 2: 'a/\.\./b' is no class as"),
        ("a,abc,0,10", r"line 2: has 4 cells but the header 6"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(row: str, message: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"train.csv": HEADER + row + "\n"})
    with pytest.raises(ValueError, match=message):
        read_kinetics(annotations_of(tmp_path), "", num_classes=400)
