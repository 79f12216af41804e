"""Recipes of video MoCo (V-MoCo), the contrastive baseline of CACL."""

from unreel.augment.compose import ClipAugmentation
from unreel.data.clips import RandomClips
from unreel.data.loader import DataConfig
from unreel.methods.moco import MoCo
from unreel.models.c3d import C3DConfig
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


def ucf101() -> Recipe:
    """V-MoCo as CACL trains it for its ablations: C3D on UCF101, training split 1.

    Paper: CACL, Table 1, row V-MoCo: recall@1 30.3 %. Measured with this code: not yet.
    Rate and weight decay are the paper's; the released script has 0.01 and 1e-4 (decision A5).
    """
    return Recipe(
        method=MoCo.Config(backbone=C3DConfig()),
        data=DataConfig(height=128, width=171, min_frames=46),
        train=TrainConfig(
            epochs=300,
            batch_size=64,
            optimizer=OptimizerConfig(name="sgd", lr=0.001, momentum=0.9, weight_decay=5e-4),
            schedule=ScheduleConfig(name="cosine"),
        ),
    )


def small() -> Recipe:
    """V-MoCo for two CPU cores: a narrow network, small pictures, contrast inside the batch.

    For a first try on a few hundred short videos. Nothing is flipped or recoloured: whether something moves
    left or right is worth knowing here, and colour tells the scenes apart. Measured:
    benchmarks/results/sample_videos.md.
    """
    return Recipe(
        method=MoCo.Config(
            clips=RandomClips(count=2, num_frames=8, frame_stride=3),
            augmentation=ClipAugmentation.only_crop(40, mean=(0.45,) * 3, std=(0.225,) * 3),
            backbone=C3DConfig(width=0.125),
            embedding_dim=64,
            hidden_dim=128,
            temperature=0.1,
            queue_length=0,
        ),
        data=DataConfig(height=48, width=64, cache="ram"),
        train=TrainConfig(
            steps=1000,
            batch_size=32,
            optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-4, decay_norms=False),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=3),
        ),
    )
