"""Recipes of localisation in time by a boundary-matching network."""

from unreel.methods.bmn import Localization
from unreel.models.bmn import BMNConfig
from unreel.train.localization import LocalizationRecipe
from unreel.train.recipe import OptimizerConfig, ScheduleConfig, TrainConfig


def activitynet() -> LocalizationRecipe:
    """BMN on ActivityNet v1.3, training split: class scores of every 16th frame at 100 positions.

    Paper: VCLR, Table 5: AUC 65.5 %, AR@100 73.8 %. Measured with this code: not yet.
    Make the vectors with the fine-tuned network of single frames (``unreel localize features --model RUN
    --every-frames 16``); those of the encoder itself (``--encoder``) are the other reading of the paper
    (decision V15).
    Adam at 1e-3 with weight decay 1e-4, batch 16, nine epochs, a tenth of the rate from the seventh on:
    settings of the released code.
    """
    return LocalizationRecipe(
        method=Localization.Config(),
        train=TrainConfig(
            epochs=9,
            batch_size=16,
            optimizer=OptimizerConfig(name="adam", lr=1e-3, weight_decay=1e-4),
            schedule=ScheduleConfig(name="milestones", decay_at=(7 / 9,)),
        ),
    )


def small() -> LocalizationRecipe:
    """BMN for two CPU cores and a few hundred short videos: narrow, 50 positions, any vectors.

    What does not change in a video is taken away from its vectors. Measured, with fewer epochs:
    benchmarks/results/grid_localization.md.
    """
    return LocalizationRecipe(
        method=Localization.Config(
            network=BMNConfig(
                num_positions=50,
                hidden_1d=64,
                hidden_2d=32,
                hidden_3d=64,
                num_groups=1,
                num_samples=16,
                samples_per_bin=2,
                normalize_over_time=True,
            )
        ),
        train=TrainConfig(
            epochs=30,
            batch_size=16,
            optimizer=OptimizerConfig(name="adam", lr=1e-3, weight_decay=1e-4),
            schedule=ScheduleConfig(name="cosine", warmup_epochs=1),
            checkpoint_every_steps=100,
        ),
    )
