"""Measure memory and time of a training step, whole, in chunks and in parts.

Task: a step of a recipe on a batch of 64 videos of noise: views, forward, backward, SGD, momentum encoder. In
chunks, clips go through the backbone 8 at a time (`train.chunk_clips`) and the loss sees all; in parts, 8
videos are a batch of their own (`train.accumulate`). Every way runs in a process of its own, one after the
other, on one thread. Memory is the highest of the process in four steps above what it had before the first;
seconds are of the CPU, the median of the last three steps.

    python benchmarks/chunks.py
    python benchmarks/chunks.py --write benchmarks/results/chunks.md
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine

from unreel.data.batch import VideoBatch
from unreel.methods.method import MethodConfig
from unreel.models.backbone import limit_clips
from unreel.models.memory_format import to_channels_last
from unreel.models.zoo import find_backbone
from unreel.recipes.find import find_recipe
from unreel.train.recipe import Recipe

CASES = (("cvrl.small", ""), ("cvrl.small", "mvit_small"), ("scvrl.small", ""), ("cacl.small", ""))
"""Recipes, and the network in place of their own."""
BATCH_SIZE, SHARE, NUM_STEPS = 64, 8, 4
PAGE_BYTES = resource.getpagesize()
NUM_CLIPS = 2


@dataclass(frozen=True)
class Way:
    """How a batch is computed."""

    name: str
    chunk_clips: int = 0
    num_parts: int = 1


WAYS = (Way("whole"), Way("chunks", chunk_clips=SHARE), Way("parts", num_parts=BATCH_SIZE // SHARE))


def build_config(recipe: Recipe, network: str) -> MethodConfig:
    changes: dict[str, Any] = {}
    if hasattr(recipe.method, "frame_weights"):
        changes["frame_weights"] = Path("random")
    if network:
        changes["backbone"] = replace(
            find_backbone(network),
            num_frames=recipe.method.clips.num_frames,
            size_px=recipe.method.augmentation.size_px,
        )
    return replace(recipe.method, **changes)


def draw_batch(recipe: Recipe, num_videos: int, seed: int) -> VideoBatch:
    num_frames = recipe.method.clips.num_frames
    size = (recipe.data.height, recipe.data.width)
    generator = torch.Generator().manual_seed(seed)
    shape = (num_videos, NUM_CLIPS, num_frames, *size, 3)
    return VideoBatch(
        frames_BNTHWC=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        sizes_B2=torch.tensor([size]).repeat(num_videos, 1),
        video_index_B=torch.arange(num_videos),
        frame_index_BNT=torch.arange(num_frames).expand(num_videos, NUM_CLIPS, num_frames).clone(),
        labels_B=torch.zeros(num_videos, dtype=torch.int64),
        keys_B=torch.randint(0, 2**62, (num_videos,), generator=generator),
    )


def measure(recipe_name: str, network: str, way: Way, answer: Connection) -> None:
    """Send the MiB above those before the first step, and the seconds of a step."""
    torch.set_num_threads(1)
    recipe = find_recipe(recipe_name)()
    torch.manual_seed(0)
    method = to_channels_last(build_config(recipe, network).build()).train()
    limit_clips(method, way.chunk_clips)
    optimizer = torch.optim.SGD((p for p in method.parameters() if p.requires_grad), lr=1e-4, momentum=0.9)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    seconds = []
    for step in range(NUM_STEPS):
        started = time.process_time()
        for part in range(way.num_parts):
            batch = draw_batch(recipe, BATCH_SIZE // way.num_parts, step * way.num_parts + part)
            with torch.no_grad():
                views = method.make_views(batch)
            (method(views).loss / way.num_parts).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        method.after_step((step + 1) / NUM_STEPS)
        seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer.send(((peak - before) / 2**20, statistics.median(seconds[1:])))


def measure_apart(recipe_name: str, network: str, way: Way) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(recipe_name, network, way, sender))
    process.start()
    sender.close()
    result: tuple[float, float] = receiver.recv()
    process.join()
    return result


def report() -> str:
    load = os.getloadavg()[0]
    lines = [
        "# A step whole, in chunks and in parts",
        "\n\n".join(" ".join(text.split()) for text in (__doc__ or "").split("\n\n")[1:2]),
        describe_machine("torch"),
        "| recipe | network | " + " | ".join(f"{way.name}, MiB | s" for way in WAYS) + " |\n"
        "|---|---|" + "---:|---:|" * len(WAYS),
    ]
    for recipe_name, network in CASES:
        scores = [measure_apart(recipe_name, network, way) for way in WAYS]
        own = type(find_recipe(recipe_name)().method.backbone).__name__.removesuffix("Config")
        cells = " | ".join(f"{mebibytes:.0f} | {seconds:.2f}" for mebibytes, seconds in scores)
        lines[-1] += f"\n| `{recipe_name}` | {network or own} | {cells} |"
    lines.append(f"Load of the machine before and after: {load:.1f} and {os.getloadavg()[0]:.1f}.")
    return "\n\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="file for the report; it is printed in any case")
    arguments = parser.parse_args()
    text = report()
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
