"""Measure a training step of VCLR and of SeCo against the same step done plainly, side by side.

Ours augments all frames of a batch at once, each for one purpose, and runs each network once over all frames
that it is asked about; losses share the features, and a tuple in another order is its features in another
order. The plain step computes the same loss as one would write it first: frames are augmented video by video
on the CPU, and the networks run once for every view and every loss, over shuffled pictures too. Both start
from the same weights and must give the same loss; as batch normalisation sees other company in each, the
losses are compared with its statistics held fixed. Frames are in memory; a step is views, forward, backward,
optimiser and what follows it. On the CPU one thread works and its own seconds count, so that a busy machine
changes little.

    python benchmarks/vclr_step.py --quick
    python benchmarks/vclr_step.py --write benchmarks/results/vclr_step.md
"""

import argparse
import dataclasses
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rows
import torch
from machine import describe_machine, measure_matmul_flops
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from vclr_step_plain import Frames, make_plain_views, run_plainly

from unreel.data.batch import VideoBatch
from unreel.methods.seco import SeCo
from unreel.methods.vclr import VCLR
from unreel.models.memory_format import to_channels_last
from unreel.recipes import seco, vclr
from unreel.seeding import build_generator, derive_key
from unreel.train.optimizer import build_optimizer
from unreel.train.recipe import Recipe

# B videos, N clips, T frames, H W pixels, C channels

VIDEO_FRAMES = 300
"""Length of the made-up videos."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed, and where."""

    name: str
    recipe: Recipe
    batch_size: int
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32


@dataclasses.dataclass
class Score:
    """Seconds of some steps of one way, and of making their views."""

    seconds: float = 0.0
    views_sec: float = 0.0

    @property
    def networks_sec(self) -> float:
        """Seconds of everything but the views."""
        return self.seconds - self.views_sec


def build(case: Case) -> Frames:
    torch.manual_seed(0)
    method = case.recipe.method.build()
    assert isinstance(method, (VCLR, SeCo))
    return to_channels_last(method.to(case.device)).train()


def draw_batch(case: Case, number: int) -> VideoBatch:
    clips, data = case.recipe.method.clips, case.recipe.data
    generator = torch.Generator().manual_seed(number)
    plans = [clips.sample(VIDEO_FRAMES, build_generator(number, row)) for row in range(case.batch_size)]
    height, width = data.height, data.width or data.height * 4 // 3
    shape = (case.batch_size, *plans[0].frames_NT.shape, height, width, 3)
    batch = VideoBatch(
        frames_BNTHWC=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        sizes_B2=torch.tensor([[height, width]] * case.batch_size),
        video_index_B=torch.arange(case.batch_size) + number * case.batch_size,
        frame_index_BNT=torch.stack([torch.from_numpy(plan.frames_NT) for plan in plans]),
        labels_B=torch.full((case.batch_size,), -1),
        keys_B=torch.tensor([derive_key(number, row) for row in range(case.batch_size)]),
    )
    return batch.pin_memory() if case.device.type == "cuda" else batch  # as the loader does


def make_plain(method: Frames, batch: VideoBatch, device: torch.device) -> Callable[[], Tensor]:
    views = make_plain_views(method, batch)
    on_device = {name: view.to(device) for name, view in views.items()}
    return lambda: run_plainly(method, on_device, batch.video_index_B.to(device))


def make_ours(method: Frames, batch: VideoBatch, device: torch.device) -> Callable[[], Tensor]:
    views: Any = method.make_views(batch.to(device))
    return lambda: method(views).loss


WAYS = {"ours": make_ours, "plain": make_plain}
"""Each makes the views and returns what computes the loss from them."""


