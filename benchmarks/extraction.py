"""Measure how many clips a second become features, against decoding and the network alone, and a plain loop.

Task: `extract_features` of ten clips per video with the network and the input of `moco.small`, no workers, a
new table each time. Videos: 320x240, 25 frames per second, 250 frames, libx264 medium crf 23 with a key frame
every 250 frames, three contents several times each. Floor: the same clips decoded by `ClipDecoder` and
nothing done with them, and clips in memory put through the network 32 at a time; one thread has to do both.
The plain loop reads clip by clip with OpenCV and calls the network for each. One thread works and its own
seconds count; the fastest round counts.

    OMP_NUM_THREADS=1 python benchmarks/extraction.py --quick
    OMP_NUM_THREADS=1 python benchmarks/extraction.py --write benchmarks/results/extraction.md
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rows
import torch
from decode_backends import write_files
from machine import describe_machine
from numpy.typing import NDArray

from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder
from unreel.data.scan import scan_videos
from unreel.features.encoder import Encoder
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.recipes import moco
from unreel.seeding import build_generator
from unreel.train.export import describe_encoder

# N clips, T frames, H W pixels, C channels

CLIPS, BATCH = 10, 32
OURS, DECODING, NETWORK, PLAIN = "unreel", "decoding alone", "the network alone", "OpenCV, clip by clip"


def read_with_opencv(path: Path, frames_T: NDArray[np.int64], size: tuple[int, int]) -> torch.Tensor:
    """Read the frames from the first to the last, in order, and keep those of the clip."""
    file = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    file.set(cv2.CAP_PROP_POS_FRAMES, int(frames_T[0]))
    wanted, pictures = set(frames_T.tolist()), []
    for number in range(int(frames_T[0]), int(frames_T[-1]) + 1):
        file.grab()
        if number in wanted:
            small = cv2.resize(file.retrieve()[1], size, interpolation=cv2.INTER_LINEAR)
            pictures.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    file.release()
    return torch.from_numpy(np.stack(pictures))


def build_tasks(catalog: Catalog, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what each way does with all clips."""
    encoder = Encoder.untrained(describe_encoder(moco.small()))
    spec = encoder.spec
    sampling, decoder = spec.build_sampling(CLIPS), ClipDecoder(spec.frame_size)
    videos = list(catalog)
    plans = [sampling.sample(video.frames, build_generator(0)).frames_NT for video in videos]
    shape = (BATCH, spec.num_frames, spec.decode_height, spec.decode_width, 3)
    clips = torch.zeros(shape, dtype=torch.uint8)

    def extract() -> None:
        read = ReadConfig(clips_per_video=CLIPS, batch_size=BATCH, num_workers=0)
        extract_features(encoder, catalog, folder / "features.parquet", read=read, is_restart=True)

    def decode() -> None:
        for video, frames_NT in zip(videos, plans, strict=True):
            decoder.decode(video.path, video.index, frames_NT)

    def embed() -> None:
        for first in range(0, len(videos) * CLIPS, BATCH):
            encoder.embed_clips(clips[: len(videos) * CLIPS - first])

    def embed_plainly() -> None:
        size = (spec.decode_width, spec.decode_height)
        for video, frames_NT in zip(videos, plans, strict=True):
            for frames_T in frames_NT:
                encoder.embed_clips(read_with_opencv(video.path, frames_T, size)[None])

    return {OURS: extract, DECODING: decode, NETWORK: embed, PLAIN: embed_plainly}


def report(folder: Path, *, quick: bool) -> str:
    copies, rounds = (1, 0) if quick else (4, 3)
    for path in write_files(folder, 250, 3):
        for number in range(1, copies):
            shutil.copy(path, path.with_stem(f"{path.stem}_{number}"))
    scan_videos([folder], folder / "catalog.parquet", num_workers=1)
    catalog = Catalog.load(folder / "catalog.parquet")
    tasks = build_tasks(catalog, folder)
    best = dict.fromkeys(tasks, float("inf"))
    for number in range(rounds + 1):
        for name, task in tasks.items():
            started = time.process_time()
            task()
            if number or quick:  # the first round warms up
                best[name] = min(best[name], time.process_time() - started)
    num_clips, floor_sec = len(catalog) * CLIPS, best[DECODING] + best[NETWORK]
    largest = rows.profile_calls(tasks[OURS])
    rows.note(
        rows.Row(
            "extraction, 10 clips per video, `moco.small`",
            "clips per CPU-second",
            num_clips / best[OURS],
            peer=rows.name_package("opencv-python-headless", "OpenCV") + " and the network, clip by clip",
            theirs=num_clips / best[PLAIN],
            floor="decoding and the network alone",
            floor_rate=num_clips / floor_sec,
            bound=largest,
        )
    )
    lines = ["| way | clips per CPU-second | CPU ms per clip |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {num_clips / seconds:,.1f} | {1000 * seconds / num_clips:.1f} |"
        for name, seconds in best.items()
    ]
    share = f"unreel takes {best[OURS] / floor_sec:.2f} times as long as decoding and the network alone."
    return "\n".join([f"{len(catalog)} videos.", "", *lines, "", f"{share} What takes its time: {largest}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three videos once: some seconds")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        table = report(Path(folder), quick=arguments.quick)
    title = "# Extraction\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    text = "\n\n".join([title, describe_machine("av", "torch", "opencv-python-headless"), table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
