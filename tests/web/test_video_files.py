import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from unreel.search.index_rows import IndexedVideo
from unreel.web.problems import Problem
from unreel.web.video_files import identify_file, open_video, tell_type


def index(path: Path, *, has_stamp: bool = True) -> IndexedVideo:
    status = path.stat()
    return IndexedVideo(
        key=1,
        id="0123456789abcdef",
        path=path.name,
        file=path,
        seconds=1.0,
        label="",
        split="",
        group="",
        num_bytes=status.st_size if has_stamp else None,
        mtime_ns=status.st_mtime_ns if has_stamp else None,
        num_clips=1,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.mp4").write_bytes(b"a video")
    (tmp_path / "outside.mp4").write_bytes(b"another")
    return tmp_path / "root"


def check_refusal(video: IndexedVideo, root: Path, message: str) -> None:
    with pytest.raises(Problem, match=message) as caught:
        open_video(video, str(root))
    assert caught.value.status == 404
    assert str(root) not in caught.value.message


def test_the_file_that_was_indexed_is_opened(root: Path) -> None:
    video = index(root / "a.mp4")
    opened = open_video(video, str(root))
    with opened.file:
        assert opened.file.read() == b"a video"
    assert (opened.num_bytes, opened.mtime_ns) == (video.num_bytes, video.mtime_ns)


def test_a_file_without_a_stamp_is_opened_where_it_lies_in_the_folder(root: Path) -> None:
    with open_video(index(root / "a.mp4", has_stamp=False), str(root)).file as file:
        assert file.read() == b"a video"


def test_a_file_that_has_changed_is_refused(root: Path) -> None:
    video = index(root / "a.mp4")
    check_refusal(replace(video, num_bytes=8), root, "has changed since it was indexed")
    check_refusal(replace(video, mtime_ns=1), root, "has changed since it was indexed")
    (root / "a.mp4").write_bytes(b"A video")
    os.utime(root / "a.mp4", ns=(1, 1))
    check_refusal(video, root, "has changed since it was indexed")


def test_a_file_that_is_gone_is_refused(root: Path) -> None:
    video = index(root / "a.mp4")
    (root / "a.mp4").unlink()
    check_refusal(video, root, "no such file")
    check_refusal(replace(video, file=root / "a\0.mp4"), root, "no file can have this name")


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(root: Path) -> None:
    video = index(root / "a.mp4")
    (root / "a.mp4").unlink()
    os.mkfifo(root / "a.mp4")
    thread = threading.Thread(target=check_refusal, args=(video, root, "no file any more"), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    check_refusal(replace(video, file=root), root, "no file any more|cannot be read")


def test_a_link_out_of_the_folder_is_followed_only_when_the_catalog_was_made_with_it(root: Path) -> None:
    (root / "link.mp4").symlink_to(root.parent / "outside.mp4")
    with open_video(index(root / "link.mp4"), str(root)).file as file:
        assert file.read() == b"another"
    check_refusal(index(root / "link.mp4", has_stamp=False), root, "out of the collection")
    half = replace(index(root / "link.mp4"), mtime_ns=None)
    check_refusal(half, root, "out of the collection")


def test_a_link_that_a_stranger_made_does_not_lead_out_of_the_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video was given the size and time of a private file, was indexed, and became a link to that file."""
    (root / "link.mp4").symlink_to(root.parent / "outside.mp4")
    (root / "inner.mp4").symlink_to(root / "a.mp4")
    lstat, stranger = Path.lstat, os.getuid() + 1

    def lstat_of_stranger(path: Path) -> os.stat_result:
        values = lstat(path)
        return os.stat_result((*values[:4], stranger, *values[5:10])) if path.suffix else values

    monkeypatch.setattr(Path, "lstat", lstat_of_stranger)
    check_refusal(index(root / "link.mp4"), root, "out of the collection")
    open_video(index(root / "inner.mp4"), str(root)).file.close()
    monkeypatch.setattr(os, "geteuid", lambda: stranger)  # who runs the server follows own links
    open_video(index(root / "link.mp4"), str(root)).file.close()


def test_what_was_exchanged_while_it_was_opened_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a private file was there for a moment; the path says nothing of it any more."""
    video, opens = index(root / "a.mp4"), os.open
    os.utime(root.parent / "outside.mp4", ns=(1, video.mtime_ns or 0))
    monkeypatch.setattr(os, "open", lambda path, flags: opens(root.parent / "outside.mp4", flags))
    check_refusal(video, root, "out of the collection")


def test_a_link_that_was_put_in_later_is_refused(root: Path) -> None:
    video = index(root / "a.mp4")
    (root / "a.mp4").unlink()
    (root / "a.mp4").symlink_to(root.parent / "outside.mp4")
    check_refusal(video, root, "has changed since it was indexed")


def test_a_folder_above_that_leads_elsewhere_counts_as_a_link(root: Path) -> None:
    (root / "part").symlink_to(root.parent)
    check_refusal(index(root / "part" / "outside.mp4", has_stamp=False), root, "out of the collection")


def test_a_refused_file_is_closed(root: Path) -> None:
    """A descriptor that stayed open would be seen as a warning, which is an error here."""
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        check_refusal(replace(index(root / "a.mp4"), num_bytes=1), root, "changed")
    assert not before or len(os.listdir("/proc/self/fd")) <= before


def test_what_is_made_of_a_file_is_named_by_it(root: Path) -> None:
    video = index(root / "a.mp4")
    others = [replace(video, id="x"), replace(video, num_bytes=1), replace(video, mtime_ns=None)]
    names = {identify_file(each) for each in [video, *others]}
    assert len(names) == 4
    assert all(name.isalnum() and len(name) == 32 for name in names)
    assert identify_file(video) == identify_file(replace(video, label="other"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mp4", "video/mp4"),
        ("b/C.MP4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.avi", "video/x-msvideo"),
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_no_file_is_sent_as_something_that_runs(name: str, expected: str) -> None:
    assert tell_type(name) == expected