def now(device: torch.device) -> float:
    """Return seconds of this process's work on the CPU, or of the clock on a GPU."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def compute_loss(way: str, method: Frames, batch: VideoBatch, case: Case) -> tuple[Tensor, float]:
    """Return the loss in the precision of the case, and the seconds that its views took."""
    started = now(case.device)
    run = WAYS[way](method, batch, case.device)
    seconds = now(case.device) - started
    with torch.autocast(case.device.type, torch.bfloat16, enabled=case.dtype == torch.bfloat16):
        return run(), seconds


def measure(case: Case, num_steps: int) -> dict[str, Score]:
    """Let both ways take turns; each has its own networks, which start alike and see the same batches."""
    methods = {way: build(case) for way in WAYS}
    optimizers = {
        way: build_optimizer(case.recipe.train.optimizer, each.parameter_groups())
        for way, each in methods.items()
    }
    scores = {way: Score() for way in WAYS}
    for step in range(num_steps + 1):
        batch = draw_batch(case, step)
        for way, method in methods.items():
            started = now(case.device)
            loss, views_sec = compute_loss(way, method, batch, case)
            torch.autograd.backward(loss)
            optimizers[way].step()
            optimizers[way].zero_grad(set_to_none=True)
            method.after_step(0.5)
            if step:  # the first step warms up
                scores[way].seconds += now(case.device) - started
                scores[way].views_sec += views_sec
    return scores


def compare_losses(case: Case) -> dict[str, float]:
    """Return both first losses, in float32 and with the statistics of batch normalisation held fixed."""
    batch, losses = draw_batch(case, 0), {}
    for way, make in WAYS.items():
        with torch.no_grad():
            losses[way] = make(build(case).eval(), batch, case.device)().item()
    return losses


def measure_one_step(case: Case, way: str) -> tuple[float, float]:
    """Return the floating-point operations of forward and backward, and the peak of memory in GiB."""
    method, batch = build(case), draw_batch(case, 0)
    optimizer = build_optimizer(case.recipe.train.optimizer, method.parameter_groups())
    if case.device.type == "cuda":
        gc.collect()
        torch.cuda.reset_peak_memory_stats(case.device)
    torch.autograd.backward(compute_loss(way, method, batch, case)[0])
    optimizer.step()
    peak = torch.cuda.max_memory_allocated(case.device) / 2**30 if case.device.type == "cuda" else 0.0
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(compute_loss(way, method, batch, case)[0])
    return float(counter.get_total_flops()), peak


def list_cases(device: torch.device, *, quick: bool) -> list[Case]:
    small = [Case("vclr.small", vclr.small(), 32, device), Case("seco.small", seco.small(), 32, device)]
    if quick:
        return small
    large = 64 if device.type == "cuda" else 2
    return [
        *small,
        Case("vclr.kinetics400", vclr.kinetics400(), large, device),
        Case("seco.kinetics400", seco.kinetics400(), large, device),
    ]


def report(cases: list[Case], num_steps: int) -> str:
    lines = [
        "| recipe | device | batch | ours, videos/s | plain, videos/s | ours is faster by | without views "
        "| operations saved | views: ours, plain | share of the matrix rate | peak GiB: ours, plain "
        "| first loss: ours, plain |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---:|---|---|",
    ]
    for case in cases:
        losses = compare_losses(case)
        (ours_flops, ours_peak), (plain_flops, plain_peak) = (measure_one_step(case, way) for way in WAYS)
        scores = measure(case, num_steps)
        ours, plain = scores["ours"], scores["plain"]
        num_videos = num_steps * case.batch_size
        rate = ours_flops * num_steps / ours.seconds
        share = rate / measure_matmul_flops(case.device, case.dtype)
        rows.note(
            rows.Row(
                f"training step, `{case.name}`, {case.device.type}",
                "videos/s",
                num_videos / ours.seconds,
                peer="the plain step, torch",
                theirs=num_videos / plain.seconds,
                floor="its operations at the matrix rate",
                floor_rate=num_videos / ours.seconds / share,
            )
        )
        peak = f"{ours_peak:.1f}, {plain_peak:.1f}" if ours_peak else "not measured"
        lines.append(
            f"| `{case.name}` | {case.device.type}, {str(case.dtype).removeprefix('torch.')} "
            f"| {case.batch_size} | {num_videos / ours.seconds:.2f} | {num_videos / plain.seconds:.2f} "
            f"| **{plain.seconds / ours.seconds:.2f}** | {plain.networks_sec / ours.networks_sec:.2f} "
            f"| {1 - ours_flops / plain_flops:.0%} "
            f"| {ours.views_sec / ours.seconds:.0%}, {plain.views_sec / plain.seconds:.0%} | {share:.0%} "
            f"| {peak} | {losses['ours']:.4f}, {losses['plain']:.4f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small recipes alone: a minute")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each way")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    table = report(list_cases(device, quick=arguments.quick), arguments.steps)
    title = "# A training step of VCLR\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    text = "\n\n".join([title, describe_machine("torch", "numpy"), table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
