"""Measure how time and memory grow with the number of videos, from a thousand to a million.

Every step of the bookkeeping is measured, and no video is decoded but by the loader. A catalog has the rows
that a scan made of one small video, again and again under other paths, with labels of 100 classes, groups of
ten and two splits, of which test has 200 videos. Vectors are drawn at random, 64 numbers and one per video.
For the loader, whose two workers decode 2 frames of each video, the paths lead to that one file: folders that
are links to one, in which a thousand names stand for it.

Each step runs in a process of its own, which has loaded the program and, where the table does not say so, its
inputs. Time is that of the processor, all threads together; memory is the largest that the process held
beyond what it held before. Slopes are those of a straight line through the logarithms of what is left beyond
the smallest catalog, which stands for the constant part: 1 is linear, 0 constant. What never exceeds 20 ms or
8 MiB is called flat. Of the loader, memory is what one worker has for itself (private), and PSS, in which a
page that several share counts in parts.

    python benchmarks/growth.py --quick
    python benchmarks/growth.py --write benchmarks/results/growth.md --plot docs/images/growth.png
"""

import argparse
import io
import json
import multiprocessing
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from growth_steps import Place, Work, list_steps, write_video
from machine import describe_machine
from PIL import Image

from unreel.data.catalog import Catalog
from unreel.data.catalog_table import MEDIA_SCHEMA
from unreel.data.clips import RandomClips
from unreel.data.loader import DataConfig, TrainingBatches, select_videos
from unreel.data.prefetch import build_loader
from unreel.data.scan import scan_videos

mpl.use("Agg")
BATCH, WORKERS = 8, 2
FLAT = {"seconds": 0.02, "mb": 8.0}


def read_status_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+)", lines, re.MULTILINE)[1])  # type: ignore[index]


def measure(work: Work) -> dict[str, float]:
    """Return what some work took: seconds of the processor and by the clock, MiB at most."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest size so far
    before = read_status_kb("VmRSS")
    cpu, started = time.process_time(), time.perf_counter()
    kept = work()
    taken = {"seconds": time.process_time() - cpu, "clock": time.perf_counter() - started}
    del kept
    return {**taken, "mb": (read_status_kb("VmHWM") - before) / 1024}


def measure_step(build: Callable[[Place], Work], place: Place) -> dict[str, float]:
    return measure(build(place))


def measure_loader(place: Place) -> dict[str, float]:
    """Return what starting takes, and what a worker holds after some batches."""
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    config = DataConfig(catalog=place.catalog, height=32, width=32, num_workers=WORKERS)
    cpu = time.process_time()
    catalog, _ = select_videos(config)
    batches = TrainingBatches(catalog, RandomClips(count=1, num_frames=2), config, seed=0, batch_size=BATCH)
    selected = time.process_time() - cpu
    started = time.perf_counter()
    loader = iter(build_loader(batches, first=0, last=10**6, num_workers=WORKERS, is_pinned=False))
    next(loader)
    first_sec = time.perf_counter() - started
    for _ in range(30):
        next(loader)
    private, pss = [], []
    for child in multiprocessing.active_children():
        text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
        kb = {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
        private.append((kb["Private_Clean"] + kb["Private_Dirty"]) / 1024)
        pss.append(kb["Pss"] / 1024)
    getattr(loader, "_shutdown_workers", int)()
    return {
        "seconds": selected,
        "clock": first_sec,
        "mb": float(np.mean(private)),
        "pss": float(np.mean(pss)),
    }


def in_process(task: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Do a task in a process that has loaded the program and nothing else."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def run() -> None:
        torch.set_num_threads(1)
        theirs.send(task())

    process = context.Process(target=run)
    process.start()
    theirs.close()
    try:
        return mine.recv()  # type: ignore[no-any-return]
    finally:
        process.join()


def measure_sizes(
    sizes: list[int], only: str, folder: Path | None, keep: Callable[[dict[str, Any]], object]
) -> dict[str, list[dict[str, float]]]:
    """Return by step what it took at each size."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as name:
        video = Path(name) / "one.mp4"
        write_video(video)
        scan_videos([video], Path(name) / "one.parquet", num_workers=1)
        media = Catalog.load(Path(name) / "one.parquet").table.select(MEDIA_SCHEMA.names)
        for size in sizes:
            place = Place(Path(name) / str(size), size)
            in_process(partial(place.prepare, media, video))
            steps = {step: partial(measure_step, build, place) for step, build in list_steps(media).items()}
            steps["loader: select videos; a worker"] = partial(measure_loader, place)
            for step, task in steps.items():
                if re.search(only, step):
                    found.setdefault(step, []).append(in_process(task))
                    keep(found)
                    print(size, step, {key: round(x, 3) for key, x in found[step][-1].items()}, flush=True)
            shutil.rmtree(place.folder)
    return found


