from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.videos import add_sound, write_pattern
from unreel.data.opening import Deadline
from unreel.web import conversion
from unreel.web.conversion import convert_file, convert_video, fit_size
from unreel.web.playability import probe_files


def convert(path: Path, out: Path, *, height_px: int = 720) -> dict[str, object]:
    return convert_video(path, out, Deadline(path, 30.0), height_px=height_px)


def read_times_and_reds(path: Path) -> tuple[list[float], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(frame.time or 0) for frame in frames], [
        float(frame.to_ndarray(format="rgb24")[..., 0].mean()) for frame in frames
    ]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("old.avi", "mpeg4", "yuv420p"),
        ("modern.mp4", "libx265", "yuv420p"),
        ("ten_bits.mp4", "libx264", "yuv420p10le"),
        ("full_chroma.mp4", "libx264", "yuv444p"),
        ("matroska.mkv", "libx264", "yuv420p"),
        ("very_old.mpg", "mpeg2video", "yuv420p"),
        ("raw.mov", "qtrle", "rgb24"),
    ],
)
def test_every_kind_becomes_one_that_plays_with_the_same_pictures(
    tmp_path: Path, name: str, codec: str, pixels: str
) -> None:
    source = write_pattern(tmp_path / name, codec=codec, pixels=pixels, num_frames=20)
    found = convert(source, tmp_path / "out.mp4")
    assert found["frames"] == 20
    assert probe_files({"paths": [str(tmp_path / "out.mp4")], "time_limit_sec": 5.0})["is_playable"] == [True]
    times, reds = read_times_and_reds(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-3)
    np.testing.assert_allclose(reds, 8 * np.arange(20), atol=10)  # MPEG-4 is coarse


def test_the_header_stands_before_the_pictures(tmp_path: Path) -> None:
    """So that a browser can start to play before all of the file is there."""
    convert(write_pattern(tmp_path / "a.avi", codec="mpeg4"), tmp_path / "out.mp4")
    content = (tmp_path / "out.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [0, 1, 2, 10, 11, 30]
    source = write_pattern(tmp_path / "a.mkv", num_frames=6, times=times)
    convert(source, tmp_path / "out.mp4")
    found, _ = read_times_and_reds(tmp_path / "out.mp4")
    np.testing.assert_allclose(found, np.array(times) / 25, atol=2e-3)


def test_odd_sides_become_even_and_many_lines_fewer(tmp_path: Path) -> None:
    source = write_pattern(tmp_path / "a.mov", codec="qtrle", pixels="rgb24", size=(51, 67), num_frames=2)
    convert(source, tmp_path / "out.mp4", height_px=20)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (20, 26)
        assert stream.codec_context.pix_fmt == "yuv420p"


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(2, 1080))
def test_sizes_are_even_within_the_limit_and_keep_the_aspect(height: int, width: int, limit: int) -> None:
    fitted = fit_size(height, width, limit)
    assert all(side % 2 == 0 and side >= 2 for side in fitted)
    assert fitted[0] <= limit + 1
    assert fitted[1] <= 2561
    scale = min(1.0, limit / height, 2560 / width)
    assert abs(fitted[0] - height * scale) <= 2
    assert abs(fitted[1] - width * scale) <= 2


def test_sound_goes_with_the_pictures(tmp_path: Path) -> None:
    """Silence for half a second, then a tone: it must start where it started."""
    samples = np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000) * (np.arange(48_000) >= 24_000)
    source = write_pattern(tmp_path / "a.mkv", num_frames=25, sound=add_sound("ac3", samples * 0.5))
    convert(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        parts = [(frame.time, np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0)]
    loud = [time for time, level in parts if level > 0.2]
    assert loud[0] == pytest.approx(0.5, abs=0.06)
    assert loud[-1] == pytest.approx(1.0, abs=0.06)


def test_sound_that_begins_later_than_the_pictures_stays_where_it_was(tmp_path: Path) -> None:
    samples = np.sin(np.arange(24_000) * 2 * np.pi * 440 / 48_000)
    sound = add_sound("ac3", samples * 0.5, start_sec=0.5)
    convert(write_pattern(tmp_path / "a.mkv", num_frames=25, sound=sound), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        parts = [(frame.time, np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0)]
    assert next(time for time, level in parts if level > 0.2) == pytest.approx(0.5, abs=0.06)


def test_a_rotated_video_is_turned_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag to turn by 90 degrees clockwise brings the left column to the top."""
    monkeypatch.setattr(conversion, "get_rotation", lambda frame: 90)
    frames = np.zeros((4, 32, 64, 3), dtype=np.uint8)
    frames[:, :, :16] = 255
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "rgb24"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    convert(tmp_path / "a.mov", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24").mean(axis=2)
    assert shown.shape == (64, 32)
    assert shown[:12].mean() > 200
    assert shown[20:].mean() < 30


def test_a_file_that_breaks_off_is_converted_as_far_as_it_goes(tmp_path: Path) -> None:
    source = write_pattern(tmp_path / "a.avi", codec="mjpeg", pixels="yuvj420p", num_frames=50)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    found = convert_file(
        {"path": str(source), "out": str(tmp_path / "o.mp4"), "height_px": 720, "time_limit_sec": 30}
    )
    assert 5 < found["frames"] < 50


@pytest.mark.parametrize("content", [b"", b"no video", b"\x00\x00\x00\x18ftypmp42"])
def test_what_is_no_video_is_a_failure_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    job = {
        "path": str(tmp_path / "a.mp4"),
        "out": str(tmp_path / "o.mp4"),
        "height_px": 720,
        "time_limit_sec": 9,
    }
    assert convert_file(job)["failure"]


def test_time_is_limited(tmp_path: Path) -> None:
    source = write_pattern(tmp_path / "a.avi", codec="mpeg4", num_frames=200)
    job = {"path": str(source), "out": str(tmp_path / "o.mp4"), "height_px": 720, "time_limit_sec": 0.001}
    assert "not read within 0.001 s" in convert_file(job)["failure"]
