"""Measure how many seconds of video a second measures for motion, against a plain loop over pairs of frames.

unreel decodes every frame once, straight to the gray picture that is needed (shorter side 256), keeps two and
compares them; the 4000 largest edges are found without sorting. The plain loop decodes all frames of a video
at full size, in color and into a list, then turns every pair gray, computes the flow at full size, and sorts
the edges. Both use the same flow of OpenCV on one thread. Files: 25 frames per second, moving test pictures,
fractals and cellular automata by libx264; small ones as Kinetics is often kept, large ones as it is found.
Every way runs in a process of its own; what its memory was at most is told, less what it was after imports.

    python benchmarks/motion.py --quick
    python benchmarks/motion.py --write benchmarks/results/motion.md
"""

import argparse
import concurrent.futures
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import rows
from machine import describe_machine

from unreel.data.catalog import Catalog
from unreel.data.frame_index import FrameIndex
from unreel.data.motion import measure_motion
from unreel.data.motion_flow import MotionConfig, build_flow
from unreel.data.motion_probe import measure_video
from unreel.data.probe import probe_video
from unreel.data.scan import scan_videos

FPS = 25
SIZES = {"340x256": (340, 256), "1280x720": (1280, 720)}
SOURCES = (
    "testsrc2=size={0}x{1}:rate=25",
    "mandelbrot=size={0}x{1}:rate=25",
    "life=size={0}x{1}:rate=25:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00:seed=1",
)
WAYS = {
    "unreel": MotionConfig(),
    "unreel, pictures of 128": MotionConfig(size=128),
    "unreel, 5 pairs a second": MotionConfig(pairs_per_sec=5),
    "unreel, medium search": MotionConfig(backend="dis_medium"),
    "unreel, Farnebäck": MotionConfig(backend="farneback"),
    "unreel, difference of frames": MotionConfig(backend="frame_difference"),
    "plain": MotionConfig(),
    "plain, Farnebäck": MotionConfig(backend="farneback"),
}


@dataclass(frozen=True)
class Score:
    """What a way took for all files of a size."""

    video_sec: float
    cpu_sec: float
    peak_mb: float


def write_files(folder: Path, size: str, num_files: int, num_frames: int) -> list[Path]:
    """Encode the test videos."""
    paths = []
    for number, source in enumerate(SOURCES[:num_files]):
        path = folder / size / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        with (
            av.open(source.format(*SIZES[size]), format="lavfi") as pictures,
            av.open(str(path), "w") as file,
        ):
            stream = file.add_stream("libx264", rate=FPS, options={"threads": "1", "preset": "veryfast"})
            (stream.width, stream.height), stream.pix_fmt = SIZES[size], "yuv420p"
            for time_index, picture in enumerate(pictures.decode(video=0)):
                if time_index == num_frames:
                    break
                frame = picture.reformat(format="yuv420p")
                frame.pts, frame.time_base = time_index, Fraction(1, FPS)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        paths.append(path)
    return paths


def measure_plainly(path: Path, config: MotionConfig) -> list[float]:
    """Do it as one would write it first."""
    assert config.backend in ("dis", "farneback")
    flow = build_flow("dis" if config.backend == "dis" else "farneback")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    values = []
    for first, second in itertools.pairwise(frames):
        pair = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (first, second))
        length = np.linalg.norm(flow(*pair), axis=2)
        across, down = (cv2.Sobel(length, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
        edges = np.sqrt(across**2 + down**2)
        values.append(float(np.median(np.sort(edges.ravel())[-4000:])))
    return [float(np.median(values[start : start + FPS])) for start in range(0, len(values), FPS)]


def read_memory_mb(field: str) -> float:
    """Read from Linux what this process has (VmRSS) or had at most (VmHWM); getrusage tells its parent's."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def run_way(name: str, indices: dict[Path, FrameIndex]) -> Score:
    """Measure all files; to be called in a fresh process."""
    config = WAYS[name]
    measure: Callable[[Path], object] = lambda path: (  # noqa: E731
        measure_plainly(path, config)
        if name.startswith("plain")
        else measure_video(path, indices[path], config)
    )
    before, started = read_memory_mb("VmRSS"), time.process_time()
    for path in indices:
        measure(path)
    cpu_sec = time.process_time() - started
    seconds = sum(index.num_frames for index in indices.values()) / FPS
    return Score(seconds, cpu_sec, read_memory_mb("VmHWM") - before)


def run_apart(name: str, indices: dict[Path, FrameIndex]) -> Score:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(run_way, name, indices).result()


def report_size(folder: Path, size: str, *, num_files: int, num_frames: int) -> str:
    """Measure one kind of file; return its part of the report."""
    paths = write_files(folder, size, num_files, num_frames)
    indices = {path: probe_video(path).index for path in paths}
    scores = {name: run_apart(name, indices) for name in WAYS}
    lines = [
        f"## {len(paths)} videos of {num_frames / FPS:g} s, {size}",
        "",
        "| way | seconds of video per CPU-second | times the plain loop | memory it adds, MiB |",
        "|---|---:|---:|---:|",
    ]
    for name, score in scores.items():
        plain = scores["plain, Farnebäck" if "Farnebäck" in name else "plain"]
        # Another flow is another job.
        times = f"{plain.cpu_sec / score.cpu_sec:.1f}" if "medium" not in name else ""
        if name in ("unreel", "unreel, Farnebäck"):
            rows.note(
                rows.Row(
                    f"measuring motion, {size}, {name.partition(', ')[2] or 'DIS'}",
                    "s of video per CPU-second",
                    score.video_sec / score.cpu_sec,
                    peer=rows.name_package("opencv-python-headless", "OpenCV") + ", a plain loop",
                    theirs=plain.video_sec / plain.cpu_sec,
                )
            )
        lines.append(f"| {name} | {score.video_sec / score.cpu_sec:.2f} | {times} | {score.peak_mb:.0f} |")
    catalog = folder / f"{size}.parquet"
    scan_videos([folder / size], catalog)
    summary = measure_motion(Catalog.load(catalog), folder / f"{size}.motion.parquet")
    lines += [
        "",
        f"`unreel motion`, a process per core: {summary.seconds_of_video:g} s of video in "
        f"{summary.seconds:.1f} s, start of the processes included.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a file of a second: half a minute")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    num_files, num_frames = (1, 25) if arguments.quick else (3, 50)
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            report_size(Path(folder), size, num_files=num_files, num_frames=num_frames) for size in SIZES
        ]
    about = " ".join((__doc__ or "").split("\n\n")[1].split())
    machine = describe_machine("av", "opencv-python-headless", "numpy")
    report = "\n\n".join(["# Measuring motion", about, machine, *parts])
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(report + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
