"""Measure how many frames a second the papers' augmentations make, against two plain ways and kornia.

unreel draws once for a whole batch, resamples, mirrors and blurs by one pair of matrices per clip, and
changes colours by one or two 3x4 matrices and a hue shift. The plain ways take the same draws and go clip by
clip: with torch, one operation after the other on float pictures (crop, resize with antialiasing, mirror,
blur by two convolutions, every colour change by itself, hue over HSV); with OpenCV, frame by frame on bytes,
as data sets in the wild do (resize by area, Gaussian blur, blends with saturation, hue over HSV), and float
in the end. All frames are in memory. One thread works and its own seconds count, so that a busy machine
changes little. The mean difference to ours tells that the same is done; bytes round it and hue has 180 steps
in them. kornia does the same operations to the whole batch with draws of its own (VideoSequential).

Bytes are what the operators of a GPU's way read and write, when none is fused with another; the floor is
reading every byte of the frames once and writing every number of the result once.

    python benchmarks/views.py --quick
    python benchmarks/views.py --write benchmarks/results/views.md
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rows
import torch
import torch.nn.functional as F
from machine import describe_machine
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from views_kornia import augment_with_kornia
from views_plain import Case, augment_with_opencv, augment_with_torch

from unreel.augment import blur
from unreel.augment.render import Resampler
from unreel.recipes import cacl, scvrl, vclr
from unreel.seeding import RowGenerator
from unreel.train.recipe import Recipe

# B clips, T frames, H W pixels, C channels


def augment_ours(case: Case, frames_BTHWC: Tensor, generator: RowGenerator) -> Tensor:
    return case.augmentation.apply(frames_BTHWC, generator)


KORNIA = "kornia, VideoSequential"
PACKAGES = {"torch": "torch", "OpenCV": "opencv-python-headless", "kornia": "kornia"}
WAYS: dict[str, Callable[[Case, Tensor, RowGenerator], Tensor]] = {
    "unreel": augment_ours,
    "torch, clip by clip": augment_with_torch,
    "OpenCV, frame by frame": augment_with_opencv,
    KORNIA: augment_with_kornia,
}


def now(device: torch.device) -> float:
    """Return seconds of this process's work on the CPU, or of the clock on a GPU."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(way: str, case: Case, frames_BTHWC: Tensor, rounds: int) -> tuple[float, Tensor]:
    """Return the seconds of the best round, and what came out."""
    best, device = float("inf"), frames_BTHWC.device
    for _ in range(rounds + 1):
        started = now(device)
        out = WAYS[way](case, frames_BTHWC, RowGenerator(range(case.num_clips)))
        best = min(best, now(device) - started)
    return best, out


class CountTraffic(TorchDispatchMode):
    """Add up what operators read and write, views aside; what is only expanded counts once."""

    FREE = (
        "view",
        "slice",
        "select",
        "squeeze",
        "expand",
        "permute",
        "transpose",
        "unbind",
        "empty",
        "unfold",
    )

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = self.num_kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        if not any(word in str(func) for word in (*self.FREE, "detach", "lift", "split", "as_strided")):
            inputs = [each for name, each in (kwargs or {}).items() if name != "out"]
            self.num_bytes += sum(map(count_bytes, (*args, *inputs, out)))
            self.num_kernels += 1
        return out


def count_bytes(value: object) -> int:
    if isinstance(value, (list, tuple)):
        return sum(map(count_bytes, value))
    if not isinstance(value, Tensor):
        return 0
    sides = (side for side, stride in zip(value.shape, value.stride(), strict=True) if stride)
    return value.element_size() * int(np.prod(list(sides), dtype=np.int64))


def count_traffic(case: Case, frames_BTHWC: Tensor) -> CountTraffic:
    """Let the CPU do what a GPU does: the whole batch in one step of each kind."""
    counted, kept = CountTraffic(), (Resampler.resample, blur.BLOCK_PX)

    def resample(self: Resampler, frames_BTHWC: Tensor) -> Iterator[tuple[slice, Tensor]]:
        yield slice(None), self.resample_together(frames_BTHWC).flatten(2)

    Resampler.resample, blur.BLOCK_PX = resample, case.augmentation.size_px  # type: ignore[method-assign]
    with counted:
        case.augmentation.apply(frames_BTHWC, RowGenerator(range(case.num_clips)))
    Resampler.resample, blur.BLOCK_PX = kept  # type: ignore[method-assign]
    return counted


def build_case(name: str, recipe: Recipe, num_clips: int, num_frames: int) -> Case:
    data, method = recipe.data, recipe.method
    width = data.width or data.height * 4 // 3
    return Case(name, method.augmentation, num_clips, num_frames, data.height, width)  # type: ignore[attr-defined]


