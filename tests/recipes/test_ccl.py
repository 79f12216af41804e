from unreel.methods.ccl import CCL
from unreel.models.r3d_plus1 import R3DPlus1Config
from unreel.recipes import ccl
from unreel.train.schedule import learning_rate


def rate(epoch: int) -> float:
    train = ccl.ucf101().train
    return learning_rate(
        train.schedule, train.optimizer.lr, step=epoch * 198, num_steps=100 * 198, steps_per_epoch=198
    )


def test_the_retrieval_experiments_have_the_numbers_of_the_paper() -> None:
    recipe = ccl.ucf101()
    train, optimizer = recipe.train, recipe.train.optimizer
    assert (train.epochs, train.batch_size) == (100, 48)
    assert (optimizer.name, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        "sgd",
        1e-4,
        0.9,
        0.005,
    )
    assert (recipe.data.height, recipe.data.width) == (128, 171)
    assert isinstance(recipe.method, CCL.Config)
    assert recipe.method.backbone == R3DPlus1Config()
    assert rate(0) == 1e-4
    assert rate(99) < 1.01e-8


def test_the_recognition_experiments_have_the_numbers_of_the_paper() -> None:
    recipe = ccl.kinetics400()
    optimizer = recipe.train.optimizer
    assert (recipe.train.epochs, recipe.train.batch_size) == (80, 48)
    assert (optimizer.lr, optimizer.weight_decay) == (0.01, 1e-4)
    assert recipe.method == CCL.Config()


def test_the_baseline_differs_in_its_objective_alone() -> None:
    recipe, baseline = ccl.ucf101(), ccl.ucf101_mse()
    assert baseline.method == CCL.Config(objective="mse")
    assert (baseline.data, baseline.train) == (recipe.data, recipe.train)
