from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.corpus import build_corpus, shrink_recipe
from tests.train.runs import is_same, load_weights
from unreel.data.block_clips import BlockClips
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig
from unreel.methods.dpc import DPC
from unreel.models.r2d3d import R2D3DConfig
from unreel.models.resnet3d import R3DConfig
from unreel.recipes import dpc
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe
from unreel.train.schedule import learning_rate

PAPER = {"ucf101": dpc.ucf101(), "kinetics400": dpc.kinetics400(), "hacs": dpc.hacs()}


def method_of(recipe: Recipe) -> DPC.Config:
    assert isinstance(recipe.method, DPC.Config)
    return recipe.method


@pytest.mark.parametrize("name", PAPER)
def test_the_recipes_train_with_the_numbers_of_paper_and_code(name: str) -> None:
    train = PAPER[name].train
    assert (train.epochs, train.steps, train.batch_size) == (300, 0, 128)
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adam", 1e-3, 1e-5)
    rates = [
        learning_rate(train.schedule, 1e-3, step=74 * epoch, num_steps=74 * 300, steps_per_epoch=74)
        for epoch in (0, 149, 150, 249, 250, 299)
    ]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_ucf101_has_blocks_and_frames_as_the_released_code() -> None:
    recipe = dpc.ucf101()
    assert recipe.method == DPC.Config()
    # Of 256 pixels 224 are cut and shrunk to 128, so 128 are cut of 256 * 128 / 224 = 146.3.
    assert (recipe.data.height, recipe.data.width) == (round(256 * 128 / 224), 0)
    assert recipe.data.min_frames == 8 * 5 * 3 + 1


def test_kinetics_takes_every_fifth_frame_and_crops_half_of_the_picture_or_more() -> None:
    recipe = dpc.kinetics400()
    method = method_of(recipe)
    assert method.clips == BlockClips(num_blocks=8, num_frames=5, frame_stride=5)
    assert (method.augmentation.crop, method.augmentation.crop_area) == ("random_resized", (0.5, 1.0))
    assert replace(method.augmentation, crop="random", crop_area=(0.2, 1.0)) == DPC.Config().augmentation
    assert method.backbone == R2D3DConfig()
    assert (recipe.data.height, recipe.data.min_frames) == (150, 8 * 5 * 5 + 1)


def test_hacs_has_the_network_that_all_methods_of_its_table_share() -> None:
    recipe, kinetics = dpc.hacs(), dpc.kinetics400()
    method = method_of(recipe)
    assert method.backbone == R3DConfig(depth=18)
    assert replace(method, backbone=R2D3DConfig()) == kinetics.method
    assert recipe.data.min_frames == 1
    with torch.device("meta"):
        maps = method.backbone.build().forward_map(torch.empty(1, 3, 5, 128, 128))
    assert maps.shape == (1, 512, 1, 8, 8)


def test_the_small_recipe_fits_small_videos_and_only_crops() -> None:
    recipe = dpc.small()
    method = method_of(recipe)
    clips = method.clips
    span = (clips.num_blocks * clips.num_frames - 1) * clips.frame_stride + 1
    assert span <= 72  # the shortest of the sample videos
    assert method.augmentation.jitter_prob == method.augmentation.flip_prob == 0.0
    assert recipe.data.cache == "ram"


def test_the_encoder_is_the_backbone_alone_and_sees_clips_of_one_block(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(dpc.ucf101(), corpus)
    summary = pretrain(recipe, tmp_path / "run", recipe_name="dpc.ucf101")
    encoder = Encoder.load(summary.exported)
    spec = encoder.spec
    assert (spec.sampling, spec.num_frames, spec.frame_stride) == ("clip", 5, 3)
    state = load_weights(tmp_path / "run")
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, state[f"_backbone.{name}"])
    assert not any("dense" in name for name in encoder.backbone.state_dict())
    read = ReadConfig(clips_per_video=2, num_workers=0)
    table = extract_features(encoder, Catalog.load(corpus), tmp_path / "features.parquet", read=read)
    assert (table.vectors, table.dimension) == (24, encoder.num_features)


@pytest.mark.parametrize("num_frames", [1, 7])
def test_videos_shorter_than_the_blocks_are_trained_on(tmp_path: Path, num_frames: int) -> None:
    corpus = build_corpus(tmp_path / "videos", num_videos=8, num_frames=num_frames)
    summary = pretrain(shrink_recipe(dpc.ucf101(), corpus), tmp_path / "run", recipe_name="x")
    assert summary.steps == 2
    assert np.isfinite(summary.metrics["loss"])


def test_two_runs_agree_to_the_bit_with_dropout_in_them(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(dpc.small(), corpus)
    assert method_of(recipe).dropout_prob == 0.1
    for name in ("one", "two"):
        pretrain(recipe, tmp_path / name, recipe_name="dpc.small")
    assert is_same(load_weights(tmp_path / "one"), load_weights(tmp_path / "two"))
