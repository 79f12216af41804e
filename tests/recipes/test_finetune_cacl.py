"""The numbers of CACL's fine-tuning: paper, section 4.2 and 4.3, and its released code where it is silent."""

import numpy as np
import pytest

from unreel.data.clips import RandomClips, UniformClips
from unreel.methods.supervised import Supervised
from unreel.models.resnet3d import R2Plus1DConfig
from unreel.recipes import finetune_cacl
from unreel.seeding import build_generator
from unreel.train.export import describe_classifier
from unreel.train.recipe import Recipe
from unreel.train.schedule import learning_rate


def method_of(recipe: Recipe) -> Supervised.Config:
    assert isinstance(recipe.method, Supervised.Config)
    return recipe.method


def rate(recipe: Recipe, epoch: float) -> float:
    train = recipe.train
    return learning_rate(
        train.schedule,
        train.highest_lr,
        step=round(epoch * 74),
        num_steps=train.epochs * 74,
        steps_per_epoch=74,
    )


def test_training_has_the_numbers_of_the_paper() -> None:
    recipe = finetune_cacl.paper()
    method, train, optimizer = method_of(recipe), recipe.train, recipe.train.optimizer
    assert (train.epochs, train.batch_size) == (150, 128)  # paper
    assert (optimizer.name, optimizer.lr, optimizer.lr_per_videos) == ("sgd", 0.1, 0)  # paper
    assert optimizer.momentum == 0.9
    assert optimizer.weight_decay == 5e-4  # released code; the paper is silent (decision A6)
    assert optimizer.clip_norm == 0.0
    assert train.schedule.name == "cosine"  # paper
    assert rate(recipe, 0) == 0.1
    assert rate(recipe, 75) == pytest.approx(0.05)
    assert rate(recipe, 150) == pytest.approx(0.0, abs=1e-9)
    assert (method.dropout_prob, method.is_frozen, method.grouping) == (0.0, False, "uniform")  # no dropout
    assert method.backbone == R2Plus1DConfig(depth=18)
    assert method.input_from == "recipe"


def test_clips_and_augmentation_are_those_of_the_released_code() -> None:
    recipe = finetune_cacl.paper()
    method, augmentation = method_of(recipe), recipe.method.augmentation
    assert method.clips == RandomClips(count=1, num_frames=16, frame_stride=2)
    assert (recipe.data.height, recipe.data.width) == (128, 171)
    assert (augmentation.crop, augmentation.size_px) == ("random", 112)
    assert augmentation.jitter_prob == 0.5
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert strengths == (0.4, 0.4, 0.4, 0.1)
    assert (augmentation.grayscale_prob, augmentation.flip_prob, augmentation.blur_prob) == (0.2, 0.5, 0.0)
    assert (augmentation.mean, augmentation.std) == ((0.0,) * 3, (1.0,) * 3)  # decision A8


def test_ten_clips_are_tested_in_the_middle_and_their_logits_averaged() -> None:
    recipe = finetune_cacl.paper()
    classifier = describe_classifier(recipe)
    spec, views = classifier.test_input, classifier.views
    assert (views.clips, views.crops, views.average) == (10, "center", "logits")
    assert (spec.num_frames, spec.frame_stride, spec.crop_px) == (16, 2, 112)
    assert (spec.decode_height, spec.decode_width) == (128, 171)
    sampling = spec.build_sampling(views.clips)
    assert sampling == UniformClips(count=10, num_frames=16, frame_stride=2)
    frames = sampling.sample(212, build_generator(0)).frames_NT
    # linspace(0, 212 - 16 * 2, 10) is 0, 20, ..., 180.
    assert np.array_equal(frames[:, 0], np.linspace(0, 180, 10))
    assert np.array_equal(frames[3], 60 + 2 * np.arange(16))


def test_the_released_code_halves_the_batch_and_keeps_the_last_stages_slow() -> None:
    paper, official = finetune_cacl.paper(), finetune_cacl.official()
    assert official.train.batch_size == 64  # README
    assert official.train.optimizer == paper.train.optimizer
    assert method_of(official).grouping == "cacl_official"  # decision A6
    assert official.data == paper.data
    assert method_of(official).views == method_of(paper).views