def list_cases(*, quick: bool) -> list[Case]:
    scale = 1 if quick else 4
    return [
        build_case("vclr.kinetics400", vclr.kinetics400(), 28 * scale, 1),
        build_case("scvrl.kinetics400", scvrl.kinetics400(), 2 * scale, 16),
        build_case("cacl.ucf101_r3d", cacl.ucf101_r3d(), 4 * scale, 16),
    ]


def report(cases: list[Case], rounds: int) -> str:
    lines = [
        "| recipe | frames | way | frames per second | unreel is faster by | mean difference to unreel |",
        "|---|---|---|---:|---:|---:|",
    ]
    traffic = [
        "| recipe | moved on a GPU, MB a frame | floor, MB a frame | times the floor | kernels a call |",
        "|---|---:|---:|---:|---:|",
    ]
    for case in cases:
        shape = (case.num_clips, case.num_frames, case.height, case.width, 3)
        frames = make_pictures(shape)
        num_frames, size = case.num_clips * case.num_frames, case.augmentation.size_px
        missing = find_missing(case)
        scores = {way: measure(way, case, frames, rounds) for way in WAYS if way not in missing}
        if torch.cuda.is_available():
            scores["unreel, GPU"] = measure("unreel", case, frames.cuda(), rounds)
        ours_sec, ours = scores["unreel"]
        seconds_of = {way: seconds for way, (seconds, _) in scores.items()}
        note_rows(case, seconds_of, missing, functools.partial(measure, "unreel", case, frames, 0))
        what = f"{case.num_clips} x {case.num_frames}, {case.height}x{case.width} to {size}"
        std = float(np.mean(case.augmentation.std))
        for way, (seconds, out) in scores.items():
            difference = f"{float((out.cpu() - ours).abs().mean()) * std:.1e}"
            if out is ours or way == KORNIA:  # which draws by itself
                difference = ""
            lines.append(
                f"| `{case.name}` | {what} | {way} | {num_frames / seconds:.0f} "
                f"| {seconds / ours_sec:.1f} | {difference} |"
            )
        counted, floor = count_traffic(case, frames), frames.numel() + 4 * ours.numel()
        traffic.append(
            f"| `{case.name}` | {counted.num_bytes / num_frames / 1e6:.1f} | {floor / num_frames / 1e6:.2f} "
            f"| {counted.num_bytes / floor:.0f} | {counted.num_kernels} |"
        )
        print("\n".join(lines[-len(scores) :]), traffic[-1], sep="\n", flush=True)
    return "\n".join([*lines, "", *traffic])


def find_missing(case: Case) -> dict[str, str]:
    """Return the ways that do not run here, and why; a peer may fail in any way."""
    try:
        frames = make_pictures((case.num_clips, 1, case.height, case.width, 3))
        augment_with_kornia(case, frames, RowGenerator(range(case.num_clips)))
    except Exception as error:
        return {KORNIA: f"{type(error).__name__}: {str(error).strip().splitlines()[0][:150]}"}
    return {}


def note_rows(
    case: Case, seconds: dict[str, float], missing: dict[str, str], run: Callable[[], object]
) -> None:
    """Hand over every way against ours, a GPU's too."""
    num_frames, bound = case.num_clips * case.num_frames, rows.name_largest(rows.profile_kernels(run))
    for way in (*WAYS, *(name for name in seconds if name not in WAYS)):
        if way == "unreel":
            continue
        peer, _, kind = way.partition(", ")
        is_ours = peer == "unreel"
        rows.note(
            rows.Row(
                f"views, `{case.name}`" + (f", {kind}" if is_ours else ""),
                "frames/s" if is_ours else "frames per CPU-second",
                num_frames / seconds[way if is_ours else "unreel"],
                peer="unreel, CPU" if is_ours else f"{rows.name_package(PACKAGES[peer], peer)}, {kind}",
                theirs=num_frames / seconds.get("unreel" if is_ours else way, float("nan")),
                bound=f"ours computes in float32, OpenCV in bytes; {bound}" if peer == "OpenCV" else bound,
                missing=missing.get(way, ""),
            )
        )


def make_pictures(shape: tuple[int, ...]) -> Tensor:
    """Return smooth coloured pictures with a little noise: hue treats pure noise unlike pictures."""
    generator = torch.Generator().manual_seed(0)
    clips, times, height, width, channels = shape
    coarse = torch.rand(clips * times, channels, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 235
    noise = torch.rand(smooth.shape, generator=generator) * 20
    return (smooth + noise).to(torch.uint8).permute(0, 2, 3, 1).reshape(shape).contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the frames: seconds")
    parser.add_argument("--rounds", type=int, default=4, help="the best of so many counts")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    table = report(list_cases(quick=arguments.quick), arguments.rounds)
    about = [" ".join(part.split()) for part in (__doc__ or "").split("\n\n")[1:3]]
    text = "\n\n".join(
        ["# Views", *about, describe_machine("torch", "numpy", "opencv-python-headless"), table]
    )
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
