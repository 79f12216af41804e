from pathlib import Path

from unreel.data.frame_pairs import RandomFramePairs
from unreel.methods.vince import VINCE
from unreel.models.resnet2d import ResNetConfig
from unreel.recipes import vclr, vince


def test_vince_has_the_numbers_of_its_released_code_on_the_network_of_vclr() -> None:
    """256 frames, four of each video; rate 0.03, divided by 10 at epochs 120 and 160 of 200."""
    recipe = vince.kinetics400()
    method = recipe.method
    assert isinstance(method, VINCE.Config)
    assert method.backbone == ResNetConfig(depth=50)
    assert method.clips == RandomFramePairs(num_pairs=4)
    assert (recipe.train.batch_size, recipe.train.optimizer.lr, recipe.train.epochs) == (64, 0.03, 200)
    assert (recipe.train.schedule.name, recipe.train.schedule.decay_at) == ("milestones", (0.6, 0.8))
    assert method.initial_weights == Path("random")


def test_the_small_recipe_trains_as_that_of_vclr() -> None:
    mine, theirs = vince.small(), vclr.small()
    assert (mine.train, mine.data) == (theirs.train, theirs.data)
    assert (mine.method.backbone, mine.method.augmentation) == (
        theirs.method.backbone,
        theirs.method.augmentation,
    )
