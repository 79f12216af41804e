from unreel.config import config_to_dict
from unreel.methods.seco import SeCo
from unreel.recipes import seco, vclr


def test_seco_has_the_numbers_of_its_released_code() -> None:
    """4 x 128 videos, rate 0.1 for 256 of them; queue, temperature and momentum as in VCLR."""
    recipe = seco.kinetics400()
    method = recipe.method
    assert isinstance(method, SeCo.Config)
    assert (recipe.train.batch_size, recipe.train.highest_lr, recipe.train.epochs) == (512, 0.2, 400)
    assert (method.queue_length, method.temperature, method.momentum) == (131_072, 0.1, 0.999)
    assert seco.ucf101() == seco.hacs() == recipe


def test_seco_differs_from_vclr_in_frames_and_losses_alone() -> None:
    for mine, theirs in ((seco.kinetics400(), vclr.kinetics400()), (seco.small(), vclr.small())):
        left, right = config_to_dict(mine), config_to_dict(theirs)
        own = set(left["method"]) ^ set(right["method"])
        assert own == {"video_weight", "official_order_norm"}
        for name in own:
            right["method"].pop(name)
        assert left["method"].pop("clips") != right["method"].pop("clips")
        assert left == right
