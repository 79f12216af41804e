"""The readers that benchmarks/decode.py compares, and the files that they read."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from unreel.data.decode import ClipDecoder, FrameSize, split_at_key_frames
from unreel.data.frame_index import FrameIndex
from unreel.data.opening import Deadline
from unreel.data.packets import VideoFile
from unreel.data.probe import probe_video

HEIGHT, WIDTH, NUM_FRAMES, CLIP_FRAMES, STRIDE = 128, 171, 250, 16, 2
SOURCES = (
    "testsrc2=size=320x240:rate=25",
    "mandelbrot=size=320x240:rate=25",
    "life=size=320x240:rate=25:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00:seed=1",
    "mandelbrot=size=320x240:rate=25:start_scale=1.8",
    "life=size=320x240:rate=25:mold=3:ratio=0.2:death_color=#3232C8:life_color=#ffff00:seed=2",
    "cellauto=size=320x240:rate=25:rule=110:seed=3",
)
OURS = "unreel"
FLOOR = "unreel, decoding alone"
_LONGEST_WAY = 32
"""OpenCV walks to the next frame if it is nearer than this, and jumps if not."""

Clip = Callable[[Path, NDArray[np.int64]], Any]
"""Reads the frames of one clip."""


def write_files(folder: Path, group: int, num_files: int) -> dict[Path, FrameIndex]:
    """Encode the test videos with a key frame every ``group`` frames, and scan them."""
    files = {}
    for number, source in enumerate(SOURCES[:num_files]):
        path = folder / f"{group}_{number}.mp4"
        options = {"preset": "medium", "crf": "23", "bf": "3", "g": str(group), "threads": "1"}
        with av.open(source, format="lavfi") as pictures, av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for time_index, picture in enumerate(pictures.decode(video=0)):
                if time_index == NUM_FRAMES:
                    break
                frame = picture.reformat(format="yuv420p")
                frame.pts, frame.time_base = time_index, Fraction(1, 25)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        files[path] = probe_video(path).index
    return files


def build_unreel(files: dict[Path, FrameIndex]) -> Clip:
    decoder = ClipDecoder(FrameSize(HEIGHT, WIDTH))
    return lambda path, frames_T: decoder.decode(path, files[path], frames_T[None])[0]


def build_floor(files: dict[Path, FrameIndex]) -> Clip:
    """Open, jump and decode as unreel does, and leave the frames as they are."""

    def read(path: Path, frames_T: NDArray[np.int64]) -> int:
        index = files[path]
        num_frames = 0
        with VideoFile(path, Deadline(path, 60), quick=True) as video:
            for key, run in split_at_key_frames(frames_T, index):
                wanted = frozenset(index.pts[run].tolist())
                num_frames += sum(1 for _ in video.pick_frames(video.enter(index, key), wanted))
        return num_frames

    return read


def build_torchcodec(seek_mode: str) -> Clip:
    import torch
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    torch.set_num_threads(1)

    def read(path: Path, frames_T: NDArray[np.int64]) -> NDArray[np.uint8]:
        resize = [Resize((HEIGHT, WIDTH))]
        decoder = VideoDecoder(
            str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=seek_mode, transforms=resize
        )
        return decoder.get_frames_at(frames_T.tolist()).data.numpy()

    return read


def build_decord() -> Clip:
    import decord

    def read(path: Path, frames_T: NDArray[np.int64]) -> NDArray[np.uint8]:
        reader = decord.VideoReader(str(path), width=WIDTH, height=HEIGHT, num_threads=1)
        return reader.get_batch(frames_T.tolist()).asnumpy()

    return read


def build_opencv() -> Clip:
    import cv2

    cv2.setNumThreads(1)

    def read(path: Path, frames_T: NDArray[np.int64]) -> NDArray[np.uint8]:
        file = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        pictures = []
        position = -_LONGEST_WAY
        for number in frames_T.tolist():
            if not 0 <= number - position < _LONGEST_WAY:
                file.set(cv2.CAP_PROP_POS_FRAMES, number)
                position = number
            for _ in range(position, number + 1):
                file.grab()
            position = number + 1
            small = cv2.resize(file.retrieve()[1], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
            pictures.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
        file.release()
        return np.stack(pictures)

    return read


def build_backends(
    files: dict[Path, FrameIndex], frames_T: NDArray[np.int64]
) -> tuple[dict[str, Clip], dict[str, str]]:
    """Return the backends that load and can read the frames of a file, and the errors of the others."""
    builders: dict[str, Callable[[], Clip]] = {
        OURS: lambda: build_unreel(files),
        FLOOR: lambda: build_floor(files),
        "torchcodec, exact": lambda: build_torchcodec("exact"),
        "torchcodec, approximate": lambda: build_torchcodec("approximate"),
        "decord2": build_decord,
        "OpenCV": build_opencv,
    }
    backends, missing = {}, {}
    for name, build in builders.items():
        try:
            backends[name] = build()
            backends[name](next(iter(files)), frames_T)
        except Exception as error:  # a peer may fail in any way; the report says how
            missing[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:150]}"
            backends.pop(name, None)
    return backends, missing


def draw_clip(rng: np.random.Generator) -> NDArray[np.int64]:
    span = (CLIP_FRAMES - 1) * STRIDE + 1
    return rng.integers(0, NUM_FRAMES - span + 1) + np.arange(CLIP_FRAMES) * STRIDE
