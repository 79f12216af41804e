"""A training step of SCVRL or CVRL, and what it takes: the engine of benchmarks/scvrl_step.py."""

import dataclasses
import functools
import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import measure_matmul_flops
from scvrl_step_plain import make_plain_clips, run_plainly
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from unreel.data.batch import VideoBatch
from unreel.methods.method import Method
from unreel.methods.scvrl import SCVRL
from unreel.models.memory_format import to_channels_last
from unreel.seeding import derive_key
from unreel.train.optimizer import build_optimizer, clip_gradients
from unreel.train.recipe import Recipe

# B videos, N clips, T frames, H W pixels, C channels

FEW_VIDEOS = 4
"""For the first loss and for counting operations."""


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

    @property
    def place(self) -> str:
        """Device and type, for the report."""
        return f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}"

    @property
    def clips_per_video(self) -> int:
        """Clips of a video that go through a network in a step."""
        config = self.recipe.method
        return 3 + config.num_negatives if isinstance(config, SCVRL.Config) else 2

    def chunked(self, key_chunk: int) -> "Case":
        """The same with as many keys at a time."""
        method = dataclasses.replace(self.recipe.method, key_chunk=key_chunk)  # type: ignore[call-arg]
        return dataclasses.replace(self, recipe=dataclasses.replace(self.recipe, method=method))


def make_ours(method: Method, batch: VideoBatch) -> Callable[[], Tensor]:
    views: Any = method.make_views(batch)
    return lambda: method(views).loss


def make_plain(method: Method, batch: VideoBatch) -> Callable[[], Tensor]:
    assert isinstance(method, SCVRL)
    clips = make_plain_clips(method, batch)
    return lambda: run_plainly(method, clips, batch.video_index_B)


WAYS = {"ours": make_ours, "plain": make_plain}
"""Each makes the views and returns what computes the loss from them."""


def build(case: Case) -> Method:
    torch.manual_seed(0)
    with case.device:  # weights are drawn there, which takes a GPU a moment and a CPU a second
        method = case.recipe.method.build()
    return to_channels_last(method.to(case.device)).train()


def draw_batch(case: Case, number: int) -> VideoBatch:
    clips, data = case.recipe.method.clips, case.recipe.data
    assert isinstance(clips.num_frames, int)  # type: ignore[attr-defined]
    height, width = data.height, data.width or data.height * 4 // 3
    shape = (case.batch_size, clips.num_clips, clips.num_frames, height, width, 3)  # type: ignore[attr-defined]
    return VideoBatch(
        frames_BNTHWC=draw_frames(shape, is_pinned=case.device.type == "cuda"),
        sizes_B2=torch.tensor([[height, width]] * case.batch_size),
        video_index_B=torch.arange(case.batch_size) + number * case.batch_size,
        frame_index_BNT=torch.zeros(shape[:3], dtype=torch.long),
        labels_B=torch.full((case.batch_size,), -1),
        keys_B=torch.tensor([derive_key(number, row) for row in range(case.batch_size)]),
    )


@functools.lru_cache(maxsize=1)
def draw_frames(shape: tuple[int, ...], *, is_pinned: bool) -> Tensor:
    """Return noise, the same for all steps of a case, as a GPU waits long for so many random numbers."""
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return frames.pin_memory() if is_pinned else frames


def now(device: torch.device) -> float:
    """Return seconds of this process's work on the CPU, or of the clock on a GPU."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


class Runner:
    """One way of one case: its networks, and what its steps took so far."""

    def __init__(self, case: Case, way: str = "ours") -> None:
        self.case, self.way, self.method = case, way, build(case)
        self.optimizer = build_optimizer(case.recipe.train.optimizer, self.method.parameter_groups())
        self.forget()

    def forget(self) -> None:
        """Count from here."""
        self.seconds = self.views_sec = 0.0
        self.num_videos = 0
        if self.case.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.case.device)

    def step(self, batch: VideoBatch) -> None:
        """Train one step and count its seconds."""
        device = self.case.device
        started = now(device)
        run = self.make_views(batch)
        self.views_sec += now(device) - started
        self.learn(run)
        self.seconds += now(device) - started
        self.num_videos += len(batch)

    def make_views(self, batch: VideoBatch) -> Callable[[], Tensor]:
        """Return what computes the loss."""
        with torch.no_grad():
            return WAYS[self.way](self.method, batch.to(self.case.device))

    def learn(self, run: Callable[[], Tensor]) -> None:
        """Do everything but the views."""
        with torch.autocast(self.case.device.type, torch.bfloat16, enabled=self.case.dtype == torch.bfloat16):
            loss = run()
        torch.autograd.backward(loss)
        clip_gradients(self.method, self.case.recipe.train.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.method.after_step(0.5)

    @property
    def videos_per_sec(self) -> float:
        """Of the steps that count."""
        return self.num_videos / self.seconds

    @property
    def networks_sec(self) -> float:
        """Seconds of everything but the views."""
        return self.seconds - self.views_sec

    @property
    def peak_gib(self) -> float:
        """Most memory since `forget`; 0 on the CPU."""
        device = self.case.device
        return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def count_attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def count_attention_back(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:  # noqa: ANN401
    return 5 * count_attention(query, key, value) // 2  # scores anew, and four products


ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: count_attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: count_attention_back,
}
"""What torch's own count leaves out."""


def count_flops(case: Case, way: str) -> float:
    """Return the operations of a video's part in a step without the views: convolutions, matrix products."""
    runner = Runner(dataclasses.replace(case, batch_size=min(case.batch_size, FEW_VIDEOS)), way)
    run = runner.make_views(draw_batch(runner.case, 0))
    with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as counter:
        runner.learn(run)
    return float(counter.get_total_flops()) / runner.case.batch_size


@functools.cache
def measure_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a large matrix product; on the CPU, of this process's seconds."""
    if device.type == "cuda":
        return measure_matmul_flops(device, dtype)
    side, seconds = 1536, float("inf")
    a, b = (torch.randn(side, side, dtype=dtype) for _ in range(2))
    for _ in range(8):
        started = now(device)
        torch.matmul(a, b)
        seconds = min(seconds, now(device) - started)
    return 2.0 * side**3 / seconds


def share_of_rate(runner: Runner, flops: float) -> str:
    rate = flops * runner.videos_per_sec
    return f"{rate / measure_rate(runner.case.device, runner.case.dtype):.0%}"


def compare_losses(case: Case) -> str:
    """Return both first losses, in float32 and with the statistics of batch normalisation held fixed."""
    case = dataclasses.replace(case, batch_size=min(case.batch_size, FEW_VIDEOS))
    losses = []
    for make in WAYS.values():
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            method = build(case).eval()
            losses.append(make(method, draw_batch(case, 0).to(case.device))().item())
    return ", ".join(f"{loss:.4f}" for loss in losses)


def time_steps(runners: list[Runner], num_steps: int, until: float) -> None:
    """Let the runners take turns over the same batches, after one step to warm up, at least once."""
    for number in range(num_steps + 1):
        batch = draw_batch(runners[0].case, number)
        for runner in runners:
            runner.step(batch)
            if number == 0:
                runner.forget()
        if number and time.monotonic() > until:
            break


def measure_alone(case: Case, way: str, num_steps: int, until: float) -> Runner:
    """Return a runner whose steps are done, and which shared the memory with no other."""
    gc.collect()
    runner = Runner(case, way)
    time_steps([runner], num_steps, until)
    return runner
