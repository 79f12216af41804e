from pathlib import Path

import pytest

from tests.data.layouts.trees import add_videos, annotations_of, read, scan, write_tree
from unreel.data.layouts.jhmdb import read_jhmdb
from unreel.errors import CatalogError

LISTS = {
    "splits/clap_test_split1.txt": "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi 1\nb_clap_u.avi 2\n",
    "splits/brush_hair_test_split1.txt": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 2\n",
}


def test_the_data_set_as_it_is_unpacked_becomes_a_catalog(data: Path, clip: Path) -> None:
    names = [
        "ReCompress_Videos/clap/#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
        "ReCompress_Videos/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
    ]
    add_videos(write_tree(data, LISTS), names, clip)
    catalog, summary, rejected = scan("jhmdb", data)
    assert list(zip(catalog.labels, catalog.splits, catalog.groups, strict=True)) == [
        ("brush_hair", "test", "April_09"),
        ("clap", "train", "#20_Rhythm"),
    ]
    assert list(rejected) == ["clap/b_clap_u.avi"]
    assert "the annotations name 1 videos for train, published are 660" in summary.warnings


def test_the_numbers_of_split_1_alone_are_known(tmp_path: Path) -> None:
    """660 and 268 are 928 clips, all there are."""
    write_tree(tmp_path, LISTS | {"splits/clap_test_split2.txt": "a_clap_u.avi 1\n"})
    assert sum(read_jhmdb(annotations_of(tmp_path), "1").published.videos.values()) == 928
    assert read_jhmdb(annotations_of(tmp_path), "2").published.videos == {}


def test_missing_lists_say_whose_they_are(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"_test_split1\.txt: .* \"splits\" of the J-HMDB page"):
        read("jhmdb", tmp_path)
