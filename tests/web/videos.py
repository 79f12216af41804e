"""Videos of every kind for the tests of what is made of them."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sound:
    """Sound to go with a video."""

    codec: str
    samples: NDArray[np.float64]
    start_sec: float


def add_sound(codec: str, samples: NDArray[np.float64], *, start_sec: float = 0.0) -> Sound:
    """Return sound of 48 kHz, one channel, in [-1, 1]."""
    return Sound(codec, samples, start_sec)


def write_pattern(
    path: Path,
    *,
    codec: str = "libx264",
    num_frames: int = 25,
    size: tuple[int, int] = (48, 64),
    pixels: str = "yuv420p",
    fps: int = 25,
    times: list[int] | None = None,
    sound: Sound | None = None,
) -> Path:
    """Write frames that get brighter: frame ``n`` has a red of ``8 n`` modulo 256, and no green or blue.

    Args:
        path: its ending chooses the container.
        codec: name of the encoder.
        num_frames: frames.
        size: height and width.
        pixels: pixel format.
        fps: frames per second.
        times: when each frame is shown, in frames; evenly by default.
        sound: to go with it.
    """
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=error"}
        audio = container.add_stream(sound.codec, rate=48_000, layout="mono") if sound else None
        for number in range(num_frames):
            picture = np.zeros((height, width, 3), dtype=np.uint8)
            picture[..., 0] = 8 * number % 256
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        if sound is not None and audio is not None:
            samples = av.AudioFrame.from_ndarray(
                sound.samples.astype(np.float32)[None], format="fltp", layout="mono"
            )
            samples.rate, samples.time_base = 48_000, Fraction(1, 48_000)
            samples.pts = round(sound.start_sec * 48_000)
            resampler = av.AudioResampler(
                format=audio.format.name, layout="mono", rate=48_000, frame_size=1024
            )
            for part in [*resampler.resample(samples), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
        container.mux(stream.encode(None))
    return path
