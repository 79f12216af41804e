"""Recipes of SeCo, the baseline of VCLR: losses of single frames, and on which side the query stands."""

from pathlib import Path

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.data.loader import DataConfig
from unreel.methods.frame_settings import RANDOM_WEIGHTS
from unreel.methods.seco import SeCo
from unreel.models.resnet2d import ResNetConfig
from unreel.recipes.vclr import build_small_training, build_training
from unreel.train.recipe import Recipe


def kinetics400() -> Recipe:
    """SeCo with ResNet-50 on Kinetics-400, training split.

    Paper: VCLR, Table 1: 61.9 % with a linear SVM on the frozen network; Table 4: recall@1 on UCF101 69.5 %.
    Measured with this code: not yet.
    Numbers and initial weights are those of `vclr.kinetics400`, which follows SeCo in them: give the file of
    ImageNet's MoCo v2 with ``--method.initial-weights``.
    """
    return Recipe(method=SeCo.Config(), data=DataConfig(height=256, width=0), train=build_training(512))


def ucf101() -> Recipe:
    """SeCo with ResNet-50 on UCF101, training split 1: the recipe of Kinetics-400.

    The paper measures SeCo pre-trained on Kinetics-400 alone. Measured with this code: not yet.
    """
    return kinetics400()


def hacs() -> Recipe:
    """SeCo with ResNet-50 on HACS, training split: the recipe of Kinetics-400.

    The paper's numbers on HACS (VCLR, Table 10) are of R3D-18, for which SeCo's losses of single frames are
    not defined. Measured with this code: not yet.
    """
    return kinetics400()


def small() -> Recipe:
    """SeCo for two CPU cores: networks and numbers of `vclr.small`.

    Measured: benchmarks/results/sample_videos.md.
    """
    return Recipe(
        method=SeCo.Config(
            augmentation=ClipAugmentation.only_crop(40, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            backbone=ResNetConfig(depth=18, width=0.25),
            initial_weights=Path(RANDOM_WEIGHTS),
            embedding_dim=64,
            hidden_dim=128,
            queue_length=0,
            momentum=0.9,
            shuffle_bn_group=32,
        ),
        data=DataConfig(height=48, width=64, cache="ram"),
        train=build_small_training(),
    )
