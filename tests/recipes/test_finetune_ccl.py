"""The numbers of CCL's fine-tuning: paper, section 4.1, and decision L12 on the rate."""

import dataclasses

import numpy as np
import pytest

from unreel.data.clips import FramePerPart
from unreel.methods.supervised import Supervised
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.recipes import ccl, finetune_ccl
from unreel.seeding import build_generator
from unreel.train.export import describe_classifier
from unreel.train.recipe import Recipe
from unreel.train.schedule import learning_rate


def method_of(recipe: Recipe) -> Supervised.Config:
    assert isinstance(recipe.method, Supervised.Config)
    return recipe.method


def rate(recipe: Recipe, epoch: int) -> float:
    train = recipe.train
    return learning_rate(
        train.schedule, train.highest_lr, step=epoch * 198, num_steps=35 * 198, steps_per_epoch=198
    )


def test_training_has_the_numbers_of_the_paper() -> None:
    recipe = finetune_ccl.paper()
    train, optimizer = recipe.train, recipe.train.optimizer
    assert (train.epochs, train.batch_size) == (35, 48)
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("sgd", 0.01, 1e-4)  # decision L12
    assert optimizer.momentum == 0.9  # decision L9
    assert (train.schedule.name, train.schedule.decay_every_epochs) == ("step", 20.0)
    assert rate(recipe, 19) == 0.01
    assert rate(recipe, 20) == pytest.approx(0.001)
    assert rate(recipe, 34) == pytest.approx(0.001)
    assert optimizer == ccl.kinetics400().train.optimizer  # "same as self-training"


def test_network_and_clips_are_those_of_the_pre_training() -> None:
    recipe, trained = finetune_ccl.paper(), ccl.kinetics400()
    method = method_of(recipe)
    assert method.backbone == R3DPlus1Config() == trained.method.backbone
    assert method.clips == FramePerPart(count=1, num_frames=8, span_frames=64)  # decision L4
    assert method.augmentation == trained.method.augmentation
    assert method.augmentation.size_px == 112
    assert (recipe.data.height, recipe.data.width) == (128, 171)
    assert (method.dropout_prob, method.is_frozen, method.grouping) == (0.0, False, "uniform")
    assert method.input_from == "recipe"


def test_ten_clips_are_tested_in_the_middle_and_their_probabilities_averaged() -> None:
    classifier = describe_classifier(finetune_ccl.paper())
    spec, views = classifier.test_input, classifier.views
    assert (views.clips, views.crops, views.average) == (10, "center", "probabilities")
    assert (spec.sampling, spec.num_frames, spec.span_frames) == ("frame_per_part", 8, 64)
    assert spec.crop_px == 112
    sampling = spec.build_sampling(views.clips)
    assert sampling == FramePerPart(10, 8, 64, jitter=False)
    frames = sampling.sample(154, build_generator(0)).frames_NT
    # Clips of 64 frames start every 10 frames, from 0 to 90; parts of 8 frames are seen at their centre, 4.
    assert np.array_equal(frames, 10 * np.arange(10)[:, None] + 8 * np.arange(8) + 4)


def test_the_linear_probe_differs_in_that_alone() -> None:
    paper, linear = finetune_ccl.paper(), finetune_ccl.linear()
    assert method_of(linear).is_frozen
    method = dataclasses.replace(method_of(linear), is_frozen=False)
    assert dataclasses.replace(linear, method=method) == paper
