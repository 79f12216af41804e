"""The numbers of SCVRL's downstream tasks: decision S1, and its test views (section 4.2)."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from unreel.data.clips import RandomClips
from unreel.data.offset_clips import OffsetClips
from unreel.data.segments import SegmentFrames
from unreel.methods.supervised import Supervised
from unreel.models.mvit import MViTConfig
from unreel.recipes import finetune_scvrl, scvrl
from unreel.seeding import build_generator
from unreel.train.export import describe_classifier
from unreel.train.recipe import OptimizerConfig, Recipe
from unreel.train.schedule import learning_rate

ALL = (finetune_scvrl.full, finetune_scvrl.linear, finetune_scvrl.full_ssv2, finetune_scvrl.linear_ssv2)


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


def test_fine_tuning_has_the_numbers_of_decision_s1() -> None:
    recipe = finetune_scvrl.full()
    method, train = method_of(recipe), recipe.train
    assert (train.epochs, train.batch_size) == (100, 64)
    assert train.optimizer == OptimizerConfig(
        name="adamw", lr=1e-4, lr_per_videos=64, weight_decay=0.05, decay_norms=False, clip_norm=1.0
    )
    assert (train.schedule.name, train.schedule.warmup_epochs) == ("cosine", 5.0)
    assert [rate(recipe, epoch) for epoch in (0, 5)] == pytest.approx([1e-6, 1e-4])
    assert rate(recipe, 100) == pytest.approx(1e-6)
    assert method.backbone == MViTConfig(drop_path=0.2)
    assert (method.dropout_prob, method.is_frozen, method.grouping) == (0.5, False, "uniform")
    doubled = dataclasses.replace(train, batch_size=128)
    assert doubled.highest_lr == pytest.approx(2e-4)  # 1e-4 x batch / 64


def test_the_linear_probe_has_the_numbers_of_decision_s1() -> None:
    recipe = finetune_scvrl.linear()
    method, train = method_of(recipe), recipe.train
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.lr_per_videos) == ("sgd", 0.1, 256)  # 0.1 x batch / 256
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 0.0)
    assert (train.epochs, train.schedule.name, train.schedule.warmup_epochs) == (100, "cosine", 0.0)
    assert rate(recipe, 0) == pytest.approx(0.1)
    assert (method.is_frozen, method.dropout_prob, method.backbone) == (True, 0.0, MViTConfig())


@pytest.mark.parametrize("build", ALL)
def test_frames_are_cropped_as_in_pre_training_and_their_colours_kept(build: Callable[[], Recipe]) -> None:
    recipe = build()
    augmentation, trained = recipe.method.augmentation, scvrl.kinetics400()
    assert (augmentation.crop, augmentation.size_px) == ("random_resized", 224)
    assert (augmentation.crop_area, augmentation.crop_aspect) == ((0.3, 1.0), (0.5, 2.0))  # decision S9
    assert (augmentation.jitter_prob, augmentation.grayscale_prob, augmentation.blur_prob) == (0.0, 0.0, 0.0)
    assert (augmentation.mean, augmentation.std) == ((0.45,) * 3, (0.225,) * 3)
    assert augmentation.mean == trained.method.augmentation.mean
    assert augmentation.size_px == trained.method.augmentation.size_px
    assert (recipe.data.height, recipe.data.width) == (256, 0) == (trained.data.height, trained.data.width)


@pytest.mark.parametrize("build", [finetune_scvrl.full, finetune_scvrl.linear])
def test_ten_clips_times_three_crops_are_tested(build: Callable[[], Recipe]) -> None:
    recipe = build()
    assert method_of(recipe).clips == RandomClips(count=1, num_frames=16, frame_stride=4)
    assert recipe.method.augmentation.flip_prob == 0.5
    classifier = describe_classifier(recipe)
    spec, views = classifier.test_input, classifier.views
    assert (views.clips, views.crops, views.num_crops, views.average) == (10, "three", 3, "probabilities")
    assert (spec.decode_height, spec.decode_width, spec.crop_px) == (224, 0, 224)
    sampling = spec.build_sampling(views.clips)
    assert isinstance(sampling, OffsetClips)
    # 10 starts k * floor((164 - 64) / 9) = 0, 11, ..., 99; frames are 4 apart.
    frames = sampling.sample(164, build_generator(0)).frames_NT
    assert np.array_equal(frames, 11 * np.arange(10)[:, None] + 4 * np.arange(16))


@pytest.mark.parametrize(
    ("ssv2", "other", "epochs"),
    [
        (finetune_scvrl.full_ssv2, finetune_scvrl.full, 50),
        (finetune_scvrl.linear_ssv2, finetune_scvrl.linear, 100),
    ],
)
def test_something_something_has_a_frame_of_every_segment_and_no_flips(
    ssv2: Callable[[], Recipe], other: Callable[[], Recipe], epochs: int
) -> None:
    recipe, rest = ssv2(), other()
    method = method_of(recipe)
    assert method.clips == SegmentFrames(16)
    assert method.augmentation.flip_prob == 0.0
    assert recipe.train == dataclasses.replace(rest.train, epochs=epochs)
    classifier = describe_classifier(recipe)
    assert (classifier.views.clips, classifier.views.crops) == (1, "three")
    sampling = classifier.test_input.build_sampling(1)
    assert sampling == SegmentFrames(16, jitter=False)
    # The middle of every tenth of 160 frames.
    assert np.array_equal(sampling.sample(160, build_generator(0)).frames_NT, [10 * np.arange(16) + 5])
