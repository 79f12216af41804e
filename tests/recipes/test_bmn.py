import pytest

from unreel.models.bmn import BMN
from unreel.recipes.bmn import activitynet, small
from unreel.train.localization import LocalizationRecipe
from unreel.train.schedule import learning_rate


def test_activitynet_has_the_numbers_of_the_released_code() -> None:
    recipe = activitynet()
    network, train = recipe.method.network, recipe.train
    assert (network.num_positions, network.num_samples, network.samples_per_bin, network.context) == (
        100,
        32,
        3,
        0.5,
    )
    assert (network.hidden_1d, network.hidden_2d, network.hidden_3d, network.num_groups) == (256, 128, 512, 4)
    assert not network.normalize_over_time
    assert (recipe.method.regression_weight, recipe.method.classification_weight) == (10.0, 1.0)
    assert (train.epochs, train.batch_size) == (9, 16)
    assert (train.optimizer.name, train.optimizer.lr, train.optimizer.weight_decay) == ("adam", 1e-3, 1e-4)


@pytest.mark.parametrize(("epoch", "lr"), [(0, 1e-3), (6.99, 1e-3), (7.01, 1e-4), (8.9, 1e-4)])
def test_the_rate_drops_after_seven_of_nine_epochs(epoch: float, lr: float) -> None:
    train = activitynet().train
    found = learning_rate(
        train.schedule, train.highest_lr, step=round(epoch * 600), num_steps=5400, steps_per_epoch=600
    )
    assert found == pytest.approx(lr)


def test_small_is_small_and_takes_any_vectors() -> None:
    from dataclasses import replace

    recipe = small()
    assert isinstance(recipe, LocalizationRecipe)
    network = BMN(replace(recipe.method.network, num_features=77))
    assert sum(parameter.numel() for parameter in network.parameters()) < 200_000
    assert recipe.method.network.normalize_over_time
