"""Measure what reading batches costs with the frames in files, in shared memory and on a device.

Task: batches as training sees them, of 4 videos with 2 clips of 16 frames, 2 apart, in 128x171 pixels, by
`TrainingBatches` and the loader of a run, nothing done with them. Videos: 16 of 320x240 at 25 frames per
second, 250 frames, libx264 medium crf 23 with a key frame every 250 frames, four contents four times each;
the copies are those that `unreel prepare` makes of the four, read as stored, in 128x170. The device is the
CPU's twin of a GPU: one tensor, clips cut out by index.

Every way runs in a process of its own, one after the other. Start is the time until the first batch begins
to be read: decoding everything, and nothing without a cache. Memory is PSS, in which a page that several
processes share counts in parts; private is what nobody else has. Frames in memory count among the private
pages of the only process that has touched them, and among nobody's as soon as there is another one. A busy
machine spoils times, and rates per second of CPU time less.

    python benchmarks/cache.py --quick
    python benchmarks/cache.py --write benchmarks/results/cache.md
"""

import argparse
import multiprocessing
import os
import re
import shutil
import socket
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import rows
import torch
from decode_backends import HEIGHT, WIDTH, write_files
from machine import describe_machine

from unreel.data.catalog import Catalog
from unreel.data.clips import RandomClips
from unreel.data.loader import DataConfig, TrainingBatches, build_cache, select_videos
from unreel.data.prefetch import build_loader
from unreel.data.prepare import PrepareConfig, prepare_videos
from unreel.data.scan import scan_videos
from unreel.distributed import Rank, start_process_group, stop_process_group

VIDEOS, CLIPS, COPIES = 4, 2, 4
MB = 2**20


@dataclass(frozen=True)
class Way:
    """A way to read: its settings and how many training processes do it at once."""

    name: str
    data: DataConfig
    processes: int = 1


@dataclass(frozen=True)
class Finding:
    """What one training process measured; sizes in MiB."""

    start_sec: float
    clips_per_sec: float
    clips_per_cpu_sec: float
    cache_mb: float
    own_mb: tuple[float, float]
    """PSS and private memory of the training process."""
    worker_mb: tuple[float, float]
    """The same of a worker on average, 0 without workers."""


