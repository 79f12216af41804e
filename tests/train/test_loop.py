import functools
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import shrink_recipe
from tests.train.runs import build_recipe, is_same, load_weights
from unreel.methods.supervised import Supervised
from unreel.models.c3d import C3DConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.recipes import (
    cacl,
    ccl,
    dpc,
    finetune_vclr,
    moco,
    pace,
    scvrl,
    seco,
    vclr,
    vclr_clips,
    vclr_dpc,
    vince,
)
from unreel.seeding import derive_key
from unreel.train.finetune import finetune
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe
from unreel.train.run import TrainingSummary

STEPS = 3
FRAMES = {
    "segments": vclr.kinetics400,
    "segments in-batch": vclr.kinetics400,
    "frame pairs": vince.kinetics400,
    "halves": seco.kinetics400,
}
"""Methods on single frames of a ResNet."""
CLIPS = {
    "clips": (
        vclr_clips.hacs_r3d_18,
        {"clip_temperature": 0.2, "video_temperature": 0.2, "shuffle_bn_group": 64},
    ),
    "paces": (pace.small, {"temperature": 0.2}),
}
"""Methods on clips of 8 frames of an R3D, and settings under which rounding is not blown up."""
KINDS = (
    "queue",
    "in-batch",
    "cycle",
    "two architectures",
    "segments",
    "segments in-batch",
    "frame pairs",
    "halves",
    "paces",
    "clips",
    "blocks",
    "blocks and segments",
    "shuffles",
    "shuffles in-batch",
    "classes",
)


def shuffles_of(name: str, catalog: Path) -> Recipe:
    """Return a recipe of SCVRL; in the second one the keys of shuffles are made with running statistics."""
    if name == "shuffles":
        recipe = shrink_recipe(scvrl.kinetics400(), catalog, steps=STEPS)
        changes = {"detection_weight": 0.5, "key_chunk": 5}
        recipe = replace(recipe, train=replace(recipe.train, accumulate=2))
    else:
        recipe = shrink_recipe(scvrl.small(), catalog, steps=STEPS)
        changes = {"shuffle_bn_group": 64, "visual_temperature": 0.2, "shuffled_temperature": 0.2}
    changes["augmentation"] = replace(recipe.method.augmentation, size_px=32)
    method = replace(recipe.method, **changes)
    return replace(recipe, method=method, data=replace(recipe.data, height=36, width=48))


def classes_of(name: str, catalog: Path) -> Recipe:
    """Return a recipe of fine-tuning; two processes would draw dropout of their own."""
    recipe = shrink_recipe(finetune_vclr.ucf101_s3d(), catalog, steps=STEPS)
    augmentation = replace(recipe.method.augmentation, size_px=32)
    changes = {"augmentation": augmentation, "dropout_prob": 0.0, "backbone": C3DConfig(width=0.125)}
    method = replace(recipe.method, classes=("speed0", "speed1", "speed2"), **changes)
    return replace(recipe, method=method, data=replace(recipe.data, height=36, width=48))


OWN = {"shuffles": shuffles_of, "shuffles in-batch": shuffles_of, "classes": classes_of}


def recipe_of(name: str, catalog: Path) -> Recipe:
    """Return a recipe whose result does not depend on how many processes share a batch."""
    if name == "queue":
        recipe = build_recipe(catalog, steps=STEPS)
        # Pictures large enough for steady batch statistics, so that rounding is not blown up.
        augmentation = replace(recipe.method.augmentation, size_px=32)
        method = replace(recipe.method, augmentation=augmentation, temperature=0.2)
        recipe = replace(recipe, method=method, data=replace(recipe.data, height=36, width=48))
    elif name == "two architectures":
        recipe = shrink_recipe(cacl.ucf101_c3d(), catalog, steps=STEPS)
        augmentation = replace(recipe.method.augmentation, size_px=32)
        changes = {"augmentation": augmentation, "temperature": 0.2, "degree_dropout_prob": 0.0}
        method = replace(recipe.method, **changes)
        recipe = replace(recipe, method=method, data=replace(recipe.data, height=36, width=48))
        # Two parts of two videos each: gradients are exchanged with the second one alone.
        recipe = replace(recipe, train=replace(recipe.train, accumulate=2))
    elif name in FRAMES:
        recipe = shrink_recipe(FRAMES[name](), catalog, steps=STEPS)
        # The last map of a ResNet has a 32nd of a picture's side.
        augmentation = replace(recipe.method.augmentation, size_px=64)
        # One process normalises in groups what two normalise together, unless a group is as large as all.
        changes = {"augmentation": augmentation, "temperature": 0.2, "shuffle_bn_group": 64}
        changes["backbone"] = ResNetConfig(depth=18, width=0.125)
        if name == "segments in-batch":
            changes["queue_length"] = 0
        method = replace(recipe.method, **changes)
        recipe = replace(recipe, method=method, data=replace(recipe.data, height=72, width=96))
    elif name in CLIPS:
        build, changes = CLIPS[name]
        recipe = shrink_recipe(build(), catalog, steps=STEPS)
        augmentation = replace(recipe.method.augmentation, size_px=32)
        changes = changes | {
            "augmentation": augmentation,
            "clips": replace(recipe.method.clips, num_frames=8),
        }
        method = replace(recipe.method, **changes)
        recipe = replace(recipe, method=method, data=replace(recipe.data, height=36, width=48))
    elif name.startswith("blocks"):
        build = dpc.ucf101 if name == "blocks" else vclr_dpc.ucf101
        recipe = shrink_recipe(build(), catalog, steps=STEPS)
        # The last map has a 32nd of a picture's side; dropout differs from process to process.
        augmentation = replace(recipe.method.augmentation, size_px=64)
        changes = {"augmentation": augmentation, "dropout_prob": 0.0}
        if name == "blocks and segments":
            changes |= {"temperature": 0.2, "shuffle_bn_group": 64}
        method = replace(recipe.method, **changes)
        recipe = replace(recipe, method=method, data=replace(recipe.data, height=72, width=96))
    elif name in OWN:
        recipe = OWN[name](name, catalog)
    elif name == "in-batch":
        recipe = shrink_recipe(moco.small(), catalog, steps=STEPS)
    else:
        recipe = shrink_recipe(ccl.ucf101(), catalog, steps=STEPS)
    # Maps are compared without normalisation, which makes their loss steep.
    lr = 1e-4 if name.startswith("blocks") else 1e-3
    optimizer = replace(recipe.train.optimizer, name="sgd", lr=lr, lr_per_videos=0)
    return replace(recipe, train=replace(recipe.train, batch_norm="synchronized", optimizer=optimizer))


