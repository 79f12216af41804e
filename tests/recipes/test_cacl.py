from collections.abc import Callable

import pytest

from unreel.methods.cacl import CACL
from unreel.models.c3d import C3DConfig
from unreel.models.resnet3d import R2Plus1DConfig, R3DConfig
from unreel.models.zoo import BackboneConfig
from unreel.recipes import cacl, frame_moco
from unreel.train.recipe import Recipe

PAPER: dict[Callable[[], Recipe], BackboneConfig] = {
    cacl.ucf101_c3d: C3DConfig(),
    cacl.ucf101_r3d: R3DConfig(depth=18),
    cacl.ucf101_r2plus1d: R2Plus1DConfig(depth=18),
    cacl.kinetics400_c3d: C3DConfig(),
}
OFFICIAL: dict[Callable[[], Recipe], BackboneConfig] = {
    cacl.ucf101_c3d_official: C3DConfig(),
    cacl.ucf101_r3d_official: R3DConfig(depth=34),
    cacl.ucf101_r2plus1d_official: R2Plus1DConfig(depth=10),
}
ABLATIONS = (cacl.ucf101_sdp, cacl.ucf101_sdp_plain, cacl.ucf101_sdp_vmoco, cacl.ucf101_vmoco_t)


def method_of(function: Callable[[], Recipe]) -> CACL.Config:
    method = function().method
    assert isinstance(method, CACL.Config)
    return method


@pytest.mark.parametrize("function", [*PAPER, *OFFICIAL, *ABLATIONS], ids=lambda function: function.__name__)
def test_what_paper_and_code_agree_on(function: Callable[[], Recipe]) -> None:
    recipe = function()
    assert (recipe.train.epochs, recipe.train.steps, recipe.train.batch_size) == (300, 0, 64)
    assert (recipe.data.height, recipe.data.width, recipe.data.min_frames) == (128, 171, 46)
    assert recipe.train.schedule.name == "cosine"
    assert recipe.train.schedule.warmup_epochs == 0
    assert (recipe.train.optimizer.name, recipe.train.optimizer.momentum) == ("sgd", 0.9)
    method = method_of(function)
    assert (method.clips.num_frames, method.clips.frame_stride, method.clips.count) == (16, 2, 1)
    assert (method.queue_length, method.temperature, method.momentum) == (6400, 0.07, 0.999)
    assert method.augmentation.size_px == 112


@pytest.mark.parametrize(("function", "backbone"), PAPER.items(), ids=[each.__name__ for each in PAPER])
def test_the_recipes_of_the_paper(function: Callable[[], Recipe], backbone: BackboneConfig) -> None:
    optimizer = function().train.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.001, 5e-4)
    assert method_of(function) == CACL.Config(backbone=backbone)


@pytest.mark.parametrize(("function", "backbone"), OFFICIAL.items(), ids=[each.__name__ for each in OFFICIAL])
def test_the_recipes_of_the_released_code(function: Callable[[], Recipe], backbone: BackboneConfig) -> None:
    optimizer = function().train.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (0.01, 1e-4)
    method = method_of(function)
    assert method.backbone == backbone
    assert (method.degree_weight, method.positives, method.swap_key_order) == (0.0, "per_pair", True)
    assert (method.frame_mean, method.frame_std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert (method.shuffle.preset, method.exclude_own_keys) == ("official", False)
    augmentation = method.augmentation
    assert (augmentation.blur_prob, augmentation.jitter_prob, augmentation.grayscale_prob) == (0.0, 0.8, 0.2)


def test_the_rows_of_the_first_table() -> None:
    sdp, plain = method_of(cacl.ucf101_sdp), method_of(cacl.ucf101_sdp_plain)
    assert (sdp.has_contrast, sdp.degree_weight, sdp.shuffle.preset) == (False, 1.0, "uniform_exact")
    assert (plain.has_contrast, plain.degree_weight, plain.shuffle.preset) == (False, 1.0, "plain")
    for alone in (sdp, plain):
        augmentation = alone.augmentation
        assert (augmentation.crop, augmentation.size_px) == ("random", 112)
        changes = (augmentation.flip_prob, augmentation.jitter_prob, augmentation.grayscale_prob)
        assert (*changes, augmentation.blur_prob) == (0.0, 0.0, 0.0, 0.0)
    both, cross = method_of(cacl.ucf101_sdp_vmoco), method_of(cacl.ucf101_vmoco_t)
    assert (both.pairs, both.has_transformer, both.degree_weight) == (("gq_gk",), False, 1.0)
    assert (len(cross.pairs), cross.has_transformer, cross.degree_weight) == (4, True, 0.0)


def test_the_small_recipe_fits_its_stage_one() -> None:
    """The frame network that frame_moco.small exports is the one that cacl.small loads."""
    method, frames = method_of(cacl.small), frame_moco.small().method
    assert method.frame_network == frames.backbone
    assert (method.frame_mean, method.frame_std) == (frames.augmentation.mean, frames.augmentation.std)
    assert (len(method.pairs), method.positives, method.queue_length) == (4, "per_pair", 0)
    assert cacl.small().data.cache == "ram"
