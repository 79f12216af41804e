from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.web.videos import write_pattern
from unreel.data.opening import Deadline
from unreel.web import thumbnails
from unreel.web.thumbnails import draw_file, find_frame


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pattern(tmp_path_factory.mktemp("video") / "a.mp4", num_frames=30)


def draw(path: Path, out: Path, at_sec: float = 0.0, height_px: int = 180) -> dict[str, object]:
    return draw_file(
        {"path": str(path), "out": str(out), "at_sec": at_sec, "height_px": height_px, "time_limit_sec": 5.0}
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv", "a.ts"])
def test_the_picture_is_the_one_that_is_shown_then(tmp_path: Path, name: str) -> None:
    path = write_pattern(tmp_path / name, codec="mpeg4" if name == "a.avi" else "libx264", num_frames=30)
    for number in (0, 7, 29):
        draw(path, tmp_path / "out.jpg", at_sec=(number + 0.5) / 25)
        picture_HW3 = cv2.imread(str(tmp_path / "out.jpg"))
        assert picture_HW3 is not None
        assert picture_HW3[..., 2].mean() == pytest.approx(8 * number, abs=10)  # red stands last
        assert picture_HW3[..., 0].mean() < 8


def test_behind_the_end_the_last_picture_serves(video: Path, tmp_path: Path) -> None:
    draw(video, tmp_path / "out.jpg", at_sec=1000.0)
    picture_HW3 = cv2.imread(str(tmp_path / "out.jpg"))
    assert picture_HW3 is not None
    assert picture_HW3[..., 2].mean() == pytest.approx(8 * 29, abs=6)


def test_pictures_are_small_and_keep_the_aspect(video: Path, tmp_path: Path) -> None:
    assert draw(video, tmp_path / "out.jpg", height_px=24) == {"height": 24, "width": 32}
    assert draw(video, tmp_path / "out.jpg", height_px=500) == {"height": 48, "width": 64}
    assert (tmp_path / "out.jpg").read_bytes()[:3] == b"\xff\xd8\xff"


def test_a_rotated_video_is_drawn_upright(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "get_rotation", lambda frame: 90)
    assert draw(video, tmp_path / "out.jpg", height_px=32) == {"height": 32, "width": 24}


def test_a_long_way_from_a_key_frame_is_not_gone_to_its_end(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_MAX_DECODED", 5)
    frame = find_frame(video, 1.0, Deadline(video, 5.0))
    assert frame.time == pytest.approx(5 / 25)


@pytest.mark.parametrize("content", [b"", b"no video", b"RIFF\x00\x00\x00\x00AVI LIST"])
def test_what_is_no_video_is_a_failure_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert draw(tmp_path / "a.mp4", tmp_path / "out.jpg")["failure"]
    assert not (tmp_path / "out.jpg").exists()


def test_time_is_limited(tmp_path: Path) -> None:
    path = write_pattern(tmp_path / "a.mkv", num_frames=20)
    job = {
        "path": str(path),
        "out": str(tmp_path / "o"),
        "at_sec": 9.0,
        "height_px": 9,
        "time_limit_sec": 1e-4,
    }
    assert "not read within" in draw_file(job)["failure"]


def test_a_damaged_part_is_left_out(tmp_path: Path) -> None:
    path = write_pattern(tmp_path / "a.avi", codec="mpeg4", num_frames=30)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(bytes(content))
    assert draw(path, tmp_path / "out.jpg", at_sec=1.0) == {"height": 48, "width": 64}
