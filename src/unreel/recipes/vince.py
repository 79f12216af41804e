"""Recipes of VINCE, a baseline of VCLR: contrast of single frames, any two of a video being alike."""

from pathlib import Path

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.data.frame_pairs import RandomFramePairs
from unreel.data.loader import DataConfig
from unreel.methods.frame_settings import RANDOM_WEIGHTS
from unreel.methods.vince import VINCE
from unreel.models.resnet2d import ResNetConfig
from unreel.recipes.vclr import build_small_training
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def kinetics400() -> Recipe:
    """VINCE with ResNet-50 on Kinetics-400, training split.

    Paper: VCLR, Table 1: 49.1 % with a linear SVM on the frozen network. Measured with this code: not yet.
    VINCE itself trains on videos of its own from the web; batch (64 videos of four frames), rate, queue,
    temperature, width of the embedding and 200 epochs are those of its released code, the rate divided by 10
    at epochs 120 and 160, as MoCo does. It starts from random weights, hence the word "random". The
    augmentation is VCLR's.
    """
    return Recipe(
        method=VINCE.Config(initial_weights=Path(RANDOM_WEIGHTS)),
        data=DataConfig(height=256, width=0),
        train=TrainConfig(
            epochs=200,
            batch_size=64,
            optimizer=OptimizerConfig(name="sgd", lr=0.03, momentum=0.9, weight_decay=1e-4),
            schedule=ScheduleConfig(name="milestones", decay_at=(0.6, 0.8)),
        ),
    )


def small() -> Recipe:
    """VINCE for two CPU cores: networks and numbers of `vclr.small`.

    Measured: benchmarks/results/sample_videos.md.
    """
    return Recipe(
        method=VINCE.Config(
            clips=RandomFramePairs(num_pairs=3),
            augmentation=ClipAugmentation.only_crop(40, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            backbone=ResNetConfig(depth=18, width=0.25),
            initial_weights=Path(RANDOM_WEIGHTS),
            hidden_dim=128,
            queue_length=0,
            momentum=0.9,
            shuffle_bn_group=32,
        ),
        data=DataConfig(height=48, width=64, cache="ram"),
        train=build_small_training(),
    )
