"""Recipes of VCLR on single frames of a 2D network."""

from pathlib import Path

from unreel.augment.compose import IMAGENET_MEAN, IMAGENET_STD, ClipAugmentation
from unreel.data.loader import DataConfig
from unreel.data.segments import SegmentPairs
from unreel.methods.frame_settings import RANDOM_WEIGHTS
from unreel.methods.vclr import VCLR
from unreel.models.resnet2d import ResNetConfig
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def kinetics400() -> Recipe:
    """VCLR with ResNet-50 on Kinetics-400, training split.

    Paper: Table 1: 64.1 % with a linear SVM on the frozen network, mean of 30 frames; Table 4: recall@1 on
    UCF101 70.6 %. Measured with this code: not yet.
    The published network starts from ImageNet's MoCo v2, 200 epochs, heads included: give its file with
    ``--method.initial-weights`` (decision V1). Rate, temperature, queues, momentum and warm-up are those of
    the released code, as the paper has none of them (decisions V6 and V7). The released videos are cut or
    padded to 300 frames; here the segments are of the whole video. The rate is 0.1 per 256 videos of a batch,
    so 0.2 for these 512, and follows ``--train.batch-size``.
    """
    return Recipe(method=VCLR.Config(), data=DataConfig(height=256, width=0), train=build_training(512))


def ucf101() -> Recipe:
    """VCLR with ResNet-50 on UCF101, training split 1: the recipe of Kinetics-400.

    Paper: Table 4: recall@1 46.8 %. Measured with this code: not yet.
    With 9,537 videos the queue of 131,072 frame keys reaches back 4.6 epochs, that of video keys 13.7;
    earlier keys of a video are not among its negatives here.
    """
    return kinetics400()


def hacs() -> Recipe:
    """VCLR with ResNet-50 on HACS, training split: the recipe of Kinetics-400.

    The paper's numbers on HACS (Table 10) are of R3D-18 on clips, by a recipe that it does not give, and not
    to be compared. Measured with this code: not yet.
    """
    return kinetics400()


def small() -> Recipe:
    """VCLR for two CPU cores: a narrow ResNet-18, small pictures, contrast inside the batch.

    From random weights, on purpose. Nothing is flipped or recoloured: where things are, and their colours,
    are worth knowing here. The momentum is low because training is short. A network of single frames tells
    scenes apart and not motions. Measured: benchmarks/results/sample_videos.md.
    """
    return Recipe(
        method=VCLR.Config(
            clips=SegmentPairs(num_segments=3),
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


def build_training(batch_size: int) -> TrainConfig:
    """Return how VCLR and SeCo train: the rate follows the batch, 0.1 for 256 videos (decision V6)."""
    return TrainConfig(
        epochs=400,
        batch_size=batch_size,
        optimizer=OptimizerConfig(name="sgd", lr=0.1, lr_per_videos=256, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleConfig(name="cosine", warmup_epochs=5, warmup_factor=0.01, final_lr=1e-6),
    )


def build_small_training() -> TrainConfig:
    """Return how the small recipes of VCLR, SeCo and VINCE train."""
    return TrainConfig(
        steps=300,
        batch_size=32,
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-4, decay_norms=False),
        schedule=ScheduleConfig(name="cosine", warmup_epochs=3),
    )
