"""Measure how many clips a second unreel decodes, against torchcodec, decord2 and OpenCV, side by side.

Task: a clip of 16 frames, 2 apart, from a random place of a random file, scaled to 128x171 RGB, the file
opened anew each time, one thread. Files: 320x240, 25 frames per second, 250 frames, libx264 medium crf 23
with 3 B-frames, of moving test pictures, a fractal and cellular automata; once with the default distance of
key frames (250), once with 12. At the end: six frames of a video of ten minutes (decode_segments.py).

Backends take turns in short rounds, so that a busy machine hurts all alike; the main figure is clips per
second of CPU time. Peers come with `pip install unreel[bench]`; those that do not load are listed with their
error.

    python benchmarks/decode.py --quick
    python benchmarks/decode.py --write benchmarks/results/decode.md
"""

import argparse
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import rows
from decode_backends import FLOOR, OURS, SOURCES, build_backends, build_unreel, draw_clip, write_files
from decode_segments import report_segments
from machine import describe_machine

from unreel.data.frame_index import FrameIndex
from unreel.data.packets import VideoFile

GROUPS = (250, 12)
"""Distances of key frames."""
FIRST_CLIP = draw_clip(np.random.default_rng(0))
"""What a backend must read before it is measured."""


@dataclass
class Score:
    """Clips read and the time that took."""

    clips: int = 0
    cpu_sec: float = 0.0
    wall_sec: float = 0.0


@dataclass(frozen=True)
class Task:
    """What a worker process is told; everything in it can be pickled."""

    files: dict[Path, FrameIndex]
    rounds: int
    clips_per_round: int
    seed: int


def measure(task: Task, barrier: Any = None) -> dict[str, Score]:  # noqa: ANN401 (a barrier of any context)
    """Let the backends take turns; all get the same clips."""
    backends, _ = build_backends(task.files, FIRST_CLIP)
    paths = list(task.files)
    scores = {name: Score() for name in backends}
    for round_number in range(task.rounds):
        for name, read in backends.items():
            rng = np.random.default_rng([task.seed, round_number])
            clips = [(paths[rng.integers(len(paths))], draw_clip(rng)) for _ in range(task.clips_per_round)]
            if barrier is not None:
                barrier.wait()
            cpu, wall = time.process_time(), time.perf_counter()
            for path, frames_T in clips:
                read(path, frames_T)
            scores[name].cpu_sec += time.process_time() - cpu
            scores[name].wall_sec += time.perf_counter() - wall
            scores[name].clips += len(clips)
    return scores


def _measure_into(task: Task, barrier: Any, results: Any) -> None:  # noqa: ANN401
    results.put(measure(task, barrier))


