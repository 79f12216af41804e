"""Measure a training step of SCVRL against the same step done plainly, side by side.

Ours augments three clips of a video: the anchor, the positive and the second clip. The positive's cubes are
embedded once and put in thirteen orders, which go through the key network together, as many at a time as
memory allows. The plain step computes the same loss as one would write it first: the twelve shuffles are
shuffled and augmented from the frames, and each of the fifteen clips of a video goes through its network by
itself, from pixels; where ours augments on a GPU, so does it. Both start from the same weights and must give
the same loss; it is compared in float32 and with the statistics of batch normalisation held fixed. Frames
are in memory; a step is views, forward, backward, optimiser and what follows it. Keys get no gradient in
either. On the CPU one thread works and its own seconds count, so that a busy machine changes little.

    python benchmarks/scvrl_step.py --quick
    python benchmarks/scvrl_step.py --seconds 240 --write benchmarks/results/scvrl_step.md
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import rows
import torch
from machine import describe_machine
from scvrl_step_runs import (
    WAYS,
    Case,
    Runner,
    compare_losses,
    count_flops,
    draw_batch,
    measure_alone,
    measure_rate,
    share_of_rate,
    time_steps,
)

from unreel.data.loader import DataConfig
from unreel.methods.cvrl import CVRL
from unreel.methods.scvrl import SCVRL
from unreel.methods.scvrl_settings import build_augmentation
from unreel.models.zoo import find_backbone
from unreel.recipes import cvrl, scvrl
from unreel.train.recipe import Recipe

ALL_AT_ONCE = 10**6


def compare(case: Case, num_steps: int, until: float) -> str:
    losses = compare_losses(case)
    flops = {way: count_flops(case, way) for way in WAYS}
    peaks = [measure_alone(case, way, 1, 0.0).peak_gib for way in WAYS if case.device.type == "cuda"]
    ours, plain = runners = [Runner(case, way) for way in WAYS]
    time_steps(runners, num_steps, until)
    rows.note(
        rows.Row(
            f"training step, `{case.name}`, {case.place}, {case.batch_size} videos",
            "videos/s",
            ours.videos_per_sec,
            peer="the plain step, torch",
            theirs=plain.videos_per_sec,
            floor="its operations at the matrix rate",
            floor_rate=measure_rate(case.device, case.dtype) / flops["ours"],
            bound=rows.name_largest(rows.profile_kernels(lambda: Runner(case).step(draw_batch(case, 0))))
            if plain.seconds < ours.seconds
            else "",
        )
    )
    return (
        f"| `{case.name}` | {case.place} | {case.batch_size} "
        f"| {ours.videos_per_sec:.2f} | {plain.videos_per_sec:.2f} "
        f"| **{plain.seconds / ours.seconds:.2f}** | {plain.networks_sec / ours.networks_sec:.2f} "
        f"| {1 - flops['ours'] / flops['plain']:.1%} "
        f"| {ours.views_sec / ours.seconds:.0%}, {plain.views_sec / plain.seconds:.0%} "
        f"| {ours.videos_per_sec * case.clips_per_video:.1f} | {share_of_rate(ours, flops['ours'])} "
        f"| {describe_peaks(*peaks)} | {losses} |"
    )


def measure_one(case: Case, num_steps: int, until: float) -> str:
    """Return what a step takes by itself: a row of the tables of chunks and of CVRL."""
    config = case.recipe.method
    chunk = "no shuffles"
    try:
        runner = measure_alone(case, "ours", num_steps, until)
    except torch.cuda.OutOfMemoryError:
        return f"| `{case.name}` | {case.place} | {case.batch_size} | out of memory | | | | |"
    peak, flops = runner.peak_gib, count_flops(case, "ours")
    if isinstance(config, SCVRL.Config):
        assert isinstance(runner.method, SCVRL)
        num_versions = (1 + config.num_negatives) * case.batch_size
        taken = runner.method._passes.rows_per_pass or 16
        given = {0: "automatic", ALL_AT_ONCE: "all"}.get(config.key_chunk, str(config.key_chunk))
        chunk = f"{given}: {min(taken, num_versions)} of {num_versions}"
    return (
        f"| `{case.name}` | {case.place} | {case.batch_size} | {chunk} | {runner.videos_per_sec:.2f} "
        f"| {runner.videos_per_sec * case.clips_per_video:.1f} | {share_of_rate(runner, flops)} "
        f"| {describe_peaks(peak)} |"
    )


def describe_peaks(*peaks: float) -> str:
    return ", ".join(f"{peak:.1f}" for peak in peaks) if any(peaks) else "not measured"


Job = tuple[Callable[[Case, int, float], str], Case]


def list_jobs(device: torch.device, *, quick: bool) -> tuple[list[Job], list[Job]]:
    """Return the rows of the two tables: against the plain step; by chunks, and CVRL."""
    small = Case("scvrl.small", scvrl.small(), 16, device)
    cases = [small, Case("scvrl, mvit_small", shrink(scvrl.kinetics400()), 16, device)]
    videos = [Case("cvrl.small", cvrl.small(), 16, device)]
    videos.append(Case("cvrl, mvit_small", shrink(cvrl.kinetics400()), 16, device))
    chunks = [cases[-1].chunked(number) for number in (0, 4, 64, ALL_AT_ONCE)]
    if quick:
        return [(compare, small)], []
    if device.type == "cuda":
        cases += [Case("scvrl.kinetics400", scvrl.kinetics400(), number, device) for number in (4, 8, 16)]
        chunks = [cases[-1].chunked(number) for number in (0, 16, 64, ALL_AT_ONCE)]
        videos += [Case("cvrl.kinetics400", cvrl.kinetics400(), number, device) for number in (4, 16)]
    return [(compare, case) for case in cases], [(measure_one, case) for case in chunks + videos]


def shrink(recipe: Recipe) -> Recipe:
    """Keep what a recipe of Kinetics does, with the small MViT and crops of 64 pixels."""
    method = recipe.method
    assert isinstance(method, (SCVRL.Config, CVRL.Config))
    augmentation = dataclasses.replace(build_augmentation(), size_px=64)
    backbone = find_backbone("mvit_small")
    method = dataclasses.replace(method, backbone=backbone, augmentation=augmentation, queue_length=4096)
    return dataclasses.replace(recipe, method=method, data=DataConfig(height=72, width=96))


def run_jobs(jobs: list[Job], num_steps: int, end: float, later: int) -> Iterator[str]:
    """Do the jobs with equal shares of the time until ``end``; what there is no time for is named."""
    for number, (job, case) in enumerate(jobs):
        left = end - time.monotonic()
        if left <= 0:
            print(f"no time is left for {case.name} with {case.batch_size} videos", flush=True)
            continue
        row = job(case, num_steps, time.monotonic() + left / (len(jobs) - number + later))
        print(row, flush=True)
        yield row


def report(device: torch.device, num_steps: int, seconds: float, *, quick: bool) -> str:
    end = time.monotonic() + seconds
    against_plain, alone = list_jobs(device, quick=quick)
    lines = [
        "| recipe | device | batch | ours, videos/s | plain, videos/s | ours is faster by | without views "
        "| operations saved | views: ours, plain | ours, network clips/s | share of the matrix rate "
        "| peak GiB: ours, plain | first loss: ours, plain |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---|---|",
        *run_jobs(against_plain, num_steps, end, len(alone)),
    ]
    if alone:
        lines += [
            "\nBy how many versions of clips the key network sees at once, and CVRL's step:\n",
            "| recipe | device | batch | keys at once | videos/s | network clips/s "
            "| share of the matrix rate | peak GiB |",
            "|---|---|---:|---|---:|---:|---:|---|",
            *run_jobs(alone, num_steps, end, 0),
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small recipe alone: some seconds")
    parser.add_argument("--steps", type=int, default=4, help="most timed steps of each way")
    parser.add_argument("--seconds", type=float, default=70.0, help="begin no row after this time")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    table = report(device, arguments.steps, arguments.seconds, quick=arguments.quick)
    title = "# A training step of SCVRL\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    text = "\n\n".join([title, describe_machine("torch", "numpy"), table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
