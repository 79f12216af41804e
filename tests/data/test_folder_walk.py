import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from unreel.data.folder_walk import FoundFile, describe_error, examine, printable, walk_folder


def touch(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ignore(_: int) -> None:
    pass


def names(files: list[FoundFile], folder: Path) -> list[str]:
    return sorted(os.path.relpath(file.path, folder) for file in files)


def test_files_are_found_at_every_depth_whatever_their_case(tmp_path: Path) -> None:
    for name in ("a.mp4", "b/c.MKV", "b/d/e/f.webm", "g.d/h.gif", "b/i.TS", "j k/ü 漢.mp4"):
        touch(tmp_path / name)
    found = walk_folder(str(tmp_path), ignore)
    assert names(found.files, tmp_path) == [
        "a.mp4",
        "b/c.MKV",
        "b/d/e/f.webm",
        "b/i.TS",
        "g.d/h.gif",
        "j k/ü 漢.mp4",
    ]
    assert (found.refused, found.unreadable, found.repeated, found.other_files) == ({}, {}, [], {})


def test_a_found_file_carries_its_size_and_time(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.mp4", b"12345")
    os.utime(path, ns=(5, 1_600_000_000_123_456_789))
    (file,) = walk_folder(str(tmp_path), ignore).files
    assert file == FoundFile(str(path), str(path), 5, 1_600_000_000_123_456_789)
    assert file == examine(str(path))


def test_other_files_are_counted_by_extension(tmp_path: Path) -> None:
    for name in ("a.txt", "b/c.txt", "d.JPG", "README", ".mp4", "x/y.mp4.part"):
        touch(tmp_path / name)
    found = walk_folder(str(tmp_path), ignore)
    assert found.files == []
    assert found.other_files == {".txt": 2, ".jpg": 1, "no extension": 2, ".part": 1}


def test_a_folder_named_like_a_video_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "x.mp4" / "y.mp4")
    assert names(walk_folder(str(tmp_path), ignore).files, tmp_path) == ["x.mp4/y.mp4"]


def test_what_is_no_file_is_refused_without_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    touch(tmp_path / "empty.mp4", b"")
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
        refused = walk_folder(str(tmp_path), ignore).refused
    assert {Path(path).name: reason for path, reason in refused.items()} == {
        "pipe.mp4": "not a file but a named pipe",
        "socket.mp4": "not a file but a socket",
        "empty.mp4": "the file is empty (0 bytes)",
    }


def test_loops_of_links_end_and_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "there").symlink_to("../c")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "back").symlink_to("../b")
    found = walk_folder(str(tmp_path), ignore)
    assert names(found.files, tmp_path) == ["a/x.mp4"]
    repeated = sorted(os.path.relpath(path, tmp_path) for path in found.repeated)
    assert repeated == ["a/self", "a/up", "b/there", "c/back"]


def test_linked_folders_outside_are_read_once_whoever_leads_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    touch(outside / "deep" / "x.mp4")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "second").symlink_to(outside)
    (inside / "first").symlink_to(outside / "deep")
    found = walk_folder(str(inside), ignore)
    (file,) = found.files
    assert file.path == str(inside / "first" / "x.mp4")
    assert file.real_path == str(outside / "deep" / "x.mp4")
    # `second` is followed too, and meets `deep` again.
    assert found.repeated == [str(inside / "second" / "deep")]


def test_links_to_files_give_the_files_size_and_place(tmp_path: Path) -> None:
    target = touch(tmp_path / "elsewhere" / "a.mp4", b"1234567")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.mp4").symlink_to(target)
    (file,) = walk_folder(str(folder), ignore).files
    assert (file.path, file.real_path, file.num_bytes) == (str(folder / "link.mp4"), str(target), 7)
    assert file.is_link
    assert file == examine(str(folder / "link.mp4"))


def test_broken_links_are_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "class_a").symlink_to("disk/that/is/not/mounted")
    (tmp_path / "round.mp4").symlink_to("round.mp4")
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    found = walk_folder(str(tmp_path), ignore)
    assert {Path(path).name: reason for path, reason in found.refused.items()} == {
        "gone.mp4": "broken symbolic link: it leads to nothing",
        "class_a": "broken symbolic link: it leads to nothing",
        "round.mp4": "a loop of symbolic links",
    }
    assert found.other_files == {".txt": 1}


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "open" / "a.mp4")
    touch(tmp_path / "closed" / "b.mp4")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = walk_folder(str(tmp_path), ignore)
    assert names(found.files, tmp_path) == ["open/a.mp4"]
    reason = "permission denied: give the user who scans the right to read it"
    assert found.unreadable == {str(tmp_path / "closed"): reason}


def test_a_folder_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "stays" / "a.mp4")
    gone = tmp_path / "gone"
    gone.mkdir()
    status = os.stat

    def vanish(path: str) -> os.stat_result:
        if str(path) == str(gone):
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        return status(path)

    monkeypatch.setattr(os, "stat", vanish)
    assert walk_folder(str(tmp_path), ignore).unreadable == {str(gone): "file not found"}


def test_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.mp4", "wb") as file:
        file.write(b"video")
    (found,) = walk_folder(str(tmp_path), ignore).files
    assert printable(found.path).endswith("/caf\\xe9.mp4")


def test_the_longest_name_is_found(tmp_path: Path) -> None:
    name = "n" * 251 + ".mp4"
    touch(tmp_path / name)
    assert names(walk_folder(str(tmp_path), ignore).files, tmp_path) == [name]


def test_the_caller_hears_how_many_files_were_found(tmp_path: Path) -> None:
    for name in ("a.mp4", "b/c.mp4", "b/d/e.mp4"):
        touch(tmp_path / name)
    heard: list[int] = []
    walk_folder(str(tmp_path), heard.append)
    assert heard == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.mp4", "file not found"),
        ("n" * 300 + ".mp4", "File name too long"),
        ("null\0.mp4", "no file can have this name: it has a null character"),
        (".", "not a file but a folder"),
    ],
)
def test_a_path_that_leads_to_no_file_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    assert examine(os.path.join(tmp_path, name)) == reason


def test_a_device_is_no_file() -> None:
    assert examine(os.devnull) == "not a file but a device"


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "a.mp4")
    monkeypatch.setattr(stat, "S_ISREG", lambda _: False)
    assert examine(str(path)) == "not a file but something special"


def test_an_error_without_text_is_described_by_its_kind() -> None:
    assert describe_error(OSError()) == "OSError"
    assert describe_error(OSError(errno.EIO, "Input/output error")) == "Input/output error"
