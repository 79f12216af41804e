"""The recipes that take any encoder: no paper's, so what they promise is what is tested."""

import pytest

from unreel.augment.evaluation_views import EvaluationViews
from unreel.methods.supervised import Supervised
from unreel.models.c3d import C3DConfig
from unreel.recipes import finetune
from unreel.train.recipe import OptimizerConfig, Recipe
from unreel.train.schedule import learning_rate


def method_of(recipe: Recipe) -> Supervised.Config:
    assert isinstance(recipe.method, Supervised.Config)
    return recipe.method


def rate(recipe: Recipe, epoch: float) -> float:
    train = recipe.train
    return learning_rate(
        train.schedule,
        train.highest_lr,
        step=round(epoch * 100),
        num_steps=train.epochs * 100,
        steps_per_epoch=100,
    )


def test_all_take_the_input_of_the_encoder_and_are_tested_by_ten_clips() -> None:
    for build in (finetune.full, finetune.linear, finetune.small):
        method = method_of(build())
        assert method.input_from == "encoder"
        assert method.views == EvaluationViews(clips=10, crops="center", average="probabilities")
        assert method.clips.num_clips == 1
        assert (method.grouping, method.layer_lr_decay, method.backbone_lr_factor) == ("uniform", 1.0, 1.0)
        assert not method.has_initial_weights


def test_full_trains_all_layers_by_adamw_with_a_warm_up() -> None:
    recipe = finetune.full()
    method, train = method_of(recipe), recipe.train
    assert (method.is_frozen, method.dropout_prob, method.init_std) == (False, 0.5, 0.01)
    assert (train.epochs, train.batch_size) == (100, 64)
    assert train.optimizer == OptimizerConfig(
        name="adamw", lr=1e-4, lr_per_videos=64, weight_decay=0.05, decay_norms=False, clip_norm=1.0
    )
    assert rate(recipe, 0) == pytest.approx(1e-6)  # a hundredth of 1e-4, which is reached in epoch 5
    assert rate(recipe, 5) == 1e-4
    assert rate(recipe, 99.99) < 1e-8


def test_linear_trains_the_last_layer_by_sgd() -> None:
    recipe = finetune.linear()
    method, train = method_of(recipe), recipe.train
    assert (method.is_frozen, method.dropout_prob, method.init_std) == (True, 0.0, 0.01)
    assert (train.epochs, train.batch_size) == (100, 256)
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.lr_per_videos) == ("sgd", 0.1, 256)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 0.0)
    assert (train.schedule.name, train.schedule.warmup_epochs) == ("cosine", 0.0)


def test_both_crop_and_flip_and_leave_the_colours() -> None:
    for build in (finetune.full, finetune.linear):
        augmentation = method_of(build()).augmentation
        assert (augmentation.crop, augmentation.crop_area) == ("random_resized", (0.3, 1.0))
        probabilities = (augmentation.jitter_prob, augmentation.grayscale_prob, augmentation.blur_prob)
        assert (augmentation.flip_prob, *probabilities) == (0.5, 0.0, 0.0, 0.0)


def test_small_fits_two_cores_and_mirrors_nothing() -> None:
    recipe = finetune.small()
    method, train = method_of(recipe), recipe.train
    assert method.backbone == C3DConfig(width=0.125)
    assert (method.is_frozen, method.dropout_prob, method.init_std) == (False, 0.2, 0.01)
    assert (method.augmentation.crop, method.augmentation.flip_prob) == ("random", 0.0)
    assert recipe.data.cache == "ram"
    assert (train.epochs, train.batch_size, train.highest_lr) == (40, 16, 1e-3)
    assert (train.optimizer.name, train.optimizer.weight_decay, train.optimizer.clip_norm) == (
        "adamw",
        0.05,
        1.0,
    )
    assert rate(recipe, 1) == 5e-4  # half-way through two epochs of warm-up from 0
