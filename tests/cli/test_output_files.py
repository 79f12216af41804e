import errno
import os
from pathlib import Path

import pytest

from unreel.cli.output_files import check_outputs, write_outputs
from unreel.errors import UnreelError


def test_files_that_can_be_written_pass_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    check_outputs({"--out": tmp_path / "new" / "deep" / "a.json", "--data": None})
    check_outputs({"--out": tmp_path / "old.json", "--data": tmp_path / "a.json"})
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_a_name_without_a_folder_lies_in_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_outputs({"--out": Path("a.json")})
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ValueError, match=r"--out a.json is a folder; name a file in it"):
        check_outputs({"--out": Path("a.json")})


def test_a_place_under_a_file_or_where_no_file_can_be_is_refused_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"--data .*file/a.json cannot be written: .* \(Not a directory\)"):
        check_outputs({"--out": None, "--data": tmp_path / "file" / "a.json"})
    with pytest.raises(ValueError, match=r"--out /proc/no/a.json cannot be written: .* in /proc \("):
        check_outputs({"--out": Path("/proc/no/a.json")})


@pytest.mark.parametrize("other", ["a.png", "b/../a.png", "link"])
def test_two_flags_for_one_file_are_refused_however_it_is_spelled(tmp_path: Path, other: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"--out and --data name the same file, .*; give each"):
        check_outputs({"--out": tmp_path / "a.png", "--data": tmp_path / other})


def test_every_file_is_tried_and_those_that_failed_are_named(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.with_name(".temporary")))

    def write(path: Path) -> None:
        path.write_text("whole")

    with pytest.raises(UnreelError) as caught:
        write_outputs(
            {"--out": (tmp_path / "a", fail), "--data": (tmp_path / "b", write), "--more": (None, fail)}
        )
    assert str(caught.value) == (
        f"--out {tmp_path / 'a'} was not written (No space left on device); make room or name another file, "
        "and run the command again"
    )
    assert (tmp_path / "b").read_text() == "whole"
