"""The numbers of VCLR's fine-tuning (released configurations), and of CoCLR's for S3D."""

from collections.abc import Callable

import numpy as np
import pytest

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD
from unreel.data.clips import RandomClips, UniformClips
from unreel.data.segments import SegmentFrames
from unreel.methods.supervised import Supervised
from unreel.models.resnet2d import ResNetConfig
from unreel.models.s3d import S3DConfig
from unreel.recipes import finetune_vclr
from unreel.seeding import build_generator
from unreel.train.export import describe_classifier, describe_encoder
from unreel.train.recipe import Recipe
from unreel.train.schedule import learning_rate

TABLE = {
    # segments, batch, lr, epochs, first and second drop, weight decay, clip, dropout, deviation of fc
    "ucf101_tsn": (3, 256, 0.01, 300, 120, 240, 5e-4, 40.0, 0.4, 0.001),
    "hmdb51_tsn": (8, 256, 0.025, 50, 20, 40, 1e-4, 40.0, 0.4, 0.01),
    "ssv2_tsn": (8, 128, 0.02, 50, 20, 40, 1e-4, 40.0, 0.5, 0.01),
    "ssv2_tsm": (8, 48, 0.0075, 50, 20, 40, 5e-4, 20.0, 0.5, 0.001),
    "activitynet_tsn": (8, 64, 0.01, 50, 20, 40, 1e-4, 40.0, 0.8, 0.01),
}
"""The released configurations: what is trained."""

TESTS = {
    # frames, crops, side of the crop, what is averaged
    "ucf101_tsn": (25, "center", 256, "logits"),
    "hmdb51_tsn": (8, "center", 256, "logits"),
    "ssv2_tsn": (8, "ten", 224, "logits"),
    "ssv2_tsm": (8, "center", 224, "probabilities"),
    "activitynet_tsn": (25, "three", 256, "logits"),
}
"""The released configurations: what is tested."""


def recipe_of(name: str) -> Recipe:
    build: Callable[[], Recipe] = getattr(finetune_vclr, name)
    return build()


def method_of(recipe: Recipe) -> Supervised.Config:
    assert isinstance(recipe.method, Supervised.Config)
    return recipe.method


def rate(recipe: Recipe, epoch: int) -> float:
    train = recipe.train
    return learning_rate(
        train.schedule, train.highest_lr, step=epoch * 37, num_steps=train.epochs * 37, steps_per_epoch=37
    )


@pytest.mark.parametrize("name", TABLE)
def test_training_has_the_numbers_of_the_released_configuration(name: str) -> None:
    recipe = recipe_of(name)
    method, train = method_of(recipe), recipe.train
    segments, batch, lr, epochs, first, second, decay, clip, dropout, deviation = TABLE[name]
    assert method.clips == SegmentFrames(segments)
    assert (train.batch_size, train.epochs) == (batch, epochs)
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.lr_per_videos) == ("sgd", lr, batch)  # decision V13
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.clip_norm) == (0.9, decay, clip)
    assert [rate(recipe, epoch) for epoch in (0, first - 1, first, second - 1, second, epochs - 1)] == (
        pytest.approx([lr, lr, lr * 0.1, lr * 0.1, lr * 0.01, lr * 0.01])
    )
    assert (method.dropout_prob, method.init_std) == (dropout, deviation)
    assert (method.is_frozen, method.input_from) == (False, "recipe")


@pytest.mark.parametrize("name", TABLE)
def test_frames_are_prepared_as_the_released_configuration_does(name: str) -> None:
    recipe = recipe_of(name)
    augmentation = recipe.method.augmentation
    assert (recipe.data.height, recipe.data.width) == (256, 0)  # short side 256
    assert augmentation.size_px == 224
    assert (augmentation.mean, augmentation.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert (augmentation.jitter_prob, augmentation.grayscale_prob, augmentation.blur_prob) == (0.0, 0.0, 0.0)
    if name.startswith("ssv2"):
        assert (augmentation.crop, augmentation.crop_scales) == ("multi_scale", (1.0, 0.875, 0.75, 0.66))
        assert augmentation.crop_places == (13 if name == "ssv2_tsm" else 5)
        assert augmentation.flip_prob == 0.0  # decision V11
    else:
        assert (augmentation.crop, augmentation.crop_area) == ("random_resized", (0.08, 1.0))
        assert augmentation.crop_aspect == (0.75, 4 / 3)
        assert augmentation.flip_prob == 0.5


@pytest.mark.parametrize("name", TESTS)
def test_the_middles_of_segments_are_tested(name: str) -> None:
    classifier = describe_classifier(recipe_of(name))
    spec, views = classifier.test_input, classifier.views
    frames, crops, crop_px, average = TESTS[name]
    assert (views.clips, views.crops, views.average) == (1, crops, average)
    assert (spec.sampling, spec.num_frames, spec.crop_px) == ("segments", frames, crop_px)
    assert (spec.decode_height, spec.decode_width) == (256, 0)
    sampling = spec.build_sampling(views.clips)
    assert sampling == SegmentFrames(frames, jitter=False)
    # floor(i * F / S + F / (2 S)) of 177 frames
    expected = [(2 * place + 1) * 177 // (2 * frames) for place in range(frames)]
    assert np.array_equal(sampling.sample(177, build_generator(0)).frames_NT, [expected])


@pytest.mark.parametrize("name", TABLE)
def test_only_tsm_shifts_leaves_features_out_of_frames_and_has_groups(name: str) -> None:
    method, is_tsm = method_of(recipe_of(name)), name == "ssv2_tsm"
    assert method.backbone == ResNetConfig(depth=50, temporal_shift=is_tsm)
    assert isinstance(method.backbone, ResNetConfig)
    assert method.backbone.shift_divisor == 8  # C / 8 of the channels either way
    assert method.is_dropout_per_frame == is_tsm
    assert method.grouping == ("tsm" if is_tsm else "uniform")
    encoder = describe_encoder(recipe_of(name)).input
    # A network of single frames is fed single frames; one that looks at neighbours is fed its segments.
    assert (encoder.sampling, encoder.num_frames) == (("segments", 8) if is_tsm else ("clip", 1))


def test_s3d_is_fine_tuned_as_in_coclr() -> None:
    recipe = finetune_vclr.ucf101_s3d()
    method, train, optimizer = method_of(recipe), recipe.train, recipe.train.optimizer
    assert method.backbone == S3DConfig()
    assert method.clips == RandomClips(count=1, num_frames=32, frame_stride=1)
    assert method.augmentation.size_px == 128
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adam", 1e-3, 1e-3)
    assert method.backbone_lr_factor == 0.1
    assert (method.dropout_prob, method.grouping) == (0.9, "uniform")
    assert train.epochs == 500
    assert [rate(recipe, epoch) for epoch in (0, 399, 400, 449, 450)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    )


def test_s3d_is_tested_on_ten_crops() -> None:
    classifier = describe_classifier(finetune_vclr.ucf101_s3d())
    views, spec = classifier.views, classifier.test_input
    assert (views.clips, views.crops, views.num_crops, views.average) == (10, "ten", 10, "probabilities")
    assert spec.crop_px == 128
    assert spec.build_sampling(views.clips) == UniformClips(count=10, num_frames=32, frame_stride=1)
