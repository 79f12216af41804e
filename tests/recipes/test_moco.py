from unreel.methods.moco import MoCo
from unreel.models.c3d import C3DConfig
from unreel.recipes import moco


def test_the_ablation_of_cacl_has_the_numbers_of_the_paper() -> None:
    recipe = moco.ucf101()
    train, optimizer = recipe.train, recipe.train.optimizer
    assert recipe.method == MoCo.Config(backbone=C3DConfig())
    assert (train.epochs, train.batch_size, train.schedule.name) == (300, 64, "cosine")
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("sgd", 0.001, 5e-4)
    assert (recipe.data.height, recipe.data.width, recipe.data.min_frames) == (128, 171, 46)
    assert recipe.method.clips.reserved_frames == 46


def test_the_small_recipe_keeps_frames_in_memory_and_needs_no_queue() -> None:
    recipe = moco.small()
    assert isinstance(recipe.method, MoCo.Config)
    assert recipe.method.queue_length == 0
    assert recipe.method.clips.count == 2
    assert recipe.data.cache == "ram"
