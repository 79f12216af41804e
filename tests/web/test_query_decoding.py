from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.tiny import SPEC
from tests.web.videos import write_pattern
from unreel.config import config_to_dict
from unreel.data.opening import Deadline
from unreel.search.query import read_query_clips
from unreel.web import query_decoding
from unreel.web.killable import KillableWorker
from unreel.web.query_decoding import WORK, Extent, TooLarge, check_extent, decode_query, measure_extent


def build_job(path: Path, out: Path, **values: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "out": str(out),
        "spec": config_to_dict(SPEC),
        "clips_per_video": 2,
        "start_sec": None,
        "end_sec": None,
        "max_frame_px": 10_000,
        "max_sec": 10.0,
        "max_frames": 100,
        "time_limit_sec": 10.0,
        **values,
    }


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pattern(tmp_path_factory.mktemp("video") / "a.mp4", num_frames=50)


def test_the_clips_are_those_of_a_search(video: Path, tmp_path: Path) -> None:
    found = decode_query(build_job(video, tmp_path / "out"))
    assert found == {"seconds": 2.0}
    clips = np.load(tmp_path / "out", allow_pickle=False)
    np.testing.assert_array_equal(clips, read_query_clips(video, SPEC, 2))
    assert clips.dtype == np.uint8
    assert clips.shape == (2, 4, 24, 32, 3)


def test_a_stretch_of_time_is_kept_to(video: Path, tmp_path: Path) -> None:
    decode_query(build_job(video, tmp_path / "out", start_sec=1.0, end_sec=1.5))
    clips = np.load(tmp_path / "out", allow_pickle=False)
    np.testing.assert_array_equal(clips, read_query_clips(video, SPEC, 2, start_sec=1.0, end_sec=1.5))
    beyond = decode_query(build_job(video, tmp_path / "out", start_sec=50.0))
    assert beyond["refusal"] == "not_a_video"
    assert "no frame between 50 s" in beyond["reason"]


def test_the_extent_is_known_without_decoding(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(query_decoding.VideoFile, "decode", refuse)
    extent = measure_extent(video, Deadline(video, 5.0), max_frames=100)
    assert (extent.frame_px, extent.frames) == (48 * 64, 50)
    assert extent.seconds == pytest.approx(2.0)
    assert measure_extent(video, Deadline(video, 5.0), max_frames=7).frames == 8


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_frame_px": 48 * 64 - 1}, "frames have 3,072 pixels, 3,071 are allowed"),
        ({"max_sec": 1.9}, "the video lasts 2 s, 2 s are allowed"),
        ({"max_frames": 49}, "more than the 49 frames"),
    ],
)
def test_what_is_too_large_is_refused_by_name(
    video: Path, tmp_path: Path, limits: dict[str, Any], reason: str
) -> None:
    found = decode_query(build_job(video, tmp_path / "out", **limits))
    assert found["refusal"] == "too_large"
    assert reason in found["reason"]
    assert not (tmp_path / "out").exists()


def test_what_is_just_within_the_limits_is_taken() -> None:
    limits = {"max_frame_px": 100, "max_sec": 5.0, "max_frames": 10}
    check_extent(Extent(100, 10, 5.0), limits)
    with pytest.raises(TooLarge):
        check_extent(Extent(100, 10, 5.1), limits)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"#EXTM3U\n/etc/passwd\n", b"ffconcat version 1.0\nfile a.mp4\n"]
)
def test_what_is_no_video_is_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    found = decode_query(build_job(tmp_path / "a.mp4", tmp_path / "out"))
    assert found["refusal"] == "not_a_video"
    assert found["reason"]
    assert str(tmp_path) not in found["reason"]


def test_too_little_memory_is_told_as_such(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr(query_decoding, "read_query_clips", fail)
    assert decode_query(build_job(video, tmp_path / "out"))["refusal"] == "too_large"


def test_a_small_file_of_huge_frames_is_refused_quickly_in_bounded_memory(tmp_path: Path) -> None:
    """4096 x 4096 black pixels are 50 MB as a picture and a hundredth of that as a file."""
    path = write_pattern(
        tmp_path / "bomb.mkv", codec="mjpeg", pixels="yuvj420p", size=(4096, 4096), num_frames=1
    )
    assert path.stat().st_size < 500_000
    worker = KillableWorker(WORK, memory_mb=1500)
    try:
        found = worker.ask(build_job(path, tmp_path / "out", max_frame_px=3840 * 2176), 20.0)
    finally:
        worker.close()
    assert found["refusal"] in ("too_large", "not_a_video")


def test_hours_of_black_are_refused_by_their_packets(tmp_path: Path) -> None:
    path = write_pattern(tmp_path / "long.mkv", num_frames=2, times=[0, 25 * 3600 * 5])
    found = decode_query(build_job(path, tmp_path / "out", max_sec=1800.0))
    assert found["refusal"] == "too_large"
    assert "the video lasts 18,000 s" in found["reason"]
