import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import shrink_recipe
from tests.train.runs import is_same, load_weights
from unreel.cli.main import run
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips
from unreel.features.encoder import Encoder
from unreel.methods.vclr_clips import VCLRClips
from unreel.models.c3d import C3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.models.resnet3d import R3DConfig
from unreel.models.s3d import S3DConfig
from unreel.recipes import vclr_clips
from unreel.recipes.find import load_run_recipe
from unreel.recipes.vclr_clips import Recipe
from unreel.train.pretrain import pretrain
from unreel.train.schedule import learning_rate

PAPER = {
    "ucf101_s3d": (vclr_clips.ucf101_s3d(), VCLRClips.Config()),
    "ucf101_s3d_clip": (
        vclr_clips.ucf101_s3d_clip(),
        VCLRClips.Config(clips=ClipPairAndSegments(num_segments=0), video_weight=0.0, order_weight=0.0),
    ),
    "ucf101_r3d_50": (vclr_clips.ucf101_r3d_50(), VCLRClips.Config(backbone=R3D50Config(), hidden_dim=2048)),
    "hacs_r3d_18": (vclr_clips.hacs_r3d_18(), VCLRClips.Config(backbone=R3DConfig(depth=18), hidden_dim=512)),
}


@pytest.mark.parametrize(("recipe", "method"), PAPER.values(), ids=PAPER)
def test_the_recipes_have_the_numbers_of_both_papers(recipe: Recipe, method: VCLRClips.Config) -> None:
    assert recipe.method == method
    assert method.cautions() == ()
    train = recipe.train
    assert (train.epochs, train.steps, train.batch_size) == (300, 0, 64)
    assert (train.optimizer.name, train.optimizer.lr, train.optimizer.weight_decay) == ("adam", 1e-3, 1e-5)
    assert method.hidden_dim == method.build().backbone.num_features


def test_the_rate_falls_to_a_tenth_at_epochs_250_and_280() -> None:
    """9,537 videos in batches of 64 are 149 steps; the rate of each step on both sides of a drop."""
    train = vclr_clips.ucf101_s3d().train
    for epoch, before, after in ((250, 1e-3, 1e-4), (280, 1e-4, 1e-5)):
        for step, rate in ((149 * epoch - 1, before), (149 * epoch, after)):
            found = learning_rate(
                train.schedule, train.optimizer.lr, step=step, num_steps=149 * 300, steps_per_epoch=149
            )
            assert found == pytest.approx(rate)


def test_a_crop_of_mean_area_has_the_pixels_that_the_network_sees() -> None:
    """Area 0.6 of 144 x 192 is 16,589 pixels, a square of 129."""
    recipe = vclr_clips.ucf101_s3d()
    low, high = recipe.method.augmentation.crop_area
    side = ((low + high) / 2 * recipe.data.height * recipe.data.width) ** 0.5
    assert side == pytest.approx(recipe.method.augmentation.size_px, abs=1)


def test_wide_videos_of_hacs_are_decoded_as_wide_as_they_are() -> None:
    """16:9 at a height of 144 is 256; squeezed to 192 everything would be a quarter too slim."""
    data = vclr_clips.hacs_r3d_18().data
    assert (data.height, data.width) == (144, 0)


def test_the_small_recipe_is_small() -> None:
    recipe = vclr_clips.small()
    method = recipe.method
    assert isinstance(method, VCLRClips.Config)
    assert (method.losses, method.cautions()) == (("clip", "video", "order"), ())
    assert method.clips == ClipPairAndSegments(3, num_frames=8, frame_stride=3, same_clip_prob=0.0)
    assert (method.backbone, method.queue_length) == (C3DConfig(width=0.125), 0)
    assert (recipe.data.height, recipe.data.width, recipe.data.cache) == (48, 64, "ram")


