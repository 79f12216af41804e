import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.corpus import build_corpus, shrink_recipe
from tests.train.runs import is_same, load_weights
from unreel.data.block_clips import BlocksAndSegmentClips
from unreel.features.encoder import Encoder
from unreel.methods.dpc import DPC
from unreel.methods.vclr_clips import VCLRClips
from unreel.methods.vclr_dpc import VCLRDPC
from unreel.recipes import dpc, vclr_dpc
from unreel.recipes.find import load_run_recipe
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe


def method_of(recipe: Recipe) -> VCLRDPC.Config:
    assert isinstance(recipe.method, VCLRDPC.Config)
    return recipe.method


@pytest.mark.parametrize(
    ("recipe", "baseline"),
    [(vclr_dpc.ucf101(), dpc.ucf101()), (vclr_dpc.small(), dpc.small())],
    ids=["ucf101", "small"],
)
def test_nothing_but_the_clips_of_the_segments_and_their_losses_differs_from_dpc(
    recipe: Recipe, baseline: Recipe
) -> None:
    assert (recipe.data, recipe.train) == (baseline.data, baseline.train)
    method, alone = method_of(recipe), baseline.method
    assert isinstance(alone, DPC.Config)
    for name in ("augmentation", "backbone", "num_predicted", "dropout_prob", "color_draws"):
        assert getattr(method, name) == getattr(alone, name), name
    for name in ("num_blocks", "num_frames", "frame_stride", "short_video"):
        assert getattr(method.clips, name) == getattr(alone.clips, name), name
    assert method.clips.num_segments == 3
    assert method.losses == ("dense", "video", "order")


def test_ucf101_has_the_numbers_of_the_paper_and_vclrs_where_it_has_none() -> None:
    method = method_of(vclr_dpc.ucf101())
    assert method == VCLRDPC.Config()
    assert method.clips == BlocksAndSegmentClips(8, 3, 5, 3)
    assert (method.temperature, method.queue_length, method.momentum) == (0.1, 2048, 0.999)


def test_the_small_recipe_contrasts_inside_the_batch() -> None:
    method = method_of(vclr_dpc.small())
    assert VCLRClips.Config().queue_length == VCLRDPC.Config().queue_length
    assert (method.queue_length, method.momentum, method.min_videos) == (0, 0.9, 2)
    assert method.cautions() == ()


def test_the_encoder_is_the_backbone_alone_and_sees_clips_of_one_block(corpus: Path, tmp_path: Path) -> None:
    summary = pretrain(shrink_recipe(vclr_dpc.ucf101(), corpus), tmp_path / "run", recipe_name="x")
    encoder = Encoder.load(summary.exported)
    assert (encoder.spec.sampling, encoder.spec.num_frames, encoder.spec.frame_stride) == ("clip", 5, 3)
    state = load_weights(tmp_path / "run")
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, state[f"online.backbone.{name}"])
    assert {"dense", "video", "order", "right_place", "video_accuracy"} <= set(summary.metrics)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    """Both networks, predictor, classifier and queue come from the checkpoint; dropout from the step."""
    recipe = shrink_recipe(vclr_dpc.ucf101(), corpus, steps=4)
    whole, rest = tmp_path / "whole", tmp_path / "rest"
    pretrain(recipe, whole, recipe_name="vclr_dpc.ucf101")
    shutil.copytree(whole, rest)
    (rest / "checkpoints" / "step-00000004.pt").unlink()
    resumed = pretrain(load_run_recipe(rest)[1], rest, recipe_name="vclr_dpc.ucf101", is_resumed=True)
    assert (resumed.first_step, resumed.steps) == (2, 4)
    assert is_same(load_weights(rest), load_weights(whole))


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_videos_shorter_than_blocks_and_segments_are_trained_on(tmp_path: Path, num_frames: int) -> None:
    corpus = build_corpus(tmp_path / "videos", num_videos=8, num_frames=num_frames)
    summary = pretrain(shrink_recipe(vclr_dpc.ucf101(), corpus), tmp_path / "run", recipe_name="x")
    assert summary.steps == 2
    assert torch.isfinite(torch.tensor(summary.metrics["loss"]))


def test_the_rows_of_the_table_are_settings(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(vclr_dpc.small(), corpus, steps=1)
    row = replace(method_of(recipe), order_weight=0.0)
    summary = pretrain(replace(recipe, method=row), tmp_path / "run", recipe_name="x")
    assert {"dense", "video"} <= set(summary.metrics)
    assert "order" not in summary.metrics


def test_the_first_row_of_the_table_is_dpc_itself_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    """Weights, frames, views and losses are those of the baseline's recipe."""
    recipe = shrink_recipe(vclr_dpc.ucf101(), corpus)
    method = method_of(recipe)
    clips = replace(method.clips, num_segments=0)
    alone = replace(recipe, method=replace(method, video_weight=0.0, order_weight=0.0, clips=clips))
    pretrain(alone, tmp_path / "row", recipe_name="vclr_dpc.ucf101")
    pretrain(shrink_recipe(dpc.ucf101(), corpus), tmp_path / "dpc", recipe_name="dpc.ucf101")
    row, baseline = load_weights(tmp_path / "row"), load_weights(tmp_path / "dpc")
    assert {name.replace("online.backbone.", "_backbone.") for name in row} == set(baseline)
    for name, value in row.items():
        assert torch.equal(value, baseline[name.replace("online.backbone.", "_backbone.")]), name