def measure_in_processes(task: Task, num_processes: int) -> dict[str, Score]:
    """Add up what several processes read at the same time; the slowest sets the wall time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(num_processes), context.Queue()
    seeds = range(task.seed, task.seed + num_processes)
    tasks = [Task(task.files, task.rounds, task.clips_per_round, seed) for seed in seeds]
    workers = [context.Process(target=_measure_into, args=(each, barrier, results)) for each in tasks]
    for worker in workers:
        worker.start()
    parts = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return {
        name: Score(
            sum(part[name].clips for part in parts),
            sum(part[name].cpu_sec for part in parts),
            max(part[name].wall_sec for part in parts),
        )
        for name in parts[0]
    }


def count_decoded_frames(files: dict[Path, FrameIndex], num_clips: int = 60) -> tuple[float, float]:
    """Return frames that leave the decoder per clip, and frames from the key frame to the end of the clip."""
    decoded = from_key = 0
    decode = VideoFile.decode

    def count(self: VideoFile, packet: Any, *, skip: bool = False) -> Any:  # noqa: ANN401
        nonlocal decoded
        frames = decode(self, packet, skip=skip)
        decoded += len(frames)
        return frames

    read = build_unreel(files)
    rng = np.random.default_rng(0)
    VideoFile.decode = count  # type: ignore[method-assign]
    try:
        for number in range(num_clips):
            path = list(files)[number % len(files)]
            frames_T = draw_clip(rng)
            read(path, frames_T)
            from_key += int(frames_T[-1] - files[path].find_key_frames(frames_T[:1])[0]) + 1
    finally:
        VideoFile.decode = decode  # type: ignore[method-assign]
    return decoded / num_clips, from_key / num_clips


def check_agreement(files: dict[Path, FrameIndex]) -> dict[str, float]:
    """Return each peer's mean difference from unreel's pictures, in levels of 255: other resampling."""
    backends, _ = build_backends(files, FIRST_CLIP)
    rng = np.random.default_rng(1)
    clips = [(path, draw_clip(rng)) for path in files]
    ours = [backends[OURS](path, frames_T).astype(float) for path, frames_T in clips]
    return {
        name: float(
            np.mean([np.abs(read(*clip) - own).mean() for clip, own in zip(clips, ours, strict=True)])
        )
        for name, read in backends.items()
        if name not in (OURS, FLOOR)
    }


def format_table(one: dict[str, Score], two: dict[str, Score], agreement: dict[str, float]) -> str:
    lines = [
        "| backend | clips per CPU-second | unreel is faster by | wall clips/s, 1 process | 2 processes "
        "| mean difference |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    ours = one[OURS].clips / one[OURS].cpu_sec
    for name, score in sorted(one.items(), key=lambda item: -item[1].clips / item[1].cpu_sec):
        rate = score.clips / score.cpu_sec
        walls = [f"{each.clips / each.wall_sec:.1f}" for each in (score, two[name])]
        difference = f"{agreement[name]:.1f}" if name in agreement else ""
        lines.append(f"| {name} | {rate:.1f} | {ours / rate:.2f} | {walls[0]} | {walls[1]} | {difference} |")
    return "\n".join(lines)


def report_group(folder: Path, group: int, *, quick: bool) -> str:
    """Measure one kind of file; return its part of the report."""
    files = write_files(folder, group, 3 if quick else len(SOURCES))
    task = Task(files, rounds=3 if quick else 12, clips_per_round=4 if quick else 10, seed=0)
    _, missing = build_backends(files, FIRST_CLIP)
    one = measure(task)
    two = measure_in_processes(task, 2)
    decoded, from_key = count_decoded_frames(files)
    ours, floor = (one[name].clips / one[name].cpu_sec for name in (OURS, FLOOR))
    peers = {name: score.clips / score.cpu_sec for name, score in one.items() if name not in (OURS, FLOOR)}
    best = max(peers, key=lambda name: peers[name], default="")
    for name in (*peers, *missing):
        note_row(f"decoding clips, a key frame every {group} frames", name, (ours, peers, floor), missing)
    lines = [
        f"## A key frame every {group} frames",
        "",
        format_table(one, two, check_agreement(files)),
        "",
        f"{decoded:.1f} frames leave the decoder per clip, {from_key:.1f} lie from its key frame to its end.",
        f"unreel reaches {ours / floor:.0%} of the rate of decoding alone (without scaling and colour).",
        f"Best peer: {best}; unreel is {ours / peers[best]:.2f} times as fast."
        if best
        else "No peer is installed.",
        *(f"Not measured: {name} ({error})." for name, error in missing.items()),
    ]
    return "\n".join(lines)


def note_row(
    what: str, name: str, rates: tuple[float, dict[str, float], float], missing: dict[str, str]
) -> None:
    """Hand over a comparison; versions are those of the packages."""
    ours, peers, floor = rates
    title, _, kind = name.partition(", ")
    package = {"OpenCV": "opencv-python-headless"}.get(title, title)
    rows.note(
        rows.Row(
            what,
            "clips per CPU-second",
            ours,
            peer=rows.name_package(package, title) + (f", {kind}" if kind else ""),
            theirs=peers.get(name, float("nan")),
            floor="decoding alone",
            floor_rate=floor,
            missing=missing.get(name, ""),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds: half a minute")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    parser.add_argument("--clips-alone", action="store_true", help="leave out the video of ten minutes")
    rows.add_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = [report_group(Path(folder), group, quick=arguments.quick) for group in GROUPS]
        if not arguments.clips_alone:
            parts.append(report_segments(Path(folder), quick=arguments.quick))
    title = "# Decoding clips\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    machine = describe_machine("av", "torch", "torchcodec", "decord2", "opencv-python-headless", "numpy")
    report = "\n\n".join([title, f"{machine} FFmpeg {av.ffmpeg_version_info} in PyAV.", *parts])
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(report + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
