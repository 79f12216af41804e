import os
import re
from pathlib import Path

import pytest

from tests.data.layouts.trees import annotations_of, write_tree
from unreel.data.layouts.annotation_files import AnnotationFiles
from unreel.errors import CatalogError


@pytest.mark.parametrize("place", ["", "annotations/", "download/lists/"])
def test_a_file_is_found_in_a_folder_and_up_to_two_below(place: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{place}train.csv": ""})
    assert annotations_of(tmp_path).find("train.csv") == tmp_path / f"{place}train.csv"
    assert annotations_of(tmp_path).need("train.csv").is_file()


def test_three_folders_below_is_too_far(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/b/c/train.csv": ""})
    assert annotations_of(tmp_path).find("train.csv") is None


def test_the_nearest_file_and_the_first_name_come_first(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train.csv": "", "kinetics_train.csv": "", "other/train.csv": ""})
    files = annotations_of(tmp_path)
    assert files.find("train.csv", "kinetics_train.csv") == tmp_path / "train.csv"
    assert files.find("kinetics_train.csv", "train.csv") == tmp_path / "kinetics_train.csv"
    assert files.find("k400_train.csv", "train.csv") == tmp_path / "train.csv"


def test_files_of_one_name_in_several_folders_are_a_question(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/train.csv": "", "b/train.csv": ""})
    message = (
        rf"several places: {tmp_path}/a/train\.csv, {tmp_path}/b/train\.csv; say which with --annotations"
    )
    with pytest.raises(ValueError, match=message):
        annotations_of(tmp_path).find("train.csv")


def test_a_link_to_the_same_file_is_no_question(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/train.csv": ""})
    (tmp_path / "b").symlink_to("a")
    assert annotations_of(tmp_path).find("train.csv") == tmp_path / "a" / "train.csv"


def test_a_missing_file_says_where_it_was_looked_for_and_where_it_comes_from(tmp_path: Path) -> None:
    files = AnnotationFiles([tmp_path], "the download of a page")
    message = (
        rf"a\.txt or b\.txt: there is no such annotation file in {tmp_path} or up to 2 folders below; it is "
        r"part of the download of a page; say where it is with --annotations"
    )
    with pytest.raises(CatalogError, match=message):
        files.need("a.txt", "b.txt")


def test_all_files_of_a_pattern_come_from_one_folder_sorted(tmp_path: Path) -> None:
    pattern = r".+_test_split1\.txt"
    names = ["run_test_split1.txt", "clap_test_split1.txt", "clap_test_split2.txt", "x_test_split1.txt.bak"]
    write_tree(tmp_path, {f"splits/{name}": "" for name in names})
    found = annotations_of(tmp_path).need_all(pattern)
    assert [path.name for path in found] == ["clap_test_split1.txt", "run_test_split1.txt"]
    write_tree(tmp_path, {"again/clap_test_split1.txt": ""})
    with pytest.raises(ValueError, match=r"several places: .*again, .*splits"):
        annotations_of(tmp_path).need_all(pattern)
    with pytest.raises(CatalogError, match=re.escape("*_test_split3.txt: there is no such annotation file")):
        annotations_of(tmp_path).need_all(r".+_test_split3\.txt")


def test_a_folder_of_annotations_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match="gone: there is no such folder of annotations; name one with --ann"
    ):
        AnnotationFiles([tmp_path / "gone"], "")


def test_folders_that_cannot_be_listed_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever walks the sources reports them."""
    write_tree(tmp_path, {"a/train.csv": ""})

    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    files = annotations_of(tmp_path)
    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    assert files.find("train.csv") is None
    with pytest.raises(CatalogError, match="no such annotation file"):
        files.need_all(r"train\.csv")
