"""Measure how many clips a second are read from copies that `unreel prepare` made, against the originals.

Task: a clip of 16 frames, 2 apart, from a random place of a random file, the file opened anew each time, one
thread, by `ClipDecoder`. Originals: 320x240, 25 frames per second, 250 frames, libx264 medium crf 23 with 3
B-frames and a key frame every 250 frames, of moving test pictures, a fractal and cellular automata. Copies:
`unreel prepare` with its defaults (H.264, shorter side 128, groups of 16), and with `--format raw`. They are
read in the size in which they are stored, 128x170, and, scaled, in that in which the originals are, 128x171.

The ways take turns in short rounds, so that a busy machine hurts all alike; the main figure is clips per
second of CPU time. Best of rounds is what the least time of every clip gives: a busy machine slows down small
jobs more than large ones. Floors: what FFmpeg's decoder alone takes for the frames that cannot be avoided,
and what the bytes of a raw clip take to come from the file system's memory.

    python benchmarks/prepared.py --quick
    python benchmarks/prepared.py --write benchmarks/results/prepared.md
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import rows
from decode_backends import HEIGHT, SOURCES, WIDTH, build_floor, draw_clip, write_files
from machine import describe_machine
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.prepare import PrepareConfig, prepare_videos
from unreel.data.prepare_estimate import format_bytes
from unreel.data.scan import scan_videos

Files = dict[Path, FrameIndex]
Read = Callable[[Path, NDArray[np.int64]], Any]
ORIGINALS = "originals, 128x171"
AS_STORED = FrameSize(HEIGHT)
CLIPS_PER_FILE = 6
FIRST_CLIP = draw_clip(np.random.default_rng(0))


@dataclass
class Way:
    """A way to read clips, and the CPU time that each of them took in every round."""

    files: Files
    read: Read
    wall_sec: float = 0.0
    rounds_RC: list[list[float]] = field(default_factory=list)

    @property
    def per_cpu_sec(self) -> float:
        """Clips per second of CPU time, over all rounds."""
        return np.size(self.rounds_RC) / float(np.sum(self.rounds_RC))

    @property
    def best_sec(self) -> NDArray[np.float64]:
        """Least time that each clip took, file by file: what others on the machine disturb least."""
        best_C: NDArray[np.float64] = np.min(self.rounds_RC, axis=0)
        return best_C


def prepare(catalog: Catalog, out: Path, config: PrepareConfig) -> tuple[Files, float]:
    """Make copies with one worker; return them and how long that took, checks included."""
    started = time.perf_counter()
    summary = prepare_videos(catalog, out, config, num_workers=1)
    seconds = time.perf_counter() - started
    assert summary.prepared == len(catalog)
    return {video.path: video.index for video in Catalog.load(summary.out)}, seconds


def build_decoder(files: Files, size: FrameSize) -> Read:
    decoder = ClipDecoder(size)
    return lambda path, frames_T: decoder.decode(path, files[path], frames_T[None])


def build_raw_floor() -> Read:
    """Copy as many bytes as a raw clip has from the file system's memory into an array that is there."""
    room_T = np.empty((16, HEIGHT * 170 * 3), np.uint8)

    def read(path: Path, frames_T: NDArray[np.int64]) -> None:
        file = os.open(path, os.O_RDONLY)
        for row, number in enumerate(frames_T.tolist()):
            os.preadv(file, [room_T[row]], number * room_T.shape[1])
        os.close(file)

    return read


