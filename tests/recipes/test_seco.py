import pytest

from unreel.config import config_to_dict
from unreel.data.segments import OppositeHalves
from unreel.methods.vclr import VCLR
from unreel.recipes import seco, vclr
from unreel.train.recipe import Recipe


@pytest.mark.parametrize(
    ("recipe", "ancestor"),
    [(seco.kinetics400(), vclr.kinetics400()), (seco.small(), vclr.small())],
    ids=["kinetics400", "small"],
)
def test_seco_is_vclr_with_the_losses_and_the_order_of_single_frames(
    recipe: Recipe, ancestor: Recipe
) -> None:
    method = recipe.method
    assert isinstance(method, VCLR.Config)
    assert method.losses == ("inter", "intra", "order")
    assert (method.clips, method.order_task) == (OppositeHalves(num_others=2), "query")
    assert not method.has_tuples
    left, right = config_to_dict(recipe), config_to_dict(ancestor)
    for name in ("clips", "video_weight", "order_task"):
        assert left["method"].pop(name) != right["method"].pop(name)
    assert left == right


def test_seco_has_the_numbers_of_its_released_code() -> None:
    """4 x 128 videos, rate 0.1 for 256 of them; queue, temperature and momentum as in VCLR."""
    recipe = seco.kinetics400()
    method = recipe.method
    assert isinstance(method, VCLR.Config)
    assert (recipe.train.batch_size, recipe.train.optimizer.lr, recipe.train.epochs) == (512, 0.2, 400)
    assert (method.queue_length, method.temperature, method.momentum) == (131_072, 0.1, 0.999)
    assert (method.num_frames, method.intra_form) == (3, "official")
