"""Recipes of MoCo on single frames: the frozen network through which CACL's transformer looks."""

from dataclasses import replace

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.data.clips import GridFrames
from unreel.data.loader import DataConfig
from unreel.methods.moco import MoCo
from unreel.models.resnet2d import ResNetConfig
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def ucf101() -> Recipe:
    """MoCo v1 on every 10th frame of UCF101, training split 1, as CACL trains its frame network.

    No number in the paper. Measured with this code: not yet.
    The training videos have about 1.8 million frames, hence about 180,000 images; two hundred passes over
    them in batches of 256 are 140,625 steps. The images of a batch are from as many videos, and a long video
    gives no more of them than a short one. Shuffle-BN normalises 32 images together, as each of MoCo's eight
    GPUs did.
    """
    return Recipe(
        method=MoCo.Config(
            clips=GridFrames(count=1, every=10),
            augmentation=ClipAugmentation(
                crop="random_resized",
                size_px=224,
                crop_area=(0.2, 1.0),
                flip_prob=0.5,
                jitter_prob=1.0,
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.4,
                grayscale_prob=0.2,
                blur_prob=0.0,
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
            ),
            backbone=ResNetConfig(depth=50),
            embedding_dim=128,
            hidden_dim=0,
            temperature=0.07,
            queue_length=65536,
            momentum=0.999,
            instance="frame",
            shuffle_bn_group=32,
        ),
        data=DataConfig(height=256, width=0),
        train=TrainConfig(
            steps=140_625,
            batch_size=256,
            optimizer=OptimizerConfig(name="sgd", lr=0.03, momentum=0.9, weight_decay=1e-4),
            schedule=ScheduleConfig(name="milestones", decay_at=(0.6, 0.8), decay_factor=0.1),
        ),
    )


def ucf101_v2() -> Recipe:
    """MoCo v2 on the same images: a head of two layers, a blur, a weaker jitter, cosine.

    No number in the paper, which uses v1. Measured with this code: not yet.
    """
    recipe = ucf101()
    assert isinstance(recipe.method, MoCo.Config)
    augmentation = replace(recipe.method.augmentation, jitter_prob=0.8, hue=0.1, blur_prob=0.5)
    return replace(
        recipe,
        method=replace(recipe.method, augmentation=augmentation, hidden_dim=2048, temperature=0.2),
        train=replace(recipe.train, schedule=ScheduleConfig(name="cosine")),
    )


def small() -> Recipe:
    """MoCo on single frames for two CPU cores: a narrow ResNet-18 on small pictures.

    No number in the paper. Measured with this code: not yet.
    Every other frame of a video is a negative, so that frames must be told apart by what is where in the
    scene. Nothing is flipped or recoloured: where things are, and their colours, are worth knowing here.
    """
    return Recipe(
        method=MoCo.Config(
            clips=GridFrames(count=1, every=3),
            augmentation=ClipAugmentation.only_crop(48, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            backbone=ResNetConfig(depth=18, width=0.25),
            embedding_dim=64,
            hidden_dim=128,
            temperature=0.1,
            queue_length=2048,
            momentum=0.99,
            instance="frame",
            shuffle_bn_group=16,
        ),
        data=DataConfig(height=48, width=64, cache="ram"),
        train=TrainConfig(
            steps=600,
            batch_size=64,
            optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-4, decay_norms=False),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=3),
        ),
    )
