import subprocess
import sys
from pathlib import Path

import pytest

from unreel.web.upload_folder import UploadFolder


def test_files_are_gone_when_their_block_ends_however_it_ends(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path)
    with folder.temporary_file() as path:
        path.write_bytes(b"video")
        assert path.parent == folder.path
    assert not path.exists()
    with pytest.raises(RuntimeError), folder.temporary_file() as path:
        raise RuntimeError
    assert not path.exists()
    with folder.temporary_file() as path:  # somebody was quicker
        path.unlink()
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path)
    with folder.temporary_file() as path:
        assert folder.path.stat().st_mode & 0o077 == 0
        assert path.stat().st_mode & 0o077 == 0
    folder.close()


def test_what_a_killed_server_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from unreel.web.upload_folder import UploadFolder\n"
        "folder = UploadFolder(Path(sys.argv[1]))\n"
        "(folder.path / 'video').write_bytes(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "video").exists()
    folder = UploadFolder(tmp_path)
    assert list(tmp_path.iterdir()) == [folder.path]
    folder.close()


def test_what_a_running_server_uses_stays(tmp_path: Path) -> None:
    first = UploadFolder(tmp_path)
    with first.temporary_file() as path:
        second = UploadFolder(tmp_path)
        assert path.exists()
        assert second.path != first.path
    second.close()
    first.close()


def test_what_is_no_folder_of_a_server_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    UploadFolder(tmp_path).close()
    assert (tmp_path / "file").exists()
    assert (tmp_path / "link").exists()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path)
    folder.close()
    folder.close()
