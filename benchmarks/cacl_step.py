"""Measure a training step of CACL against the same step done plainly, side by side.

Ours augments all clips of a batch at once and never augments the shuffled copy: it is the augmented clip in
another order. The frozen frame network sees the 16 frames of a view once and the copy takes the same
features. The plain step computes the same loss as one would write it first: every clip and every copy is
augmented by itself on the CPU, and the frame network sees all 32 frames of a view. Both start from the same
weights and must give the same loss. Clips are in memory; a step is views, forward, backward, optimiser and
what follows it.

    python benchmarks/cacl_step.py --quick
    python benchmarks/cacl_step.py --write benchmarks/results/cacl_step.md
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import rows
import torch
import torch.nn.functional as F
from machine import describe_machine, measure_matmul_flops
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from unreel.augment.shuffle import sample_shuffles
from unreel.augment.shuffle_degree import degree_to_class
from unreel.data.batch import VideoBatch
from unreel.losses.cross_architecture import cross_architecture_loss
from unreel.methods.cacl import CACL
from unreel.models.memory_format import to_channels_last
from unreel.recipes import cacl as recipes
from unreel.seeding import RowGenerator, derive_key
from unreel.train.optimizer import build_optimizer
from unreel.train.recipe import Recipe

# B videos, C channels, T frames, H W pixels, D features


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed, and where."""

    name: str
    recipe: Recipe
    batch_size: int
    device: torch.device

    @property
    def is_bfloat16(self) -> bool:
        """Whether the networks compute in half precision."""
        return self.device.type == "cuda"


@dataclasses.dataclass(frozen=True)
class Score:
    """Videos per second of one way, the part of the time that goes into views, and its first loss."""

    videos_per_sec: float
    views_fraction: float
    first_loss: float


def build(case: Case) -> CACL:
    torch.manual_seed(0)
    config = case.recipe.method
    assert isinstance(config, CACL.Config)
    # Dropout and Shuffle-BN draw at random, which would make the two losses differ.
    config = dataclasses.replace(
        config, frame_weights=Path("random"), degree_dropout_prob=0.0, shuffle_bn_group=0
    )
    return to_channels_last(config.build().to(case.device)).train()


def draw_batch(case: Case, number: int) -> VideoBatch:
    clips, data = case.recipe.method.clips, case.recipe.data
    generator = torch.Generator().manual_seed(number)
    shape = (case.batch_size, clips.num_clips, clips.num_frames, data.height, data.width, 3)
    return VideoBatch(
        frames_BNTHWC=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        sizes_B2=torch.tensor([[data.height, data.width]] * case.batch_size),
        video_index_B=torch.arange(case.batch_size) + number * case.batch_size,
        frame_index_BNT=torch.zeros(shape[:3], dtype=torch.long),
        labels_B=torch.full((case.batch_size,), -1),
        keys_B=torch.tensor([derive_key(number, row) for row in range(case.batch_size)]),
    )


def compute_ours(method: CACL, batch: VideoBatch, case: Case) -> tuple[Tensor, float]:
    """Return the loss and the seconds that its views took."""
    started = now(case.device)
    views = method.make_views(batch.to(case.device))
    seconds = now(case.device) - started
    with torch.autocast(case.device.type, torch.bfloat16, enabled=case.is_bfloat16):
        return method(views).loss, seconds


def compute_plainly(method: CACL, batch: VideoBatch, case: Case) -> tuple[Tensor, float]:
    """Return the same loss: sample by sample on the CPU, and the frozen network over all frames."""
    started = now(case.device)
    augmentation, length = method.config.augmentation, method.config.clips.num_frames
    shuffles = sample_shuffles(length, batch.generator("shuffle"), method.config.shuffle)
    pairs: dict[str, list[Tensor]] = {"query": [], "key": []}
    for row, order_T in enumerate(shuffles.order_BT):
        for (view, clips), number in zip(pairs.items(), (0, -1), strict=True):
            clip_1THWC = batch.frames_BNTHWC[row : row + 1, number]
            copies = [
                augmentation.apply(frames, RowGenerator(batch.keys_B[row : row + 1].numpy()).fork(view))
                for frames in (clip_1THWC, clip_1THWC[:, order_T])
            ]
            clips.append(torch.stack(copies, dim=1))
    on_device = {view: torch.cat(clips).to(case.device) for view, clips in pairs.items()}
    labels = torch.from_numpy(degree_to_class(shuffles.degree_B)).to(case.device)
    owners = batch.video_index_B.to(case.device)
    seconds = now(case.device) - started
    with torch.autocast(case.device.type, torch.bfloat16, enabled=case.is_bfloat16):
        return run_plainly(method, on_device, labels, owners), seconds


