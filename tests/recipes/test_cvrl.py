from dataclasses import replace
from pathlib import Path

import pytest

from tests.corpus import shrink_recipe
from unreel.data.interval_pairs import IntervalPairs
from unreel.methods.cvrl import CVRL
from unreel.methods.scvrl import SCVRL
from unreel.models.r3d_50 import R3D50Config
from unreel.recipes import cvrl, scvrl
from unreel.train.pretrain import pretrain
from unreel.train.recipe import Recipe

PAIRS = {
    name: (getattr(cvrl, name)(), getattr(scvrl, name)())
    for name in ("kinetics400", "kinetics400_100epochs", "kinetics400_mini", "small")
}


@pytest.mark.parametrize(("recipe", "other"), PAIRS.values(), ids=PAIRS)
def test_cvrl_and_scvrl_differ_in_shuffles_and_in_the_choice_of_the_first_clip_alone(
    recipe: Recipe, other: Recipe
) -> None:
    assert (recipe.data, recipe.train) == (other.data, other.train)
    mine, theirs = recipe.method, other.method
    assert isinstance(mine, CVRL.Config)
    assert isinstance(theirs, SCVRL.Config)
    names = ("augmentation", "backbone", "embedding_dim", "hidden_dim", "queue_length", "momentum")
    for name in (*names, "exclude_own_keys", "shuffle_bn_group"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.temperature == theirs.visual_temperature
    assert isinstance(mine.clips, IntervalPairs)
    for name in ("num_frames", "frame_stride", "min_gap", "short_video"):
        assert getattr(mine.clips, name) == getattr(theirs.clips, name), name
    assert mine.cautions() == ()


def test_the_network_of_cvrl_is_trained_as_its_authors_train_it() -> None:
    recipe = cvrl.kinetics400_r3d_50()
    method = recipe.method
    assert isinstance(method, CVRL.Config)
    assert (method.backbone, method.temperature) == (R3D50Config(), 0.1)
    assert method.clips == IntervalPairs(num_frames=16, frame_stride=2)
    assert (method.queue_length, method.momentum, method.shuffle_bn_group) == (0, 0.0, 0)
    assert (method.embedding_dim, method.hidden_dim) == (128, 2048)
    train = recipe.train
    assert (train.epochs, train.batch_size, train.batch_norm) == (200, 1024, "synchronized")
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("sgd", 0.32, 1e-6)
    assert (train.schedule.name, train.schedule.warmup_epochs) == ("cosine", 5)


def test_two_runs_of_one_seed_agree_and_another_seed_does_not(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(cvrl.small(), corpus, steps=2)
    losses = []
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        seeded = replace(recipe, train=replace(recipe.train, seed=seed))
        losses.append(pretrain(seeded, tmp_path / name, recipe_name="cvrl.small").metrics["loss"])
    assert losses[0] == losses[1] != losses[2]