def fit_slope(sizes: list[int], values: list[float], flat: float) -> float | None:
    """Return the slope of what is left beyond the smallest size, both as logarithms; None when it is flat."""
    beyond = np.array(values[1:]) - values[0]
    if len(beyond) < 2 or not (beyond > flat).any():
        return None
    is_seen = beyond > flat / 10
    is_seen[-2:] = True  # where hardly anything is left, the slope is one at least
    logs = np.log10(np.array(sizes[1:]) - sizes[0]), np.log10(np.maximum(beyond, flat / 10))
    return float(np.polyfit(logs[0][is_seen], logs[1][is_seen], 1)[0])


def format_table(sizes: list[int], found: dict[str, list[dict[str, float]]], key: str) -> list[str]:
    lines = [
        "| step | " + " | ".join(f"{size:,}" for size in sizes) + " | slope |",
        "|---|" + "---:|" * (len(sizes) + 1),
    ]
    for step, results in found.items():
        values = [result[key] for result in results]
        slope = fit_slope(sizes, values, FLAT["mb" if key in ("mb", "pss") else "seconds"])
        cells = [f"{value:,.0f}" if value >= 100 else f"{value:.2g}" for value in values]
        lines.append(f"| {step} | {' | '.join(cells)} | {'flat' if slope is None else f'{slope:.2f}'} |")
    return lines


def format_report(sizes: list[int], found: dict[str, list[dict[str, float]]]) -> str:
    loader = {step: rows for step, rows in found.items() if step.startswith("loader")}
    others = {step: rows for step, rows in found.items() if step not in loader}
    title = "# Growth\n\n" + "\n\n".join(
        " ".join(part.split()) for part in (__doc__ or "").split("\n\n")[1:3]
    )
    parts = [title, describe_machine("numpy", "pyarrow", "torch")]
    parts.append(
        "## Seconds of the processor, by videos in the catalog\n\n"
        + "\n".join(format_table(sizes, others, "seconds"))
    )
    parts.append("## Memory, MiB\n\n" + "\n".join(format_table(sizes, others, "mb")))
    for rows in loader.values():
        named = {
            "seconds": "select the videos, seconds of the processor",
            "clock": "two workers started and the first batch there, seconds by the clock",
            "mb": "memory of a worker, private, MiB",
            "pss": "memory of a worker, PSS, MiB",
        }
        lines = [format_table(sizes, {text: rows}, key) for key, text in named.items()]
        parts.append("## The loader\n\n" + "\n".join([*lines[0][:2], *(part[2] for part in lines)]))
    return "\n\n".join(parts)


def draw(sizes: list[int], found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw time and memory of all steps, and lines that are linear."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), dpi=72)
    areas = list(dict.fromkeys(step.split(":")[0] for step in found))
    for axis, key, unit, floor in zip(axes, FLAT, ("CPU seconds", "MiB"), (1e-3, 0.1), strict=True):
        for step, results in found.items():
            area = step.split(":")[0]
            values = [max(floor, result[key]) for result in results]
            axis.loglog(sizes, values, color=f"C{areas.index(area)}", marker=".", linewidth=1)
        top = max(result[key] for results in found.values() for result in results)
        line = np.array([top * size / sizes[-1] for size in sizes])
        axis.loglog(sizes, line * 2, "k--", linewidth=1)
        axis.set(xlabel="videos", ylabel=unit)
        axis.set_ylim(floor / 2, top * 3)
    handles = [plt.Line2D([], [], color=f"C{place}", label=area) for place, area in enumerate(areas)]
    handles.append(plt.Line2D([], [], color="k", linestyle="--", label="linear"))
    axes[1].legend(handles=handles, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn)
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 10,000 videos: a minute")
    parser.add_argument("--largest", type=int, default=10**6, help="videos of the largest catalog")
    parser.add_argument("--only", default="", help="regular expression; of the steps, and of what they read")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    parser.add_argument("--plot", type=Path, help="also draw it to this PNG file")
    parser.add_argument("--folder", type=Path, help="where the files lie meanwhile, such as /dev/shm")
    parser.add_argument("--json", type=Path, help="also write the numbers to this JSON file")
    arguments = parser.parse_args()
    largest = 10**4 if arguments.quick else arguments.largest
    sizes = [size for size in (10**3, 10**4, 10**5, 10**6) if size <= largest]
    started, load = time.perf_counter(), os.getloadavg()[0]
    kept = arguments.json.open("w") if arguments.json else io.StringIO()

    def keep(found: dict[str, Any]) -> None:
        kept.seek(0)
        kept.write(json.dumps({"sizes": sizes, "found": found}))
        kept.flush()

    found = measure_sizes(sizes, arguments.only, arguments.folder, keep)
    took = (
        f"The whole run took {(time.perf_counter() - started) / 60:.0f} minutes; load of the machine before "
        f"and after: {load:.1f} and {os.getloadavg()[0]:.1f}."
    )
    report = f"{format_report(sizes, found)}\n\n{took}"
    if arguments.write and arguments.plot:
        report += f"\n\n![Growth]({os.path.relpath(arguments.plot, arguments.write.parent)})"
    print(report)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(report + "\n", encoding="utf-8")
    if arguments.plot:
        draw(sizes, found, arguments.plot)


if __name__ == "__main__":
    main()
