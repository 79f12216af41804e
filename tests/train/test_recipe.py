import json
from typing import Any

import pytest

from unreel.config import config_from_dict, config_to_dict, hash_config
from unreel.methods.ccl import CCL
from unreel.methods.moco import MoCo
from unreel.models.c3d import C3DConfig
from unreel.train.recipe import OptimizerConfig, Recipe, ScheduleConfig, TrainConfig


@pytest.mark.parametrize("method", [MoCo.Config(backbone=C3DConfig(width=0.5)), CCL.Config(objective="mse")])
def test_a_recipe_survives_json(method: MoCo.Config | CCL.Config) -> None:
    recipe = Recipe(method=method, train=TrainConfig(steps=7))
    template = Recipe(method=type(method)())
    copy = config_from_dict(template, config_to_dict(recipe))
    assert copy == recipe
    assert hash_config(copy) == hash_config(recipe) != hash_config(template)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (TrainConfig(batch_size=1), "train.batch_size must be at least 2, got 1"),
        (TrainConfig(accumulate=0), "train.accumulate must be at least 1, got 0"),
        (TrainConfig(batch_size=10, accumulate=3), "does not divide into train.accumulate = 3"),
        (TrainConfig(chunk_clips=-1), "train.chunk_clips must be at least 0, got -1"),
        (TrainConfig(steps=-1), "train.steps must be at least 0, got -1"),
        (TrainConfig(epochs=0), "train.epochs must be at least 1, got 0"),
        (TrainConfig(log_every_steps=0), "train.log_every_steps must be at least 1"),
        (TrainConfig(keep_checkpoints=0), "train.keep_checkpoints must be at least 1"),
        (TrainConfig(optimizer=OptimizerConfig(lr=0.0)), "train.optimizer.lr must be positive, got 0.0"),
        (
            TrainConfig(optimizer=OptimizerConfig(lr_per_videos=-1)),
            "lr_per_videos must be at least 0, got -1",
        ),
    ],
)
def test_numbers_that_cannot_train_are_refused(train: TrainConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(method=MoCo.Config(), train=train)


def test_a_batch_in_parts_too_small_to_contrast_is_refused_with_what_leaves_it_whole() -> None:
    method = MoCo.Config(queue_length=0)
    with pytest.raises(
        ValueError, match=r"contrasts at least 2; .*, or train.chunk_clips, which saves memory"
    ):
        Recipe(method=method, train=TrainConfig(batch_size=4, accumulate=4))
    assert Recipe(method=method, train=TrainConfig(batch_size=4, chunk_clips=1)).train.accumulate == 1


def test_runs_from_before_chunks_keep_their_hashes() -> None:
    recipe = Recipe(method=MoCo.Config())
    values = config_to_dict(recipe)
    assert values["train"].pop("chunk_clips") == 0
    old = config_from_dict(Recipe(method=MoCo.Config()), values)
    chunked = Recipe(method=MoCo.Config(), train=TrainConfig(chunk_clips=4))
    assert hash_config(old) == hash_config(recipe) != hash_config(chunked)
    assert hash_config(TrainConfig()) == "ac8e5fe13df56e75"


def test_steps_may_replace_epochs() -> None:
    assert Recipe(method=MoCo.Config(), train=TrainConfig(epochs=0, steps=5)).train.steps == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay_every_epochs": 0.0}, "decay_every_epochs must be positive, got 0.0"),
        ({"warmup_epochs": -1.0}, "warmup_epochs must not be negative, got -1.0"),
        ({"warmup_factor": -0.1}, "warmup_factor must be a share .* got -0.1; 0.01 starts at a hundredth"),
        ({"warmup_factor": 1.5}, "warmup_factor must be a share of the highest rate"),
        ({"decay_at": ()}, r"decay_at must be shares .* got \(\)"),
        ({"decay_at": (0.0, 0.5)}, r"above 0, below 1 and rising, got \(0.0, 0.5\)"),
        ({"decay_at": (0.5, 1.0)}, r"above 0, below 1 and rising, got \(0.5, 1.0\)"),
        ({"decay_at": (0.8, 0.6)}, r"120 and 160 of 200 are \(0.6, 0.8\)"),
        ({"decay_at": (0.6, 0.6)}, "rising"),
        ({"decay_at": (120.0, 160.0)}, "must be shares of the training"),
        ({"decay_at": (float("nan"),)}, "must be shares of the training"),
    ],
)
def test_a_schedule_outside_the_training_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScheduleConfig(**settings)


@pytest.mark.parametrize(
    ("batch_size", "per_videos", "used"), [(512, 256, 0.2), (64, 256, 0.025), (64, 0, 0.1)]
)
def test_a_rate_for_so_many_videos_follows_the_batch(batch_size: int, per_videos: int, used: float) -> None:
    train = TrainConfig(batch_size=batch_size, optimizer=OptimizerConfig(lr=0.1, lr_per_videos=per_videos))
    assert train.highest_lr == pytest.approx(used)


def test_milestones_survive_json() -> None:
    schedule = ScheduleConfig(name="milestones", decay_at=(0.25, 0.5, 0.75))
    text = json.dumps(config_to_dict(schedule))
    assert config_from_dict(ScheduleConfig(), json.loads(text)) == schedule
