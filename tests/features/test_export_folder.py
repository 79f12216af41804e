import os
from pathlib import Path

import pytest

from unreel.features.export_folder import check_new_folder, new_folder


def fill(folder: Path) -> None:
    with new_folder(folder) as inner:
        (inner / "a.txt").write_text("whole")


def test_a_folder_is_there_when_its_block_has_ended(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with new_folder(target) as inner:
        (inner / "a.txt").write_text("half")
        assert not target.exists()
        assert inner.is_relative_to(tmp_path / "deep")  # beside it, so that renaming is one step
        (inner / "a.txt").write_text("whole")
    assert (target / "a.txt").read_text() == "whole"
    assert os.listdir(target.parent) == ["out"]


def test_an_empty_folder_may_be_there_before(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["a.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_block_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "out") as inner:
            (inner / "a.txt").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_folder_with_something_in_it_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out is not empty; name a new one"):
        fill(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["mine.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_hidden_file_counts_too(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".git").touch()
    with pytest.raises(ValueError, match="is not empty"):
        check_new_folder(tmp_path / "out")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ValueError, match=r"out is a file; name a new folder"):
        fill(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is a file"):
        check_new_folder(tmp_path / "link")
    assert (tmp_path / "out").read_text() == "a file"


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    fill(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert os.listdir(tmp_path / "disk") == ["a.txt"]


def test_others_may_read_it_as_any_new_folder(tmp_path: Path) -> None:
    fill(tmp_path / "out")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
