"""Recipes of SeCo, the baseline of VCLR: losses of single frames, and on which side the query stands."""

import dataclasses

from unreel.data.segments import OppositeHalves
from unreel.methods.vclr import VCLR
from unreel.recipes import vclr
from unreel.train.recipe import Recipe


def kinetics400() -> Recipe:
    """SeCo with ResNet-50 on Kinetics-400, training split.

    Paper: VCLR, Table 1: 61.9 % with a linear SVM on the frozen network; Table 4: recall@1 on UCF101 69.5 %.
    Measured with this code: not yet.
    Numbers and initial weights are those of `vclr.kinetics400`, which follows SeCo in them: give the file of
    ImageNet's MoCo v2 with ``--method.initial-weights``.
    """
    return _turn_to_frames(vclr.kinetics400())


def small() -> Recipe:
    """SeCo for two CPU cores, as `vclr.small`. Measured with this code: not yet."""
    return _turn_to_frames(vclr.small())


def _turn_to_frames(recipe: Recipe) -> Recipe:
    method = recipe.method
    assert isinstance(method, VCLR.Config)
    frames = dataclasses.replace(
        method, clips=OppositeHalves(num_others=2), video_weight=0.0, order_task="query"
    )
    return dataclasses.replace(recipe, method=frames)