def test_the_encoder_sees_clips_as_in_training(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(vclr_clips.small(), corpus, steps=1)
    summary = pretrain(recipe, tmp_path / "run", recipe_name="vclr_clips.small")
    spec = Encoder.load(summary.exported).spec
    assert (spec.sampling, spec.num_frames, spec.frame_stride) == ("clip", 8, 3)
    name, read_back = load_run_recipe(tmp_path / "run")
    assert name == "vclr_clips.small"
    assert read_back == replace(recipe, data=read_back.data)
    assert isinstance(recipe.method, VCLRClips.Config)
    assert recipe.method.backbone == replace(C3DConfig(), width=0.125)


def shrink(corpus: Path, *, steps: int) -> Recipe:
    """Return the recipe of S3D with a short clip, small pictures and a narrow network."""
    recipe = shrink_recipe(vclr_clips.ucf101_s3d(), corpus, steps=steps)
    return replace(recipe, method=replace(recipe.method, clips=ClipPairAndSegments(3, num_frames=8)))


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    """Both networks, the classifier and both queues come from the checkpoint."""
    recipe = shrink(corpus, steps=4)
    whole, part = tmp_path / "whole", tmp_path / "part"
    pretrain(recipe, whole, recipe_name="vclr_clips.ucf101_s3d")
    shutil.copytree(whole, part)
    (part / "checkpoints" / "step-00000004.pt").unlink()
    resumed = pretrain(load_run_recipe(part)[1], part, recipe_name="vclr_clips.ucf101_s3d", is_resumed=True)
    assert (resumed.first_step, resumed.steps) == (2, 4)
    state = load_weights(whole)
    assert is_same(load_weights(part), state)
    owners = [value for name, value in state.items() if name.endswith("owners_K")]
    assert len(owners) == 2
    assert all((value >= 0).all() for value in owners)  # sixteen keys of four steps of four videos
    assert torch.equal(*owners)


def test_the_first_row_of_table_8_contrasts_clips_alone() -> None:
    method = vclr_clips.ucf101_s3d_clip().method
    assert isinstance(method, VCLRClips.Config)
    assert (method.losses, method.clips.num_clips) == (("clip",), 2)
    assert vclr_clips.ucf101_s3d_clip().train == vclr_clips.ucf101_s3d().train


def test_the_rows_of_table_8_are_flags(corpus: Path, tmp_path: Path) -> None:
    words = ["pretrain", "vclr_clips.small", "--data.catalog", str(corpus)]
    small = ["--method.augmentation.size-px", "16", "--method.backbone.width", "0.125", "--data.height", "18"]
    short = ["--data.width", "24", "--train.batch-size", "4", "--train.steps", "1"]
    clip = ["--method.video-weight", "0", "--method.order-weight", "0", "--method.clips.num-segments", "0"]
    for name, flags, losses in (
        ("clip", clip, {"clip"}),
        ("video", ["--method.order-weight", "0"], {"clip", "video"}),
    ):
        folder = tmp_path / name
        assert run([*words, "--run", str(folder), *small, *short, *flags]) == 0
        metrics = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        assert losses == {"clip", "video", "order"} & set(metrics)
        (part,) = json.loads((folder / "provenance.json").read_text())["parts"]
        assert part["cautions"] == []


def test_videos_shorter_than_a_clip_are_trained_on_without_the_pair_too(corpus: Path, tmp_path: Path) -> None:
    """The videos have 20 frames, the clips 32; the sampler without a pair is set in a recipe of one's own."""
    recipe = shrink_recipe(vclr_clips.hacs_r3d_18(), corpus, steps=1)
    method = replace(recipe.method, clips=SegmentClips(3), clip_weight=0.0)
    summary = pretrain(replace(recipe, method=method), tmp_path / "run", recipe_name="x")
    assert torch.isfinite(torch.tensor(summary.metrics["loss"]))
    assert {"video", "order"} <= set(summary.metrics)


def test_s3d_is_the_network_of_the_first_recipe() -> None:
    assert vclr_clips.ucf101_s3d().method.backbone == S3DConfig(variant="coclr")
