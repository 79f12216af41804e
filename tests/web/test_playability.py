from pathlib import Path

import numpy as np
import pytest

from tests.web.videos import add_sound, write_pattern
from unreel.web.playability import guess_from_name, is_played_as_it_is, probe_files

MP4, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"


def judge(suffix: str, container: str, codec: str, pixels: str = "yuv420p", *audio: str) -> bool:
    return is_played_as_it_is(
        suffix=suffix, container=container, codec=codec, pixel_format=pixels, audio_codecs=set(audio)
    )


@pytest.mark.parametrize(
    ("suffix", "container", "codec", "audio"),
    [
        (".mp4", MP4, "h264", ["aac"]),
        (".mp4", MP4, "h264", []),
        (".m4v", MP4, "h264", ["mp3"]),
        (".mp4", MP4, "av1", ["opus"]),
        (".webm", MATROSKA, "vp8", ["vorbis"]),
        (".webm", MATROSKA, "vp9", ["opus"]),
    ],
)
def test_what_every_browser_plays(suffix: str, container: str, codec: str, audio: list[str]) -> None:
    assert judge(suffix, container, codec, "yuv420p", *audio)


@pytest.mark.parametrize(
    ("suffix", "container", "codec", "pixels", "audio"),
    [
        (".mp4", MP4, "hevc", "yuv420p", []),
        (".mp4", MP4, "mpeg4", "yuv420p", []),
        (".mp4", MP4, "h264", "yuv420p10le", []),
        (".mp4", MP4, "h264", "yuv444p", []),
        (".mp4", MP4, "h264", "yuv420p", ["ac3"]),
        (".mp4", MP4, "h264", "yuv420p", ["aac", "dts"]),
        (".mkv", MATROSKA, "h264", "yuv420p", []),
        (".webm", MATROSKA, "h264", "yuv420p", []),
        (".avi", "avi", "h264", "yuv420p", []),
        (".avi", "avi", "mpeg4", "yuv420p", []),
        (".mp4", "avi", "h264", "yuv420p", []),
    ],
)
def test_what_some_browser_does_not_play(
    suffix: str, container: str, codec: str, pixels: str, audio: list[str]
) -> None:
    assert not judge(suffix, container, codec, pixels, *audio)


def test_ten_bits_play_where_the_codec_has_them() -> None:
    assert judge(".webm", MATROSKA, "vp9", "yuv420p10le")


def test_real_files_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    names = {
        "fine.mp4": ("libx264", True),
        "fine.webm": ("libvpx-vp9", True),
        "old.avi": ("mpeg4", False),
        "old.mp4": ("mpeg4", False),
        "modern.mp4": ("libx265", False),
        "matroska.mkv": ("libx264", False),
    }
    for name, (codec, _) in names.items():
        write_pattern(tmp_path / name, codec=codec, num_frames=3)
    (tmp_path / "text.mp4").write_text("no video")
    paths = [*(tmp_path / name for name in names), tmp_path / "text.mp4", tmp_path / "absent.mp4"]
    found = probe_files({"paths": [str(path) for path in paths], "time_limit_sec": 5.0})
    assert found == {"is_playable": [*(expected for _, expected in names.values()), False, False]}


def test_sound_counts(tmp_path: Path) -> None:
    write_pattern(tmp_path / "aac.mp4", num_frames=5, sound=add_sound("aac", np.zeros(4800)))
    write_pattern(tmp_path / "ac3.mp4", num_frames=5, sound=add_sound("ac3", np.zeros(4800)))
    paths = [str(tmp_path / name) for name in ("aac.mp4", "ac3.mp4")]
    assert probe_files({"paths": paths, "time_limit_sec": 5.0}) == {"is_playable": [True, False]}


@pytest.mark.parametrize(
    ("name", "expected"), [("a.MP4", True), ("b/c.webm", True), ("d.avi", False), ("", False)]
)
def test_names_serve_where_nothing_better_is_known(name: str, expected: bool) -> None:
    assert guess_from_name(name) is expected
