import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import shrink_recipe
from tests.train.runs import is_same, load_weights
from unreel.cli.main import run
from unreel.data.interval_pairs import IntervalPairs
from unreel.data.targeted_clips import TargetedClips
from unreel.features.encoder import Encoder
from unreel.methods.scvrl import SCVRL
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.recipes import cvrl, scvrl
from unreel.recipes.find import load_run_recipe
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe
from unreel.train.schedule import learning_rate

LENGTHS = {
    "kinetics400": (scvrl.kinetics400(), 500, 30.0),
    "kinetics400_100epochs": (scvrl.kinetics400_100epochs(), 100, 6.0),
    "kinetics400_mini": (scvrl.kinetics400_mini(), 50, 3.0),
}


@pytest.mark.parametrize(("recipe", "epochs", "warmup"), LENGTHS.values(), ids=LENGTHS)
def test_the_recipes_differ_in_their_length_alone(recipe: Recipe, epochs: int, warmup: float) -> None:
    assert recipe.method == SCVRL.Config()
    assert recipe.method.clips == TargetedClips(num_frames=16, frame_stride=4, beta=5.0)
    assert (recipe.data.height, recipe.data.width) == (256, 0)
    train = recipe.train
    assert (train.epochs, train.steps, train.batch_size) == (epochs, 0, 256)
    assert train.schedule.warmup_epochs == pytest.approx(warmup)
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adamw", 1e-4, 0.05)
    assert (optimizer.decay_norms, optimizer.clip_norm) == (False, 1.0)


def test_the_rate_rises_from_a_millionth_for_30_epochs_and_falls_back_to_it() -> None:
    """240,000 videos in batches of 256 are 937 steps, of which 28,110 are warm-up and 468,500 all."""
    train = scvrl.kinetics400().train
    for step, rate in ((0, 1e-6), (28110 // 2, 5.05e-5), (28110, 1e-4), (468499, 1e-6)):
        found = learning_rate(
            train.schedule, train.highest_lr, step=step, num_steps=468500, steps_per_epoch=937
        )
        assert found == pytest.approx(rate, rel=1e-3), step
    assert replace(train, batch_size=64).highest_lr == pytest.approx(2.5e-5)


def test_the_small_recipe_is_small_and_needs_no_motion() -> None:
    recipe = scvrl.small()
    method = recipe.method
    assert isinstance(method, SCVRL.Config)
    assert method.losses == ("shuffled", "visual")
    assert not method.clips.needs_motion
    baseline = cvrl.small()
    assert baseline == replace(recipe, method=baseline.method)
    for name in ("clips", "augmentation", "backbone", "embedding_dim", "momentum", "queue_length"):
        assert getattr(method, name) == getattr(baseline.method, name), name  # they differ in losses alone
    assert method.augmentation.size_px >= 0.9 * recipe.data.height  # nearly all of the picture
    assert (method.num_negatives, method.num_groups) == (12, 8)
    assert (method.backbone, method.queue_length) == (C3DConfig(width=0.125), 0)
    assert (recipe.data.height, recipe.data.width, recipe.data.cache) == (48, 48, "ram")


def test_the_encoder_sees_clips_as_in_training(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(scvrl.small(), corpus, steps=1)
    summary = pretrain(recipe, tmp_path / "run", recipe_name="scvrl.small")
    method = recipe.method
    assert isinstance(method.clips, IntervalPairs)
    spec = Encoder.load(summary.exported).spec
    assert (spec.sampling, spec.num_frames) == ("clip", method.clips.num_frames)
    assert spec.frame_stride == method.clips.frame_stride
    name, read_back = load_run_recipe(tmp_path / "run")
    assert name == "scvrl.small"
    assert read_back == replace(recipe, data=read_back.data)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    """Both networks with their statistics and the queue come from the checkpoint."""
    recipe = shrink_recipe(scvrl.small(), corpus, steps=4)
    recipe = replace(recipe, method=replace(recipe.method, queue_length=16))
    whole, part = tmp_path / "whole", tmp_path / "part"
    pretrain(recipe, whole, recipe_name="scvrl.small")
    shutil.copytree(whole, part)
    (part / "checkpoints" / "step-00000004.pt").unlink()
    resumed = pretrain(load_run_recipe(part)[1], part, recipe_name="scvrl.small", is_resumed=True)
    assert (resumed.first_step, resumed.steps) == (2, 4)
    state = load_weights(whole)
    assert is_same(load_weights(part), state)
    (owners,) = (value for name, value in state.items() if name.endswith("owners_K"))
    assert (owners >= 0).all()  # sixteen keys of four steps of four videos


ROWS = {
    "8a": (["--method.clips.beta", "inf"], {"shuffled", "visual"}),
    "8b": (["--method.shared-head", "True"], {"shuffled", "visual"}),
    "8c": (
        ["--method.shuffled-weight", "0", "--method.detection-weight", "1"],
        {"detection", "visual"},
    ),
    "8d": (["--method.backbone.pooling", "average"], {"shuffled", "visual"}),
    "8e": (["--method.backbone.temporal-kernel", "3"], {"shuffled", "visual"}),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_rows_of_table_8_are_flags(corpus: Path, tmp_path: Path, row: str) -> None:
    flags, losses = ROWS[row]
    words = [
        "pretrain",
        "scvrl.kinetics400_mini",
        "--data.catalog",
        str(corpus),
        "--run",
        str(tmp_path / row),
    ]
    small = ["--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.height", "18"]
    short = ["--train.batch-size", "4", "--train.steps", "1", "--method.queue-length", "8"]
    narrow = ["--method.hidden-dim", "8", "--method.clips.beta", "inf"]
    assert run([*words, *small, *short, *narrow, *flags]) == 0
    metrics = json.loads((tmp_path / row / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"shuffled", "detection", "visual"} & set(metrics) == losses
    (part,) = json.loads((tmp_path / row / "provenance.json").read_text())["parts"]
    assert len(part["cautions"]) == (row == "8e")  # cubes of three frames see the seams


def test_the_rows_of_table_8_have_the_settings_that_they_are_about() -> None:
    method = scvrl.kinetics400_mini().method
    assert isinstance(method, SCVRL.Config)
    assert isinstance(method.clips, TargetedClips)
    assert math.isinf(replace(method.clips, beta=math.inf).beta)
    assert method.backbone == MViTConfig(temporal_kernel=2, pooling="class_token")
    assert method.cautions() == ()
    assert torch.finfo(torch.float32).max > method.clips.beta > 0
