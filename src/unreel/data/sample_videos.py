"""A small labelled set of videos, made on the spot: a few scenes, each with every motion.

The label of a video is its motion and its group is its scene. Both are crossed, so the appearance of a video
says nothing of its motion: what finds videos of the same label has learned to see motion.
"""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.data.sample_motions import MOTIONS, Motion
from unreel.data.sample_render import render_video
from unreel.data.sample_scenes import SCENES, Scene
from unreel.errors import UnreelError
from unreel.machine import count_cores
from unreel.progress import Progress, ignore_progress
from unreel.runs import write_json, write_text
from unreel.seeding import build_generator

# T frames, H W pixels, C channels

FRAMES_PER_SEC = 25
TABLE_NAME = "videos.csv"
MARKER_NAME = "sample-data.json"

_TEST_EVERY = 4
# Macroblock trees of x264 read memory that was never written when pictures are this small: one time in four,
# the same frames gave another file. Without them, files are alike to the byte.
_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"}
_VIDEO_NAME = re.compile(r"\d{4,}_[a-z]+_[a-z]+\.mp4")


@dataclass(frozen=True)
class SampleSummary:
    """What `make_sample_videos` made.

    Attributes:
        table: CSV with the columns path, label, split, group; ``unreel scan`` reads it.
        num_train: videos of the split ``train``.
        num_test: videos of the split ``test``.
        labels: motions.
        groups: scenes.
        num_frames: of all videos together.
        num_bytes: of all videos together.
    """

    table: Path
    num_train: int
    num_test: int
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    num_frames: int
    num_bytes: int


@dataclass(frozen=True)
class _Task:
    """One video to make: everything that a worker must know."""

    path: Path
    number: int
    seed: int
    num_frames: tuple[int, int]


def make_sample_videos(
    out: Path,
    *,
    num_videos: int = 400,
    seed: int = 0,
    num_frames: tuple[int, int] = (72, 104),
    num_workers: int = -1,
    progress: Progress = ignore_progress,
) -> SampleSummary:
    """Make videos of simple moving scenes, and a table that names them.

    Scenes and motions take turns, so that any number of videos holds them as evenly as can be; every fourth
    video of a scene and a motion is a test video. The same seed gives the same videos, whatever the number of
    workers.

    Args:
        out: folder for ``videos/`` and ``videos.csv``; new, empty, or made by this function before.
        num_videos: how many to make; with 40 or more, every scene shows every motion.
        seed: of everything random.
        num_frames: shortest and longest video.
        num_workers: processes; -1 is one per core, 0 or 1 works in this process.
        progress: is told how many videos are done.

    Raises:
        ValueError: a number makes no sense.
        UnreelError: the folder holds something else.
    """
    if num_videos < 1:
        raise ValueError(f"num_videos must be at least 1, got {num_videos}")
    if not 1 <= num_frames[0] <= num_frames[1]:
        raise ValueError(
            f"num_frames must be (shortest, longest) with 1 <= shortest <= longest, got {num_frames}"
        )
    if num_workers < -1:
        raise ValueError(f"num_workers must be -1 (one per core) or more, got {num_workers}")
    out = Path(out)
    tasks = [
        _Task(out / "videos" / _video_name(number), number, seed, num_frames) for number in range(num_videos)
    ]
    _prepare_folder(out, keep={task.path.name for task in tasks})
    write_json(out / MARKER_NAME, {"made_by": "unreel sample-data", "num_videos": num_videos, "seed": seed})
    num_workers = min(count_cores() if num_workers == -1 else num_workers, num_videos)
    total_frames = _make_all(tasks, num_workers, progress)
    rows = [
        f"videos/{task.path.name},{_motion_of(task.number).label},{_split_of(task.number)},{_scene_of(task.number).name}"
        for task in tasks
    ]
    write_text(out / TABLE_NAME, "\n".join(["path,label,split,group", *rows]) + "\n")
    num_test = sum(_split_of(number) == "test" for number in range(num_videos))
    return SampleSummary(
        table=out / TABLE_NAME,
        num_train=num_videos - num_test,
        num_test=num_test,
        labels=tuple(dict.fromkeys(_motion_of(number).label for number in range(num_videos))),
        groups=tuple(dict.fromkeys(_scene_of(number).name for number in range(num_videos))),
        num_frames=total_frames,
        num_bytes=sum(task.path.stat().st_size for task in tasks),
    )


