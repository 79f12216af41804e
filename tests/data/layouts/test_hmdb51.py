from pathlib import Path

import pytest

from tests.data.layouts.trees import add_videos, annotations_of, as_rows, read, scan, write_tree
from unreel.data.layouts.hmdb51 import read_class_lists, read_hmdb51
from unreel.errors import CatalogError

LISTS = {
    "brush_hair_test_split1.txt": (
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n"
        "April_09_brush_hair_u_nm_np1_ba_goo_1.avi 0 \n"
        "Brushing_her_hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_le_goo_0.avi 2 \n"
    ),
    "clap_test_split1.txt": "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi 1\r\nown name.avi 2\r\n",
    "clap_test_split2.txt": "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi 2\n",
}
VIDEOS = [
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi",
    "brush_hair/Brushing_her_hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_le_goo_0.avi",
    "clap/#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
    "clap/own name.avi",
]


def write_lists(folder: Path, lists: dict[str, str] = LISTS) -> Path:
    return write_tree(folder, {f"testTrainMulti_7030_splits/{name}": text for name, text in lists.items()})


def test_the_data_set_as_it_is_unpacked_becomes_a_catalog(data: Path, clip: Path) -> None:
    add_videos(write_lists(data), VIDEOS[:-1], clip)
    catalog, summary, rejected = scan("hmdb51", data)
    assert list(zip(catalog.labels, catalog.splits, catalog.groups, strict=True)) == [
        ("brush_hair", "train", "April_09"),
        ("brush_hair", "unused", "April_09"),
        ("brush_hair", "test", "Brushing_her_hair__[_NEW_AUDIO_]_UPDATED!!!!"),
        ("clap", "train", "#20_Rhythm"),
    ]
    assert list(rejected) == ["clap/own name.avi"]
    assert summary.splits == {"test": 1, "train": 2, "unused": 1}
    assert "as far as is recalled, are 3570" in summary.warnings[0]
    assert "2 classes do not have 70 videos for train" in summary.warnings[4]


def test_every_split_has_its_lists(tmp_path: Path) -> None:
    add_videos(write_lists(tmp_path), VIDEOS)
    assert [(video.label, video.split) for video in read("hmdb51", tmp_path, "2").videos] == [
        ("clap", "test")
    ]
    with pytest.raises(
        CatalogError, match=r"\*_test_split3\.txt: there is no such annotation file .*Serre Lab"
    ):
        read("hmdb51", tmp_path, "3")


def test_the_published_numbers_add_up(tmp_path: Path) -> None:
    """51 classes of 70 + 30 videos, and 6766 videos in all."""
    published = read_hmdb51(annotations_of(write_lists(tmp_path)), "1").published
    assert published.videos["train"] == 51 * 70
    assert published.videos["test"] == 51 * 30
    assert sum(published.videos.values()) == 6766
    assert not published.is_verified


def test_a_film_is_what_stands_before_the_class(tmp_path: Path) -> None:
    text = "a_clap_clap_u.avi 1\nclap_b_clap_u.avi 1\nnone.avi 2\n"
    write_tree(tmp_path, {"clap_test_split1.txt": text})
    assert as_rows(read_class_lists(annotations_of(tmp_path), "1")) == [
        ("clap/a_clap_clap_u.avi", "clap", "train", "a"),
        ("clap/clap_b_clap_u.avi", "clap", "train", "clap_b"),
        ("clap/none.avi", "clap", "test", ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.avi 1\nb.avi 3\n",
            r"clap_test_split1\.txt, line 2: 'b\.avi 3' is no `file 0`, `file 1` or `file 2`",
        ),
        ("a.avi\n", r"line 1: 'a\.avi' is no `file 0`"),
        ("1\n", r"line 1: '1' is no `file 0`"),
        ("../a.avi 1\n", r"line 1: '\.\./a\.avi' is no name as the data set has them"),
        ("throw/a.avi 1\n", r"line 1: 'throw/a\.avi' is no name as the data set has them"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(text: str, message: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"clap_test_split1.txt": text})
    with pytest.raises(ValueError, match=message):
        read_class_lists(annotations_of(tmp_path), "1")
