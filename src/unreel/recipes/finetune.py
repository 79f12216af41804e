"""Recipes of fine-tuning that take any encoder, with clips, sizes and normalisation as it knows them.

The protocols of the papers are in finetune_cacl, finetune_ccl, finetune_scvrl and finetune_vclr.
"""

import dataclasses

from unreel.augment.compose import ClipAugmentation
from unreel.data.loader import DataConfig
from unreel.methods.supervised import Supervised
from unreel.models.c3d import C3DConfig
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def full() -> Recipe:
    """All layers of any encoder, a hundred passes, for a GPU and a few thousand labelled videos.

    No paper's protocol: a default to start from. Random resized crops and flips; turn flips off where left
    and right are classes (``--method.augmentation.flip-prob 0``). Measured: not yet.
    """
    return Recipe(
        method=Supervised.Config(
            augmentation=build_crop_and_flip(), dropout_prob=0.5, init_std=0.01, input_from="encoder"
        ),
        data=DataConfig(),
        train=TrainConfig(
            epochs=100,
            batch_size=64,
            optimizer=OptimizerConfig(
                name="adamw", lr=1e-4, lr_per_videos=64, weight_decay=0.05, decay_norms=False, clip_norm=1.0
            ),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=5, warmup_factor=0.01),
        ),
    )


def linear() -> Recipe:
    """A linear probe with augmentation on any encoder, which stays as it is.

    Where the protocol has no augmentation, `unreel evaluate linear` on cached features takes seconds instead.
    Rate, schedule and length are those of SCVRL's linear evaluation. Measured: not yet.
    """
    return Recipe(
        method=Supervised.Config(
            augmentation=build_crop_and_flip(), is_frozen=True, init_std=0.01, input_from="encoder"
        ),
        data=DataConfig(),
        train=TrainConfig(
            epochs=100,
            batch_size=256,
            optimizer=OptimizerConfig(lr=0.1, lr_per_videos=256, weight_decay=0.0),
            schedule=ScheduleConfig(name="cosine"),
        ),
    )


def small() -> Recipe:
    """All layers of any encoder, for two CPU cores and a few hundred labelled videos.

    Videos stay decoded in memory; crops at random places and no flips, as the direction of a motion may be
    its class. Measured: benchmarks/results/jhmdb.md.
    """
    recipe = full()
    return Recipe(
        method=Supervised.Config(
            augmentation=ClipAugmentation.only_crop(112),
            backbone=C3DConfig(width=0.125),
            dropout_prob=0.2,
            init_std=0.01,
            input_from="encoder",
        ),
        data=DataConfig(cache="ram"),
        train=TrainConfig(
            epochs=40,
            batch_size=16,
            optimizer=dataclasses.replace(recipe.train.optimizer, lr=1e-3, lr_per_videos=0),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=2),
            checkpoint_every_steps=200,
        ),
    )


def build_crop_and_flip() -> ClipAugmentation:
    """Return random resized crops and flips, without any change of colour."""
    return ClipAugmentation(
        crop="random_resized",
        crop_area=(0.3, 1.0),
        jitter_prob=0.0,
        grayscale_prob=0.0,
        blur_prob=0.0,
    )
