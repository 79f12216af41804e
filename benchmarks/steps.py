"""Measure a training step of every method against the time that its operations take at the matrix rate.

Task: a step of a method's small recipe, with clips in memory: views, forward, backward, optimiser and what
follows it, as in a run. Floor: the convolutions and matrix products of forward and backward, counted by
torch, at the rate of a large matrix product on the same device. On the CPU one thread works and its own
seconds count, so that a busy machine changes little. CACL, VCLR, SeCo and SCVRL are measured against the step
done plainly by benchmarks of their own. What takes the time is told by torch's profiler.

    python benchmarks/steps.py --quick
    python benchmarks/steps.py --write benchmarks/results/steps.md
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import rows
import torch
from machine import describe_machine
from scvrl_step_runs import ATTENTION_ON_CPU, Case, measure_rate, now
from torch.utils.flop_counter import FlopCounterMode

from unreel.data.batch import VideoBatch
from unreel.models.memory_format import to_channels_last
from unreel.recipes import ccl, cvrl, dpc, frame_moco, moco, pace, vclr_clips, vclr_dpc, vince
from unreel.seeding import build_generator, derive_key
from unreel.train.optimizer import build_optimizer, clip_gradients
from unreel.train.recipe import Recipe

# B videos, N clips, T frames, H W pixels, C channels

RECIPES: dict[str, Callable[[], Recipe]] = {
    "moco.small": moco.small,
    "frame_moco.small": frame_moco.small,
    "ccl.small": ccl.small,
    "cvrl.small": cvrl.small,
    "pace.small": pace.small,
    "dpc.small": dpc.small,
    "vince.small": vince.small,
    "vclr_clips.small": vclr_clips.small,
    "vclr_dpc.small": vclr_dpc.small,
}
PRODUCTS = re.compile(r"conv|gemm|(^|[^a-z])(add|b|badd)?mm$|attention")
"""Names of operators and kernels whose operations the floor counts."""
VIDEO_FRAMES = 300
"""Length of the made-up videos."""


def draw_batch(case: Case, number: int) -> VideoBatch:
    clips, data = case.recipe.method.clips, case.recipe.data
    plans = [clips.sample(VIDEO_FRAMES, build_generator(number, row)) for row in range(case.batch_size)]
    height, width = data.height, data.width or data.height * 4 // 3
    shape = (case.batch_size, *plans[0].frames_NT.shape, height, width, 3)
    return VideoBatch(
        frames_BNTHWC=torch.randint(
            0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(number)
        ),
        sizes_B2=torch.tensor([[height, width]] * case.batch_size),
        video_index_B=torch.arange(case.batch_size) + number * case.batch_size,
        frame_index_BNT=torch.stack([torch.from_numpy(plan.frames_NT) for plan in plans]),
        labels_B=torch.full((case.batch_size,), -1),
        keys_B=torch.tensor([derive_key(number, row) for row in range(case.batch_size)]),
    ).to(case.device)


class Runner:
    """The networks of a case and how they take a step."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.case = case
        self.method = to_channels_last(case.recipe.method.build().to(case.device)).train()
        self.optimizer = build_optimizer(case.recipe.train.optimizer, self.method.parameter_groups())

    def step(self, batch: VideoBatch) -> None:
        """Train one step, as the loop does."""
        case = self.case
        with torch.no_grad():
            views = self.method.make_views(batch)
        with torch.autocast(case.device.type, torch.bfloat16, enabled=case.dtype == torch.bfloat16):
            loss = self.method(views).loss
        torch.autograd.backward(loss)
        clip_gradients(self.method, case.recipe.train.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.method.after_step(0.5)


def time_steps(runner: Runner, num_steps: int) -> float:
    """Return the seconds of the fastest step after one that warms up."""
    best = float("inf")
    for number in range(num_steps + 1):
        batch = draw_batch(runner.case, number)
        started = now(runner.case.device)
        runner.step(batch)
        if number:
            best = min(best, now(runner.case.device) - started)
    return best


def measure(case: Case, num_steps: int) -> str:
    runner = Runner(case)
    seconds = time_steps(runner, num_steps)
    batch = draw_batch(case, 0)
    with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as counter:
        runner.step(batch)
    floor_sec = counter.get_total_flops() / measure_rate(case.device, case.dtype)
    times = rows.profile_kernels(lambda: runner.step(batch))
    largest, distance = rows.name_largest(times), seconds / floor_sec
    products = sum(each for name, each in times.items() if PRODUCTS.search(name)) / sum(times.values())
    rows.note(
        rows.Row(
            f"training step, `{case.name}`, {case.place}",
            "videos/s",
            case.batch_size / seconds,
            floor="its operations at the matrix rate",
            floor_rate=case.batch_size / floor_sec,
            bound=f"convolutions and products take {products * distance:.1f} times the floor, "
            f"all else {(1 - products) * distance:.1f}; {largest}",
        )
    )
    return (
        f"| `{case.name}` | {case.place} | {case.batch_size} | {case.batch_size / seconds:.1f} "
        f"| {1000 * seconds:.0f} | {1000 * floor_sec:.0f} | {seconds / floor_sec:.1f} | {largest} |"
    )


def report(device: torch.device, batch_size: int, num_steps: int) -> str:
    lines = [
        "| recipe | device | batch | videos/s | step, ms | floor, ms | times the floor | most of the time |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, build in RECIPES.items():
        lines.append(measure(Case(name, build(), batch_size, device), num_steps))
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="16 videos, one step: half a minute")
    parser.add_argument("--steps", type=int, default=5, help="timed steps; the fastest counts")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    batch_size, num_steps = (16, 1) if arguments.quick else (32, arguments.steps)
    table = report(device, batch_size, num_steps)
    title = "# A training step of every method\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    text = "\n\n".join([title, describe_machine("torch", "numpy"), table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