def measure(ways: dict[str, Way], rounds: int) -> None:
    """Let the ways take turns; all read the same clips."""
    rng = np.random.default_rng(0)
    num_files = len(ways[ORIGINALS].files)
    clips = [(number // CLIPS_PER_FILE, draw_clip(rng)) for number in range(num_files * CLIPS_PER_FILE)]
    for number in range(-1, rounds):  # the first round warms up and is not counted
        for way in ways.values():
            paths, times = list(way.files), []
            wall = time.perf_counter()
            for place, frames_T in clips:
                cpu = time.process_time()
                way.read(paths[place], frames_T)
                times.append(time.process_time() - cpu)
            if number >= 0:
                way.wall_sec += time.perf_counter() - wall
                way.rounds_RC.append(times)


def format_table(ways: dict[str, Way]) -> str:
    lines = [
        "| read | clips per CPU-second | times the originals | the same, best of rounds | of one file "
        "| clips per second of wall time | disk |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    originals = ways[ORIGINALS]
    for name, way in ways.items():
        size = format_bytes(sum(path.stat().st_size for path in way.files))
        ratio = way.per_cpu_sec / originals.per_cpu_sec
        best = originals.best_sec.sum() / way.best_sec.sum()
        file_F = [way.best_sec.reshape(-1, CLIPS_PER_FILE).sum(1) for way in (originals, way)]
        by_file = np.sort(file_F[0] / file_F[1])
        lines.append(
            f"| {name} | {way.per_cpu_sec:,.1f} | {ratio:,.1f} | {best:,.1f} "
            f"| {by_file[0]:,.1f} to {by_file[-1]:,.1f} | {np.size(way.rounds_RC) / way.wall_sec:,.1f} "
            f"| {size} |"
        )
    return "\n".join(lines)


def note_rows(ways: dict[str, Way]) -> None:
    """Hand over both kinds of copies, as stored, against the originals and their floors."""
    for kind, alone in (("H.264", "decoding alone"), ("raw", "copying bytes alone")):
        way, floor = ways[f"copies, {kind}, as stored"], ways[f"copies, {kind}, {alone}"]
        path = next(iter(way.files))
        rows.note(
            rows.Row(
                f"clips from prepared copies, {kind}",
                "clips per CPU-second",
                way.per_cpu_sec,
                peer=f"unreel, {ORIGINALS}",
                theirs=ways[ORIGINALS].per_cpu_sec,
                floor=alone,
                floor_rate=floor.per_cpu_sec,
                bound=rows.profile_calls(lambda way=way, path=path: way.read(path, FIRST_CLIP)),  # type: ignore[misc]
            )
        )


def report(folder: Path, *, quick: bool) -> str:
    originals = write_files(folder / "originals", 250, 3 if quick else len(SOURCES))
    scan_videos([folder / "originals"], folder / "catalog.parquet", num_workers=1)
    catalog = Catalog.load(folder / "catalog.parquet")
    copies, copy_sec = prepare(catalog, folder / "h264", PrepareConfig())
    raw, raw_sec = prepare(catalog, folder / "raw", PrepareConfig(format="raw"))
    same = FrameSize(HEIGHT, WIDTH)
    ways = {
        ORIGINALS: Way(originals, build_decoder(originals, same)),
        "copies, H.264, as stored": Way(copies, build_decoder(copies, AS_STORED)),
        "copies, H.264, scaled to 128x171": Way(copies, build_decoder(copies, same)),
        "copies, H.264, decoding alone": Way(copies, build_floor(copies)),
        "copies, raw, as stored": Way(raw, build_decoder(raw, AS_STORED)),
        "copies, raw, scaled to 128x171": Way(raw, build_decoder(raw, same)),
        "copies, raw, copying bytes alone": Way(raw, build_raw_floor()),
    }
    load = os.getloadavg()[0]
    measure(ways, 3 if quick else 6)
    note_rows(ways)
    minutes = float(catalog.seconds_array.sum()) / 60
    return "\n".join(
        [
            format_table(ways),
            "",
            f"Preparing one minute of these videos takes one worker {copy_sec / minutes:.1f} s (H.264) and "
            f"{raw_sec / minutes:.1f} s (raw) of wall time, with reading back and the start of processes.",
            f"Load of the machine before and after: {load:.1f} and {os.getloadavg()[0]:.1f}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "originals").mkdir()
        table = report(Path(name), quick=arguments.quick)
    title = "# Clips from prepared copies\n\n" + "\n\n".join(
        " ".join(part.split()) for part in (__doc__ or "").split("\n\n")[1:3]
    )
    machine = describe_machine("av", "numpy")
    text = "\n\n".join([title, f"{machine} FFmpeg {av.ffmpeg_version_info} in PyAV.", table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
