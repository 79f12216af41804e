"""Recipes of CVRL, two clips of a video against clips of others: what SCVRL is measured against.

Sources of what SCVRL's paper does not say are marked: [released code], the authors' own, in
tensorflow/models, official/projects/video_ssl.
"""

import dataclasses

from unreel.data.interval_pairs import IntervalPairs
from unreel.methods.cvrl import CVRL
from unreel.models.c3d import C3DConfig
from unreel.models.r3d_50 import R3D50Config
from unreel.recipes.scvrl import (
    build_data,
    build_small_augmentation,
    build_small_data,
    build_small_training,
    build_training,
)
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def kinetics400() -> Recipe:
    """CVRL with MViT-B on Kinetics-400, training split, 500 epochs: as `scvrl.kinetics400`, without shuffles.

    Paper: no number of so many epochs. Measured with this code: not yet.
    """
    return Recipe(method=CVRL.Config(), data=build_data(), train=build_training(500))


def kinetics400_100epochs() -> Recipe:
    """CVRL with MViT-B on Kinetics-400 for 100 epochs, SCVRL's baseline.

    Paper (SCVRL): linear 11.4 % on Something-Something v2 (Table 6), 12.1 % on Diving-48 (Table 4), 67.4 % on
    UCF101 and 42.4 % on HMDB51 (Table 5); fine-tuned 45.3 %, 52.6 %, 83.0 % and 54.6 %. Measured with this
    code: not yet.
    """
    return Recipe(method=CVRL.Config(), data=build_data(), train=build_training(100))


def kinetics400_mini() -> Recipe:
    """CVRL with MViT-B for 50 epochs on the quarter of Kinetics-400 of `scvrl.kinetics400_mini`.

    Paper (SCVRL): Table 8, 70.3 % on UCF101 and 41.9 % on Something-Something v2; with cubes of three frames,
    ``--method.backbone.temporal-kernel 3``, 72.6 % and 41.7 %. Measured with this code: not yet.
    """
    data = dataclasses.replace(build_data(), videos_per_class=150)
    return Recipe(method=CVRL.Config(), data=data, train=build_training(50))


def kinetics400_r3d_50() -> Recipe:
    """CVRL with its own network, R3D-50, on Kinetics-400, training split.

    Paper: 92.9 % on UCF101 and 67.9 % on HMDB51 after fine-tuning, 89.8 % and 58.3 % linear, as SCVRL's Table
    5 repeats them. Measured with this code: not yet.
    16 frames two apart, batches of 1024, SGD with rate 0.32 and weight decay 1e-6, five epochs of warm-up, a
    cosine, 200 epochs, batch normalisation over all devices, the batch's other videos as negatives at
    temperature 0.1 [released code]. There both clips go through the one network and both get gradient, of
    2046 negatives each; here the keys get none, though they come from the same weights (momentum 0), and
    every clip has 1023. Its head has three hidden layers with batch normalisation, ours one without.
    """
    return Recipe(
        method=CVRL.Config(
            clips=IntervalPairs(num_frames=16, frame_stride=2),
            backbone=R3D50Config(),
            queue_length=0,
            momentum=0.0,
            shuffle_bn_group=0,
        ),
        data=build_data(),
        train=TrainConfig(
            epochs=200,
            batch_size=1024,
            optimizer=OptimizerConfig(name="sgd", lr=0.32, momentum=0.9, weight_decay=1e-6),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=5),
            batch_norm="synchronized",
        ),
    )


def small() -> Recipe:
    """CVRL for two CPU cores: `scvrl.small` without shuffles.

    Measured: benchmarks/results/sample_videos.md.
    """
    return Recipe(
        method=CVRL.Config(
            clips=IntervalPairs(num_frames=8, frame_stride=3),
            augmentation=build_small_augmentation(),
            backbone=C3DConfig(width=0.125),
            embedding_dim=64,
            hidden_dim=128,
            queue_length=0,
            momentum=0.9,
        ),
        data=build_small_data(),
        train=build_small_training(),
    )