def run_plainly(method: CACL, pairs: dict[str, Tensor], labels_B: Tensor, owners_B: Tensor) -> Tensor:
    def embed_tokens(pairs_B2CTHW: Tensor, transformer: torch.nn.Module) -> Tensor:
        features = method.frames(pairs_B2CTHW.flatten(0, 1))
        tokens: Tensor = transformer(features.reshape(len(pairs_B2CTHW), -1, features.shape[-1]))
        return tokens

    features_BD = method.cnn.extract_features(pairs["query"])
    embeddings = {
        "gq": method.cnn.head(features_BD),
        "tq": embed_tokens(pairs["query"], method.transformer),
        "gk": method.key_cnn(pairs["key"]),
    }
    with torch.no_grad():
        embeddings["tk"] = embed_tokens(pairs["key"], method.key_transformer)
    negatives_KE, excluded_BK = method._negatives(embeddings, owners_B)
    contrast = cross_architecture_loss(
        embeddings,
        negatives_KE,
        method.config.pairs,
        temperature=method.config.temperature,
        form=method.config.positives,
        excluded_BK=excluded_BK,
    )
    method._pending.append(([embeddings["gk"], embeddings["tk"]], owners_B))
    degree = F.cross_entropy(method.degree_head(features_BD).float(), labels_B)
    return method.config.contrast_weight * contrast + method.config.degree_weight * degree


Way = Callable[[CACL, VideoBatch, Case], tuple[Tensor, float]]
WAYS: dict[str, Way] = {"ours": compute_ours, "plain": compute_plainly}


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(case: Case, num_steps: int) -> dict[str, Score]:
    """Let both ways take turns; each has its own networks, which start alike and see the same batches."""
    methods = {name: build(case) for name in WAYS}
    optimizers = {
        name: build_optimizer(case.recipe.train.optimizer, method.parameter_groups())
        for name, method in methods.items()
    }
    seconds, views_sec, losses = dict.fromkeys(WAYS, 0.0), dict.fromkeys(WAYS, 0.0), dict[str, float]()
    for step in range(num_steps + 1):
        batch = draw_batch(case, step)
        for name, compute in WAYS.items():
            started = now(case.device)
            loss, in_views = compute(methods[name], batch, case)
            torch.autograd.backward(loss)
            optimizers[name].step()
            optimizers[name].zero_grad(set_to_none=True)
            methods[name].after_step(0.5)
            if step:  # the first step warms up
                seconds[name] += now(case.device) - started
                views_sec[name] += in_views
            losses.setdefault(name, loss.item())
    return {
        name: Score(
            num_steps * case.batch_size / seconds[name], views_sec[name] / seconds[name], losses[name]
        )
        for name in WAYS
    }


def count_flops(case: Case, compute: Way) -> float:
    """Return the floating-point operations of a step: convolutions and matrix products, both ways."""
    method = build(case)
    batch = draw_batch(case, 0)
    with FlopCounterMode(display=False) as counter:
        loss, _ = compute(method, batch, case)
        torch.autograd.backward(loss)
    return float(counter.get_total_flops())


def list_cases(device: torch.device, *, quick: bool) -> list[Case]:
    small = Case("cacl.small", recipes.small(), 32, device)
    if quick:
        return [small]
    if device.type != "cuda":
        return [small, Case("cacl.ucf101_c3d", recipes.ucf101_c3d(), 4, device)]
    return [
        small,
        Case("cacl.ucf101_c3d", recipes.ucf101_c3d(), 64, device),
        Case("cacl.ucf101_r2plus1d", recipes.ucf101_r2plus1d(), 64, device),
    ]


def report(cases: list[Case], num_steps: int) -> str:
    lines = [
        "| recipe | device | batch | ours, clips/s | plain, clips/s | ours is faster by | operations saved "
        "| views: ours, plain | share of the matrix rate | first loss: ours, plain |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|---|",
    ]
    for case in cases:
        scores = measure(case, num_steps)
        ours, plain = scores["ours"], scores["plain"]
        dtype = torch.bfloat16 if case.is_bfloat16 else torch.float32
        flops = {name: count_flops(case, compute) for name, compute in WAYS.items()}
        rate = flops["ours"] * ours.videos_per_sec / case.batch_size
        share = rate / measure_matmul_flops(case.device, dtype)
        rows.note(
            rows.Row(
                f"training step, `{case.name}`, {case.device.type}",
                "videos/s",
                ours.videos_per_sec,
                peer="the plain step, torch",
                theirs=plain.videos_per_sec,
                floor="its operations at the matrix rate",
                floor_rate=ours.videos_per_sec / share,
            )
        )
        lines.append(
            f"| `{case.name}` | {case.device.type}, {str(dtype).removeprefix('torch.')} | {case.batch_size} "
            f"| {ours.videos_per_sec:.2f} | {plain.videos_per_sec:.2f} "
            f"| **{ours.videos_per_sec / plain.videos_per_sec:.2f}** "
            f"| {1 - flops['ours'] / flops['plain']:.0%} "
            f"| {ours.views_fraction:.0%}, {plain.views_fraction:.0%} | {share:.0%} "
            f"| {ours.first_loss:.4f}, {plain.first_loss:.4f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small recipe alone: a minute")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each way")
    parser.add_argument("--write", type=Path, help="also write the report to this Markdown file")
    rows.add_option(parser)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = report(list_cases(device, quick=arguments.quick), arguments.steps)
    title = "# A training step of CACL\n\n" + " ".join((__doc__ or "").split("\n\n")[1].split())
    text = "\n\n".join([title, describe_machine("torch", "numpy"), table])
    print(text)
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text + "\n", encoding="utf-8")
    rows.save(arguments.rows_to)


if __name__ == "__main__":
    main()