def read_mb(process: int) -> tuple[float, float]:
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    sizes = {name: int(size) / 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


def read_cpu_sec(process: int) -> float:
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measure(way: Way, seconds: float, rank: int, port: int, pipe: Connection) -> None:
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of the workers, as in a run on Linux
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    if way.processes > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        start_process_group(Rank(rank, way.processes, rank), torch.device("cpu"))
    catalog, _ = select_videos(way.data)
    started = time.perf_counter()
    cache = build_cache(catalog, way.data)
    start_sec = time.perf_counter() - started
    sampling = RandomClips(count=CLIPS, num_frames=16, frame_stride=2)
    batches = TrainingBatches(catalog, sampling, way.data, seed=rank, batch_size=VIDEOS, cache=cache)
    workers = way.data.num_workers
    loader = iter(build_loader(batches, first=0, last=10**9, num_workers=workers, is_pinned=False))
    for _ in range(2 + 2 * workers):  # those that were read ahead are not counted
        next(loader)
    processes = [os.getpid(), *(child.pid or 0 for child in multiprocessing.active_children())]
    number, started, used = 0, time.perf_counter(), sum(map(read_cpu_sec, processes))
    while (passed := time.perf_counter() - started) < seconds:
        next(loader)
        number += 1
    cpu_sec = sum(map(read_cpu_sec, processes)) - used
    children = [read_mb(process) for process in processes[1:]]
    mean = [sum(sizes) / len(sizes) for sizes in zip(*children, strict=True)] or [0.0, 0.0]
    clips = number * VIDEOS * CLIPS
    size_mb = cache.num_bytes / MB if cache else 0.0
    rates = clips / passed, clips / max(cpu_sec, 0.01)
    pipe.send(Finding(start_sec, *rates, size_mb, read_mb(os.getpid()), (mean[0], mean[1])))
    pipe.recv()  # the others may still be measuring
    getattr(loader, "_shutdown_workers", int)()
    stop_process_group()


def run(way: Way, seconds: float) -> list[Finding]:
    """Measure a way in fresh processes."""
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [context.Pipe() for _ in range(way.processes)]
    processes = [
        context.Process(target=measure, args=(way, seconds, rank, port, theirs))
        for rank, (_, theirs) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        findings = []
        for mine, _ in pipes:
            assert mine.poll(120), way
            findings.append(mine.recv())
        for mine, _ in pipes:
            mine.send(None)
        return findings
    finally:
        for process in processes:
            process.join(20)
            process.kill()


def build_ways(folder: Path, *, quick: bool) -> list[Way]:
    """Write the videos; return the ways."""
    contents = write_files(folder, 250, 2 if quick else 4)
    scan_videos([folder], folder / "contents.parquet", num_workers=1)
    catalog, out = Catalog.load(folder / "contents.parquet"), folder.with_name("h264")
    prepared = None if quick else prepare_videos(catalog, out, PrepareConfig(), num_workers=1)
    for path in contents:
        for number in range(1, COPIES):
            shutil.copy(path, path.with_stem(f"{path.stem}_{number}"))
    scan_videos([folder], folder / "catalog.parquet", num_workers=1)
    files = DataConfig(catalog=folder / "catalog.parquet", height=HEIGHT, width=WIDTH, num_workers=0)
    copies = replace(files, catalog=prepared.out, width=0) if prepared else files
    ram, device = replace(files, cache="ram"), replace(files, cache="device")
    counts = (0, 2) if quick else (0, 2, 4)
    return [
        *(Way("files", replace(files, num_workers=count)) for count in counts),
        *([] if quick else [Way("H.264 copies", replace(copies, num_workers=count)) for count in counts[:2]]),
        *(Way("ram", replace(ram, num_workers=count)) for count in counts),
        *([] if quick else [Way("ram, each of two training processes", ram, 2)]),
        Way("device (CPU twin)", device),
    ]


def format_row(way: Way, findings: list[Finding]) -> str:
    mean = [
        sum(values) / len(values)
        for values in zip(
            *(
                (
                    item.start_sec,
                    item.clips_per_sec,
                    item.clips_per_cpu_sec,
                    item.cache_mb,
                    *item.own_mb,
                    *item.worker_mb,
                )
                for item in findings
            ),
            strict=True,
        )
    ]
    start_sec, rate, cpu_rate, cache_mb, pss, private, worker_pss, worker_private = mean
    workers = way.data.num_workers
    worker = f"{worker_pss:,.0f} ({worker_private:,.0f})" if workers else "-"
    return (
        f"| {way.name} | {workers} | {start_sec:.1f} | {rate:,.0f} | {cpu_rate:,.0f} | {cache_mb:,.0f} "
        f"| {pss:,.0f} ({private:,.0f}) | {worker} |"
    )


def note_rows(rates: dict[Way, float]) -> None:
    """Hand over every other way against files with as many workers."""
    files = {way.data.num_workers: rate for way, rate in rates.items() if way.name == "files"}
    for way, rate in rates.items():
        if way.name != "files" and way.processes == 1:
            rows.note(
                rows.Row(
                    f"input pipeline, {way.name}, workers: {way.data.num_workers}",
                    "clips/s",
                    rate,
                    peer="unreel, files",
                    theirs=files[way.data.num_workers],
                )
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer videos and ways, shorter rounds")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    lines, rates = (
        [
            "| frames | workers | start, s | clips per second | clips per CPU-second | cache, MiB "
            "| training process, MiB PSS (private) | a worker, MiB PSS (private) |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ],
        dict[Way, float](),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "videos"
        folder.mkdir()
        for way in build_ways(folder, quick=arguments.quick):
            findings = run(way, 1.0 if arguments.quick else 2.0)
            rates[way] = sum(found.clips_per_sec for found in findings) / len(findings)
            lines.append(format_row(way, findings))
    note_rows(rates)
    title = "# Batches from files, from memory and on the device\n\n" + "\n\n".join(
        " ".join(part.split()) for part in (__doc__ or "").split("\n\n")[1:3]
    )
    loads = f"Load of the machine before and after: {load:.1f} and {os.getloadavg()[0]:.1f}."
    text = "\n\n".join([title, describe_machine("av", "numpy", "torch"), "\n".join(lines), loads])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
