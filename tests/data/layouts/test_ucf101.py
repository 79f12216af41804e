from pathlib import Path

import pytest

from tests.data.layouts.trees import add_videos, annotations_of, as_rows, read, scan, write_tree
from unreel.data.layouts.ucf101 import read_ucf101
from unreel.errors import CatalogError

LISTS = {
    "classInd.txt": "1 ApplyEyeMakeup\r\n2 Archery\r\n3 HandstandPushups\r\n",
    "trainlist01.txt": (
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
        "Archery/v_Archery_g09_c02.avi 2\r\n"
        "HandstandPushups/v_HandStandPushups_g08_c01.avi 3\r\n"
    ),
    "testlist01.txt": (
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nHandStandPushups/v_HandStandPushups_g01_c01.avi\r\n"
    ),
}
NAMES = [
    "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
    "UCF-101/Archery/v_Archery_g09_c02.avi",
    "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi",
    "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
    "UCF-101/HandstandPushups/v_HandstandPushups_g01_c01.avi",
]


def write_lists(folder: Path, **changes: str) -> Path:
    lists = LISTS | {f"{name}.txt": text for name, text in changes.items()}
    return write_tree(folder, {f"splits/ucfTrainTestlist/{name}": text for name, text in lists.items()})


def test_the_data_set_as_it_is_unpacked_becomes_a_catalog(data: Path, clip: Path) -> None:
    """One class is spelled in two ways, in lists and on the disk; one video is missing, one is not named."""
    names = [name for name in NAMES if "Archery" not in name]
    add_videos(write_lists(data), [*names, "UCF-101/Yoga/v_Yoga_g01_c01.avi"], clip)
    catalog, summary, rejected = scan("ucf101", data)
    assert catalog.root == data
    assert list(zip(catalog.labels, catalog.splits, catalog.groups, strict=True)) == [
        ("ApplyEyeMakeup", "test", "ApplyEyeMakeup_g01"),
        ("ApplyEyeMakeup", "train", "ApplyEyeMakeup_g08"),
        ("HandstandPushups", "train", "HandstandPushups_g08"),
        ("HandstandPushups", "test", "HandstandPushups_g01"),
    ]
    assert rejected == {
        "Archery/v_Archery_g09_c02.avi": "missing: the annotations name it for train, no file has this name"
    }
    assert summary.warnings == (
        "the annotations name 3 videos for train, published are 9537",
        "the annotations name 2 videos for test, published are 3783",
        "the annotations name 3 classes, published are 101",
        "videos that the annotations name are not on the disk (test: 0 of 2 missing, train: 1 of 3 missing; "
        "by class: Archery 1)",
    )
    assert summary.notes == (
        "videos on the disk that no annotation names, and which are left out: 1 (v_Yoga_g01_c01.avi)",
    )


def test_another_split_is_chosen_by_name(tmp_path: Path) -> None:
    add_videos(write_lists(tmp_path), NAMES)
    write_tree(tmp_path / "splits" / "ucfTrainTestlist", {"trainlist02.txt": LISTS["testlist01.txt"]})
    write_tree(tmp_path / "splits" / "ucfTrainTestlist", {"testlist02.txt": LISTS["trainlist01.txt"]})
    assert [video.split for video in read("ucf101", tmp_path, "2").videos] == ["train"] * 2 + ["test"] * 3
    with pytest.raises(CatalogError, match=r"trainlist03\.txt: there is no such annotation file"):
        read("ucf101", tmp_path, "3")
    with pytest.raises(
        ValueError, match=r"layout ucf101 has no split '4' \(--layout-split\); it has 1, 2, 3"
    ):
        read("ucf101", tmp_path, "4")


def test_numbers_of_splits_that_are_recalled_are_told_apart(tmp_path: Path) -> None:
    write_tree(tmp_path, LISTS | {"trainlist02.txt": "", "testlist02.txt": ""})
    assert read_ucf101(annotations_of(tmp_path), "1").published.is_verified
    assert not read_ucf101(annotations_of(tmp_path), "2").published.is_verified


def test_a_name_that_is_no_group_has_none(tmp_path: Path) -> None:
    write_lists(tmp_path, testlist01="Archery/v_Archery_g01_c01.avi\nArchery/own.avi\n", trainlist01="")
    assert as_rows(read_ucf101(annotations_of(tmp_path), "1").videos) == [
        ("Archery/v_Archery_g01_c01.avi", "Archery", "test", "Archery_g01"),
        ("Archery/own.avi", "Archery", "test", ""),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"testlist01": "Archery/a.avi\n\nYoga/b.avi\n"},
            r"testlist01\.txt, line 3: 'Yoga' is no class of classInd\.txt; the two belong together",
        ),
        (
            {"trainlist01": "Archery/a.avi 3\n"},
            r"trainlist01\.txt, line 1: class 3 for 'Archery', which is 2 in classInd\.txt",
        ),
        ({"classInd": "1 Archery\nYoga 2\n"}, r"classInd\.txt, line 2: 'Yoga 2' is no `number class` line"),
        ({"classInd": "1\n"}, r"classInd\.txt, line 1: '1' is no `number class` line"),
        (
            {"testlist01": "../../secret.avi\n"},
            r"testlist01\.txt, line 1: '\.\./\.\./secret\.avi' is no name as",
        ),
        ({"testlist01": "/etc/passwd\n"}, r"testlist01\.txt, line 1: '/etc/passwd' is no name as"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_by_line(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    write_lists(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        read("ucf101", tmp_path)