def _make_all(tasks: list[_Task], num_workers: int, progress: Progress) -> int:
    """Make the videos; return how many frames they have together."""
    frames = 0
    if num_workers <= 1:
        for done, task in enumerate(tasks, 1):
            frames += _make_one(task)
            progress(done, len(tasks), "")
        return frames
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        for done, count in enumerate(pool.map(_make_one, tasks, chunksize=4), 1):
            frames += count
            progress(done, len(tasks), "")
    return frames


def _make_one(task: _Task) -> int:
    generator = build_generator(task.seed, "sample video", task.number)
    length = int(generator.integers(task.num_frames[0], task.num_frames[1] + 1))
    frames_THWC = render_video(_scene_of(task.number), _motion_of(task.number), length, generator)
    write_video(task.path, frames_THWC, fps=FRAMES_PER_SEC, options=_ENCODER_OPTIONS)
    return length


def _motion_of(number: int) -> Motion:
    return MOTIONS[number % len(MOTIONS)]


def _scene_of(number: int) -> Scene:
    return SCENES[number // len(MOTIONS) % len(SCENES)]


def _split_of(number: int) -> str:
    """Take every fourth video of a scene and a motion for testing, not the same turn for all of them."""
    turn = number // (len(MOTIONS) * len(SCENES))
    offset = number % len(MOTIONS) + number // len(MOTIONS) % len(SCENES)
    return "test" if (turn + offset) % _TEST_EVERY == _TEST_EVERY - 1 else "train"


def _video_name(number: int) -> str:
    return f"{number:04d}_{_scene_of(number).name}_{_motion_of(number).label}.mp4"


def _prepare_folder(out: Path, *, keep: set[str]) -> None:
    """Create the folder, or make sure that it is ours and remove an earlier table and its videos."""
    if out.exists() and not out.is_dir():
        raise UnreelError(f"{out} is a file; name a folder for the sample videos")
    if out.is_dir() and any(out.iterdir()) and not _is_sample_folder(out):
        raise UnreelError(
            f"{out} is not empty and holds no sample videos; name a new folder, nothing there was changed"
        )
    (out / "videos").mkdir(parents=True, exist_ok=True)
    (out / TABLE_NAME).unlink(missing_ok=True)
    for path in (out / "videos").iterdir():
        if _VIDEO_NAME.fullmatch(path.name) and path.name not in keep:
            path.unlink()


def _is_sample_folder(out: Path) -> bool:
    try:
        marker = json.loads((out / MARKER_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and marker.get("made_by") == "unreel sample-data"


def write_video(
    path: Path,
    frames_THWC: NDArray[np.uint8],
    *,
    fps: float = FRAMES_PER_SEC,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> None:
    """Encode RGB frames as a video file; the container follows from the file's ending.

    One encoder thread, so that the same frames give the same file with most encoders (libx264 needs
    ``{"x264-params": "mbtree=0"}`` as well when pictures are small).

    Args:
        path: where to write.
        frames_THWC: pictures in the order shown.
        fps: frames per second.
        codec: an encoder of FFmpeg.
        options: passed to the encoder, such as ``{"g": "12", "crf": "20"}``.
        pixel_format: as stored; ``yuv420p`` needs an even height and width.

    Raises:
        ValueError: the frames have the wrong shape, type or size.
    """
    if (
        frames_THWC.ndim != 4
        or frames_THWC.shape[3] != 3
        or frames_THWC.dtype != np.uint8
        or len(frames_THWC) == 0
    ):
        raise ValueError(
            f"frames_THWC must be uint8 of shape (T, H, W, 3), got {frames_THWC.dtype} {frames_THWC.shape}"
        )
    height, width = frames_THWC.shape[1:3]
    if pixel_format == "yuv420p" and (height % 2 or width % 2):
        raise ValueError(
            f"yuv420p needs an even height and width, got {height}x{width}; pass another pixel_format"
        )
    with av.open(str(path), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(codec, rate=rate, options=dict(options or {}))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        stream.codec_context.thread_count = 1
        for picture in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
