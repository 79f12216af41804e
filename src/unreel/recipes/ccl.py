"""Recipes of cycle-contrastive learning (CCL)."""

from unreel.augment.compose import ClipAugmentation
from unreel.data.clips import FramePerPart
from unreel.data.loader import DataConfig
from unreel.methods.ccl import CCL
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def ucf101() -> Recipe:
    """CCL as in the paper's retrieval experiments: UCF101, training split 1.

    Paper: Tables 2 and 3; four GPUs, about half a day. Measured with this code: not yet.
    The rate ends at 1e-8, so in effect the first 40 epochs train (decision L10).
    """
    return Recipe(
        method=CCL.Config(),
        data=DataConfig(height=128, width=171),
        train=TrainConfig(
            epochs=100,
            batch_size=48,
            optimizer=OptimizerConfig(name="sgd", lr=1e-4, momentum=0.9, weight_decay=0.005),
            schedule=ScheduleConfig(name="step", decay_every_epochs=20, decay_factor=0.1),
        ),
    )


def kinetics400() -> Recipe:
    """CCL as in the paper's recognition experiments: Kinetics-400, training split.

    Paper: Tables 4 to 6; four GPUs, about eight days. Measured with this code: not yet.
    """
    return Recipe(
        method=CCL.Config(),
        data=DataConfig(height=128, width=171),
        train=TrainConfig(
            epochs=80,
            batch_size=48,
            optimizer=OptimizerConfig(name="sgd", lr=0.01, momentum=0.9, weight_decay=1e-4),
            schedule=ScheduleConfig(name="step", decay_every_epochs=20, decay_factor=0.1),
        ),
    )


def ucf101_mse() -> Recipe:
    """CCL's baseline on UCF101: pull a video to its frames and push nothing away.

    Paper: row MSE of the tables. Measured with this code: not yet.
    """
    recipe = ucf101()
    return Recipe(method=CCL.Config(objective="mse"), data=recipe.data, train=recipe.train)


def small() -> Recipe:
    """CCL for two CPU cores: a narrow network, small pictures, sharper contrast.

    For a first try on a few hundred short videos. With a temperature of 1, as printed, a small batch gives
    hardly any gradient. Measured: benchmarks/results/sample_videos.md.
    """
    return Recipe(
        method=CCL.Config(
            clips=FramePerPart(num_frames=8, span_frames=24),
            augmentation=ClipAugmentation.only_crop(32, mean=(0.45,) * 3, std=(0.225,) * 3),
            backbone=R3DPlus1Config(width=0.25),
            embedding_dim=64,
            hidden_dim=128,
            temperature=0.1,
            frame_temperature=0.1,
            video_temperature=0.1,
            penalty_scale="mean",
        ),
        data=DataConfig(height=36, width=48, cache="ram"),
        train=TrainConfig(
            steps=1000,
            batch_size=32,
            optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=1e-4, decay_norms=False),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=3),
        ),
    )
