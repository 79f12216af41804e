"""Tiny real video files of many kinds, written with PyAV."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_video(
    path: Path,
    frames_THWC: NDArray[np.uint8],
    *,
    fps: float = 25,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    container: str | None = None,
) -> Path:
    """Encode uint8 RGB frames.

    Args:
        path: its suffix chooses the container, if ``container`` does not.
        frames_THWC: the pictures.
        fps: frames per second.
        codec: an encoder of FFmpeg.
        options: of the encoder; ``g`` is the distance of key frames, ``bf`` the number of B-frames in a row.
        pixel_format: as stored.
        ticks: when each frame is shown, in units of 1 / fps, for a variable frame rate.
        container: FFmpeg's name of the container format.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, options={"threads": "1", **(options or {})})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = 1 / rate
        for number, picture in enumerate(frames_THWC):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = ticks[number] if ticks is not None else number
            frame.time_base = 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def draw_frames(num_frames: int, height: int = 48, width: int = 64, *, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a coarse pattern that moves and brightens, with a little noise: no two frames are alike."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 200, (height // 8 + 2, width // 8 + 2, 3)).repeat(8, 0).repeat(8, 1)
    frames = [
        np.roll(tiles, (time, 2 * time), (0, 1))[:height, :width]
        + time % 40
        + rng.integers(0, 8, (height, width, 3))
        for time in range(num_frames)
    ]
    return np.stack(frames).astype(np.uint8)


def write_audio(path: Path, *, codec: str = "mp2") -> Path:
    """Encode a tenth of a second of silence."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), format="s16", layout="mono")
        frame.rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def rotate_mp4(source: Path, target: Path, degrees: int) -> Path:
    """Copy an MP4 file and tell players to turn it clockwise by a multiple of 90 degrees."""
    one = 0x10000
    cosine, sine = {0: (one, 0), 90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = np.array([cosine, sine, 0, -sine, cosine, 0, 0, 0, 0x40000000], ">i4").tobytes()
    content = bytearray(source.read_bytes())
    start = content.index(b"tkhd") + 44  # behind the type: version, times, track, duration, layer, volume
    content[start : start + 36] = matrix
    target.write_bytes(content)
    return target


X264_OPEN_GOP = {"x264-params": "open-gop=1:keyint=10:min-keyint=1:scenecut=0:bframes=3:b-adapt=0"}
X264_REFRESH = {"x264-params": "intra-refresh=1:keyint=10:scenecut=0:bframes=0"}
X265_OPEN_GOP = {"x265-params": "keyint=10:open-gop=1:log-level=none:pools=none:frame-threads=1"}


def set_timestamps(source: Path, target: Path, milliseconds: Sequence[int]) -> Path:
    """Copy a file without B-frames to Matroska, with its frames shown at the given times."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        for packet, time in zip(packets, milliseconds, strict=True):
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = time
            packet.stream = stream
            new.mux(packet)
    return target


Writer = Callable[[Path, NDArray[np.uint8]], Path]


def _writer(suffix: str, codec: str, pixel_format: str = "yuv420p", **options: str) -> tuple[str, Writer]:
    def write(path: Path, frames_THWC: NDArray[np.uint8]) -> Path:
        return write_video(path, frames_THWC, codec=codec, pixel_format=pixel_format, options=options)

    return suffix, write


def _write_uneven(path: Path, frames_THWC: NDArray[np.uint8]) -> Path:
    ticks = np.cumsum(1 + np.arange(len(frames_THWC)) % 3).tolist()
    return write_video(path, frames_THWC, ticks=ticks, options={"g": "12"})


def _write_turned(path: Path, frames_THWC: NDArray[np.uint8]) -> Path:
    upright = write_video(path.with_name("upright.mp4"), frames_THWC, options={"g": "12"})
    return rotate_mp4(upright, path, 90)


def _write_repeated(path: Path, frames_THWC: NDArray[np.uint8]) -> Path:
    plain = write_video(path.with_name("plain.avi"), frames_THWC, codec="mpeg4", options={"g": "12"})
    return set_timestamps(plain, path, [number // 2 * 80 for number in range(len(frames_THWC))])


KINDS: dict[str, tuple[str, Writer]] = {
    "h264": _writer(".mp4", "libx264", g="12", bf="3"),
    "h264 with one key frame": _writer(".mp4", "libx264", g="250", bf="3"),
    "h264 with open groups": _writer(".mp4", "libx264", **X264_OPEN_GOP),
    "h264 with open groups in ts": _writer(".ts", "libx264", **X264_OPEN_GOP),
    "h264 with gradual refresh": _writer(".mkv", "libx264", **X264_REFRESH),
    "h264 in ts": _writer(".ts", "libx264", g="12"),
    "h264 in flv": _writer(".flv", "libx264", g="12"),
    "h264 in avi": _writer(".avi", "libx264", g="12", bf="2"),
    "h264 without container": _writer(".h264", "libx264", g="12"),
    "h264 with 10 bits": _writer(".mkv", "libx264", "yuv420p10le", g="12"),
    "h264 in rgb": _writer(".mp4", "libx264rgb", "rgb24", g="12"),
    "h264 with fields": _writer(".mp4", "libx264", g="12", **{"x264-params": "interlaced=1"}),
    "h264 uneven": (".mkv", _write_uneven),
    "mpeg4 with repeated timestamps": (".mkv", _write_repeated),
    "h264 turned": (".mp4", _write_turned),
    "hevc with open groups": _writer(".mp4", "libx265", **X265_OPEN_GOP),
    "mpeg4 in avi": _writer(".avi", "mpeg4", g="12"),
    "mpeg4 with b-frames in avi": _writer(".avi", "mpeg4", g="12", bf="2"),
    "mpeg2 in ts": _writer(".ts", "mpeg2video", g="12", bf="2"),
    "mpeg1": _writer(".mpg", "mpeg1video", g="12", bf="2"),
    "vp8": _writer(".webm", "libvpx", g="12", deadline="realtime", **{"cpu-used": "8"}),
    "vp9": _writer(".webm", "libvpx-vp9", g="12", deadline="realtime", **{"cpu-used": "8"}),
    "mjpeg": _writer(".avi", "mjpeg", "yuvj420p"),
    "wmv2": _writer(".wmv", "wmv2", g="12"),
    "gif": _writer(".gif", "gif", "rgb8"),
    "animation with alpha": _writer(".mov", "qtrle", "argb", g="12"),
}
"""One way to write each kind of file: suffix, and a function of path and frames."""


def write_kind(folder: Path, kind: str, frames_THWC: NDArray[np.uint8]) -> Path:
    """Write frames as one of `KINDS`."""
    suffix, write = KINDS[kind]
    return write(folder / f"{kind.replace(' ', '_')}{suffix}", frames_THWC)
