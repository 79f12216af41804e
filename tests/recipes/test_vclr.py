import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import build_corpus, shrink_recipe
from tests.models.test_head_weights import moco_file
from tests.train.runs import is_same, load_weights
from unreel.augment.compose import ClipAugmentation
from unreel.cli.main import run
from unreel.data.segments import SegmentPairs
from unreel.features.encoder import Encoder
from unreel.methods.vclr import VCLR
from unreel.models.resnet2d import ResNetConfig
from unreel.recipes import vclr
from unreel.recipes.find import load_run_recipe
from unreel.train.pretrain import pretrain
from unreel.train.schedule import learning_rate


@pytest.mark.parametrize(
    "recipe", [vclr.kinetics400(), vclr.ucf101(), vclr.hacs()], ids=["kinetics400", "ucf101", "hacs"]
)
def test_the_recipes_have_the_numbers_of_paper_and_code(recipe: vclr.Recipe) -> None:
    assert recipe.method == VCLR.Config()
    train = recipe.train
    assert (train.epochs, train.steps, train.batch_size) == (400, 0, 512)
    assert (train.optimizer.name, train.optimizer.momentum) == ("sgd", 0.9)
    assert (train.optimizer.lr, train.optimizer.lr_per_videos, train.highest_lr) == (0.1, 256, 0.2)
    assert train.optimizer.weight_decay == 1e-4
    assert (recipe.data.height, recipe.data.width) == (256, 0)


def test_the_rate_follows_the_batch_and_the_schedule_is_that_of_the_code() -> None:
    """0.002 at the start, 0.2 after 5 epochs, then a cosine to 1e-6 at epoch 400; 0.1 for 256 videos."""
    train = vclr.build_training(512)
    expected = {0: 0.002, 1: 0.0416, 5: 0.2, 100: 0.172788, 200: 0.101989, 400: 1e-6}
    for epoch, rate in expected.items():
        found = learning_rate(
            train.schedule, train.highest_lr, step=468 * epoch, num_steps=468 * 400, steps_per_epoch=468
        )
        assert found == pytest.approx(rate, abs=5e-7)
    half = replace(train, batch_size=256)  # as --train.batch-size does
    found = learning_rate(half.schedule, half.highest_lr, step=0, num_steps=9, steps_per_epoch=1)
    assert (half.highest_lr, found) == (0.1, pytest.approx(0.001))


def test_the_metrics_have_the_rate_that_was_used(corpus: Path, tmp_path: Path) -> None:
    """4 videos a step: a 64th of 0.1. Both steps are warm-up, the second half way from a hundredth."""
    recipe = shrink_recipe(vclr.kinetics400(), corpus)
    recipe = replace(recipe, method=replace(recipe.method, backbone=ResNetConfig(depth=18, width=0.125)))
    summary = pretrain(recipe, tmp_path / "run", recipe_name="vclr.kinetics400")
    assert summary.metrics["lr"] == pytest.approx(0.1 / 64 * (0.01 + 0.99 / 2))


def test_the_small_recipe_starts_from_random_weights_on_purpose() -> None:
    recipe = vclr.small()
    method = recipe.method
    assert isinstance(method, VCLR.Config)
    assert method.cautions() == ()
    assert method.losses == ("inter", "intra", "video", "order")
    assert (method.clips, method.queue_length) == (SegmentPairs(3), 0)
    assert method.backbone == ResNetConfig(depth=18, width=0.25)
    assert (recipe.data.height, recipe.data.width, recipe.data.cache) == (48, 64, "ram")


def test_the_encoder_sees_one_frame_at_a_time(corpus: Path, tmp_path: Path) -> None:
    summary = pretrain(shrink_recipe(vclr.small(), corpus), tmp_path / "run", recipe_name="vclr.small")
    spec = Encoder.load(summary.exported).spec
    assert (spec.sampling, spec.num_frames, spec.frame_stride) == ("clip", 1, 1)
    name, recipe = load_run_recipe(tmp_path / "run")
    assert name == "vclr.small"
    assert recipe.method.clips == SegmentPairs(3)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_videos_of_fewer_frames_than_segments_are_trained_on(tmp_path: Path, num_frames: int) -> None:
    corpus = build_corpus(tmp_path / "videos", num_videos=8, num_frames=num_frames)
    summary = pretrain(shrink_recipe(vclr.kinetics400(), corpus), tmp_path / "run", recipe_name="x")
    assert summary.steps == 2
    assert torch.isfinite(torch.tensor(summary.metrics["loss"]))


def test_a_run_that_started_from_moco_resumes_without_the_file_to_the_bit(
    corpus: Path, tmp_path: Path
) -> None:
    """Both networks, the classifier and both queues come from the checkpoint."""
    path, _ = moco_file(tmp_path / "moco.pth", hidden_dim=8)
    recipe = shrink_recipe(vclr.kinetics400(), corpus, steps=4)
    method = replace(recipe.method, initial_weights=path, backbone=ResNetConfig(depth=18, width=0.125))
    recipe = replace(recipe, method=method)
    whole, part = tmp_path / "whole", tmp_path / "part"
    summary = pretrain(recipe, whole, recipe_name="vclr.kinetics400")
    assert summary.initial_weights == {
        "backbone": f"{path}: 100% of the weights loaded (torchvision names behind 'module.encoder_q.')",
        "heads": f"{path}: 100% of the weights loaded (torchvision names behind 'module.encoder_q.fc.')",
    }
    shutil.copytree(whole, part)
    (part / "checkpoints" / "step-00000004.pt").unlink()
    path.unlink()
    resumed = pretrain(load_run_recipe(part)[1], part, recipe_name="vclr.kinetics400", is_resumed=True)
    assert (resumed.first_step, resumed.steps) == (2, 4)
    assert is_same(load_weights(part), load_weights(whole))


def test_the_rows_of_the_ablations_are_flags(corpus: Path, tmp_path: Path) -> None:
    words = ["pretrain", "vclr.small", "--run", str(tmp_path / "run"), "--data.catalog", str(corpus)]
    small = ["--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.height", "18"]
    short = ["--data.width", "24", "--train.batch-size", "4", "--train.steps", "1"]
    row = ["--method.inter-weight", "0", "--method.intra-weight", "0", "--method.clips.num-segments", "5"]
    assert run([*words, *small, *short, *row]) == 0
    settings = json.loads((tmp_path / "run" / "recipe.json").read_text())["settings"]["method"]
    assert settings["clips"] == {"num_segments": 5, "num_tuples": 2}
    metrics = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"video", "order"} <= set(metrics)
    assert not {"inter", "intra"} & set(metrics)


def test_only_crops_change_a_frame_of_the_small_recipe() -> None:
    augmentation = vclr.small().method.augmentation
    assert augmentation == ClipAugmentation.only_crop(40, mean=augmentation.mean, std=augmentation.std)
