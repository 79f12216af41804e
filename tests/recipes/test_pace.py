import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import build_corpus, shrink_recipe
from tests.train.runs import is_same, load_weights
from unreel.augment.compose import ClipAugmentation
from unreel.cli.main import run
from unreel.data.clips import UniformClips
from unreel.data.pace_clips import PaceClips
from unreel.features.encoder import Encoder
from unreel.methods.pace import Pace
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.recipes import pace
from unreel.recipes.find import load_run_recipe
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe
from unreel.train.schedule import learning_rate

PAPER = {
    "ucf101": pace.ucf101(),
    "ucf101_official": pace.ucf101_official(),
    "kinetics400": pace.kinetics400(),
    "hacs": pace.hacs(),
}


@pytest.mark.parametrize("recipe", PAPER.values(), ids=PAPER)
def test_the_recipes_have_the_numbers_of_the_released_code(recipe: Recipe) -> None:
    optimizer = recipe.train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("sgd", 1e-3, 0.9)
    assert (optimizer.weight_decay, recipe.train.batch_size) == (0.005, 30)
    assert (recipe.data.height, recipe.data.width) == (128, 171)
    method = recipe.method
    assert isinstance(method, Pace.Config)
    assert (method.clips.num_frames, method.clips.paces, method.clips.starts) == (
        16,
        (1, 2, 3, 4),
        "anywhere",
    )
    assert method.augmentation == Pace.Config().augmentation


@pytest.mark.parametrize(("name", "passes"), [("ucf101", 10), ("ucf101_official", 10), ("kinetics400", 1)])
def test_the_rate_falls_after_6_and_12_of_18_epochs(name: str, passes: int) -> None:
    """An epoch of UCF101 has ten passes: 9,537 videos in batches of 30 are 317 steps, ten of them 3,170."""
    train = PAPER[name].train
    assert train.epochs == 18 * passes
    steps_per_epoch = 317 * passes

    def rate(step: int) -> float:
        return learning_rate(
            train.schedule, train.optimizer.lr, step=step, num_steps=317 * train.epochs, steps_per_epoch=317
        )

    for epoch, expected in {0: 1e-3, 6: 1e-4, 12: 1e-5}.items():
        assert rate(epoch * steps_per_epoch) == pytest.approx(expected)
        assert rate((epoch + 6) * steps_per_epoch - 1) == pytest.approx(expected)


def test_networks_are_those_of_the_tables() -> None:
    assert PAPER["ucf101"].method.backbone == PAPER["kinetics400"].method.backbone == R2Plus1DConfig(depth=10)
    assert PAPER["hacs"].method == replace(Pace.Config(), backbone=R3DConfig(depth=18))
    assert PAPER["hacs"].train == PAPER["kinetics400"].train


def test_the_official_recipe_asks_for_the_pace_alone_and_recolours_every_frame() -> None:
    changes = {"clips": PaceClips(count=1), "contrast_weight": 0.0, "color_draws": "frame"}
    assert PAPER["ucf101_official"].method == replace(Pace.Config(), **changes)
    assert PAPER["ucf101_official"].train == PAPER["ucf101"].train


def test_the_small_recipe_only_crops_and_has_no_cuts() -> None:
    recipe = pace.small()
    method = recipe.method
    assert isinstance(method, Pace.Config)
    assert (method.clips.starts, method.clips.count) == ("fitting", 2)
    assert method.augmentation == ClipAugmentation.only_crop(40, mean=(0.45,) * 3, std=(0.225,) * 3)
    assert isinstance(method.backbone, R3DConfig)
    assert (recipe.data.height, recipe.data.width, recipe.data.cache) == (48, 64, "ram")


def test_the_encoder_sees_clips_at_the_natural_pace(corpus: Path, tmp_path: Path) -> None:
    summary = pretrain(shrink_recipe(pace.small(), corpus), tmp_path / "run", recipe_name="pace.small")
    spec = Encoder.load(summary.exported).spec
    assert spec.build_sampling(10) == UniformClips(10, 8, 1, "shrink_stride")
    name, recipe = load_run_recipe(tmp_path / "run")
    assert name == "pace.small"
    assert recipe.method.clips == pace.small().method.clips
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"pace", "pace_accuracy", "contrast", "contrast_accuracy", "labelled"} <= set(metrics)
    assert metrics["labelled"] == 1.0


@pytest.mark.parametrize(("num_frames", "labelled"), [(1, 0.0), (4, 0.0), (5, 1.0)])
def test_videos_of_few_frames_are_trained_on_but_not_asked_for_a_pace(
    tmp_path: Path, num_frames: int, labelled: float
) -> None:
    corpus = build_corpus(tmp_path / "videos", num_videos=8, num_frames=num_frames)
    summary = pretrain(shrink_recipe(pace.ucf101(), corpus), tmp_path / "run", recipe_name="x")
    assert summary.steps == 2
    assert summary.metrics["labelled"] == labelled
    assert (summary.metrics["pace"] == 0.0) is (labelled == 0.0)
    assert torch.isfinite(torch.tensor(summary.metrics["loss"]))


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(pace.ucf101(), corpus, steps=4)
    whole, part = tmp_path / "whole", tmp_path / "part"
    pretrain(recipe, whole, recipe_name="pace.ucf101")
    shutil.copytree(whole, part)
    (part / "checkpoints" / "step-00000004.pt").unlink()
    resumed = pretrain(load_run_recipe(part)[1], part, recipe_name="pace.ucf101", is_resumed=True)
    assert (resumed.first_step, resumed.steps) == (2, 4)
    assert is_same(load_weights(part), load_weights(whole))


def test_paces_and_positives_are_flags(corpus: Path, tmp_path: Path) -> None:
    words = ["pretrain", "pace.small", "--run", str(tmp_path / "run"), "--data.catalog", str(corpus)]
    small = ["--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.height", "18"]
    short = ["--data.width", "24", "--train.batch-size", "4", "--train.steps", "1"]
    flags = ["--method.clips.paces", "1", "3", "6", "--method.positives", "pace"]
    flags += ["--method.color-draws", "frame"]
    assert run([*words, *small, *short, *flags]) == 0
    settings = json.loads((tmp_path / "run" / "recipe.json").read_text())["settings"]["method"]
    assert settings["clips"]["paces"] == [1, 3, 6]
    assert (settings["positives"], settings["color_draws"]) == ("pace", "frame")