def train_recipe(recipe: Recipe, run: Path, **settings: object) -> TrainingSummary:
    train = finetune if isinstance(recipe.method, Supervised.Config) else pretrain
    return train(recipe, run, **settings)


def initial_weights(recipe: Recipe) -> dict[str, torch.Tensor]:
    torch.manual_seed(derive_key(recipe.train.seed, "weights"))
    return recipe.method.build().state_dict()


def train_as(rank: int, port: int, catalog: Path, runs: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1"}
    for offset, name in enumerate(KINDS):
        os.environ["MASTER_PORT"] = str(port + offset)
        train_recipe(recipe_of(name, catalog), runs / name, recipe_name=name)


@pytest.fixture(scope="module")
def shared_runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that two processes made together."""
    runs = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=train_as, args=(rank, port, corpus, runs)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
        assert process.exitcode == 0
    return runs


@pytest.fixture(scope="module")
def lone_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What one process makes of a recipe, by its name; every recipe is trained once."""
    runs = tmp_path_factory.mktemp("one")

    @functools.cache
    def train_alone(name: str) -> Path:
        assert train_recipe(recipe_of(name, corpus), runs / name, recipe_name=name).steps == STEPS
        return runs / name

    return train_alone


@pytest.mark.parametrize("name", KINDS)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    corpus: Path, lone_run: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    whole, part = lone_run(name), tmp_path / "part"
    shutil.copytree(whole, part)
    (part / "checkpoints" / f"step-{STEPS:08}.pt").unlink()
    resumed = train_recipe(recipe_of(name, corpus), part, recipe_name=name, is_resumed=True)
    assert (resumed.first_step, resumed.steps) == (2, STEPS)
    assert is_same(load_weights(part), load_weights(whole))


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_what_one_would(
    corpus: Path, shared_runs: Path, lone_run: Callable[[str], Path], name: str
) -> None:
    alone = lone_run(name)
    one, two = (
        [
            float(line.split('"loss": ')[1].split(",")[0])
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (alone, shared_runs / name)
    )
    # Sums are taken in another order, in float32, in every layer: the losses agree to four digits and more.
    assert two[0] == pytest.approx(one[0], rel=2e-6)
    assert two == pytest.approx(one, rel=1e-4)
    start = initial_weights(recipe_of(name, corpus))
    left, right = load_weights(alone), load_weights(shared_runs / name)
    moved = torch.cat([(left[key] - start[key]).flatten().float() for key in left])
    apart = torch.cat([(left[key] - right[key]).flatten().float() for key in left])
    assert moved.norm() > 0.01
    assert apart.norm() < 0.01 * moved.norm()


def test_only_the_first_process_writes(shared_runs: Path) -> None:
    steps = (shared_runs / "queue" / "metrics.jsonl").read_text().splitlines()
    assert len(steps) == STEPS
    assert '"processes": 2' in (shared_runs / "queue" / "provenance.json").read_text()


def test_the_documented_torchrun_line_trains_and_speaks_once(corpus: Path, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
    (words,) = re.findall(
        r"^torchrun --nproc-per-node=8 (-m .*) --data.catalog k400.parquet", page, re.MULTILINE
    )
    assert words == "-m -- unreel pretrain ccl.kinetics400"
    sizes = ["--train.steps", "2", "--train.batch-size", "4", "--train.device", "cpu", "--data.height", "18"]
    small = ["--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.width", "24"]
    launched = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc-per-node=2",
                "--standalone",
                *words.split(),
            ),
            *("--data.catalog", str(corpus), "--run", str(tmp_path / "run"), *sizes, *small),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout.count("2 of 2") == 1
    assert '"processes": 2' in (tmp_path / "run" / "provenance.json").read_text()
