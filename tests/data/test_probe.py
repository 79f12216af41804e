"""What a probe says of a file is what decoding it gives."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import KindPath
from tests.data.videos import KINDS, draw_frames, rotate_mp4, write_audio, write_video
from unreel.data.decode import ClipDecoder
from unreel.data.probe import probe_video
from unreel.errors import VideoError

CODECS = {
    "hevc": "hevc",
    "mpeg4": "mpeg4",
    "mpeg2": "mpeg2video",
    "mpeg1": "mpeg1video",
    "animation": "qtrle",
}


@pytest.mark.parametrize("check", ["decode", "packets"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_described(path_of: KindPath, kind: str, check: str) -> None:
    info = probe_video(path_of(kind), check=check)  # type: ignore[arg-type]
    turned = kind == "h264 turned"
    assert info.frames == info.index.num_frames == 40
    assert (info.height, info.width) == ((64, 48) if turned else (48, 64))
    assert info.rotation == (90 if turned else 0)
    assert info.codec == CODECS.get(kind.split(maxsplit=1)[0], kind.split(maxsplit=1)[0])
    assert info.is_variable_frame_rate == (kind == "h264 uneven")
    assert info.note == ""
    # Steps of 1, 2, 3, 1, ... ticks: 39 steps are 13 rounds of 6; the last frame counts as the mean step, 2.
    assert info.seconds == pytest.approx(3.2 if kind == "h264 uneven" else 1.6, abs=0.002)
    assert info.fps == pytest.approx(info.frames / info.seconds)


def test_the_probe_counts_what_decode_all_gives(path_of: KindPath) -> None:
    for kind in ("h264 turned", "h264 without container", "vp9", "gif"):
        info = probe_video(path_of(kind))
        frames_FHWC = ClipDecoder().decode_all(path_of(kind))
        assert frames_FHWC.shape == (info.frames, info.height, info.width, 3)


@pytest.mark.parametrize("fps", [23.976, 24, 25, 29.97, 60, 120])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_rounded_timestamps_are_no_variable_frame_rate(tmp_path: Path, fps: float, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", draw_frames(30, 16, 16), fps=fps, codec="mpeg4")
    info = probe_video(path)
    assert not info.is_variable_frame_rate
    assert info.fps == pytest.approx(fps, rel=2e-3)
    assert info.index.to_row()["frame_pts"] == []


def test_a_missing_frame_in_avi_makes_the_rate_variable(tmp_path: Path) -> None:
    # AVI counts frames; one tick is one frame, so a step of two ticks is a frame shown twice as long.
    ticks = [0, 1, 2, 4, 5, 6]
    path = write_video(tmp_path / "a.avi", draw_frames(6, 16, 16), codec="mpeg4", ticks=ticks)
    info = probe_video(path)
    assert info.frames == 6
    assert info.is_variable_frame_rate
    assert info.index.pts.tolist() == ticks
    assert info.seconds == pytest.approx(7.2 / 25)  # 6 ticks between first and last, and the mean step of 1.2
    assert info.note == "header promises 7 frames, 6 decode"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"codec": "libx264", "pixel_format": "yuv444p"}),
        ("a.gif", {"codec": "gif", "pixel_format": "rgb8"}),
    ],
)
@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 1, 1), (1, 2, 2), (3, 37, 51)])
def test_single_frames_and_odd_sizes_are_videos(
    tmp_path: Path, name: str, options: dict[str, str], num_frames: int, height: int, width: int
) -> None:
    path = write_video(tmp_path / name, draw_frames(num_frames, height, width), **options)  # type: ignore[arg-type]
    info = probe_video(path)
    assert (info.frames, info.height, info.width) == (num_frames, height, width)
    assert info.seconds == pytest.approx(num_frames / 25)
    frames = ClipDecoder().decode(path, info.index, np.zeros((2, 3), np.int64))
    assert frames.shape == (2, 3, height, width, 3)


def test_a_single_frame_without_a_rate_lasts_as_long_as_the_file_says(tmp_path: Path) -> None:
    # MPEG program streams tell no rate for one frame; FFmpeg gives it the length of a field.
    info = probe_video(write_video(tmp_path / "a.mpg", draw_frames(1, 48, 64), codec="mpeg1video"))
    assert info.seconds == pytest.approx(0.02)


def test_files_without_timestamps_get_even_ones(path_of: KindPath) -> None:
    info = probe_video(path_of("h264 without container"))
    assert not info.index.is_addressable
    steps = np.diff(info.index.timestamps_sec())
    assert steps == pytest.approx(np.full(39, 0.04))


@pytest.mark.parametrize("kind", ["h264 uneven", "h264 in ts", "vp8", "mpeg4 in avi", "mpeg1"])
@pytest.mark.parametrize("share", [0.75, 0.9])
def test_a_file_that_was_cut_off_keeps_what_decodes(
    tmp_path: Path, path_of: KindPath, kind: str, share: float
) -> None:
    content = path_of(kind).read_bytes()
    path = tmp_path / path_of(kind).name
    path.write_bytes(content[: int(len(content) * share)])
    info = probe_video(path)
    assert 1 <= info.frames < 40
    whole = ClipDecoder().decode_all(path_of(kind))
    # The last frames may be patched up by the decoder; all others are those of the whole file.
    kept = ClipDecoder().decode_all(path)
    assert len(kept) == info.frames
    np.testing.assert_array_equal(kept[: info.frames - 2], whole[: info.frames - 2])


def test_damage_is_noted(tmp_path: Path, path_of: KindPath) -> None:
    content = bytearray(path_of("h264 with one key frame").read_bytes())
    start = content.index(b"mdat") + 1800
    content[start : start + 300] = bytes(300)
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    for check in ("decode", "packets"):
        info = probe_video(path, check=check)  # type: ignore[arg-type]
        assert info.note.startswith(
            f"header promises 40 frames, {info.frames} decode; damaged: a packet does not decode"
        )


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_told_and_applied(tmp_path: Path, path_of: KindPath, degrees: int) -> None:
    info = probe_video(rotate_mp4(path_of("h264"), tmp_path / "a.mp4", degrees))
    assert info.rotation == degrees
    assert (info.height, info.width) == ((64, 48) if degrees % 180 else (48, 64))


def test_what_holds_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no video stream"):
        probe_video(write_audio(tmp_path / "song.mp2"))


def test_time_is_limited(path_of: KindPath) -> None:
    with pytest.raises(VideoError, match=r"not read within 1e-06 s; raise the time limit"):
        probe_video(path_of("mjpeg"), time_limit_sec=1e-6)
    assert probe_video(path_of("mjpeg"), time_limit_sec=0).frames == 40


def test_an_unknown_check_is_refused(path_of: KindPath) -> None:
    with pytest.raises(ValueError, match="check must be 'decode' or 'packets', got 'guess'"):
        probe_video(path_of("h264"), check="guess")  # type: ignore[arg-type]


def test_probing_prints_nothing(tmp_path: Path, path_of: KindPath, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(path_of("h264 with one key frame").read_bytes())
    capfd.readouterr()
    for start in range(1000, 3000, 250):
        content[start : start + 20] = bytes(20)
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    probe_video(path)
    shutil.copy(path, tmp_path / "noise.ts")
    assert capfd.readouterr() == ("", "")
