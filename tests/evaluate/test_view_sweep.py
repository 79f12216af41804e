import dataclasses

import pytest
import torch

from tests.evaluate.tiny_cacl import NUM_FRAMES, build_cacl
from tests.methods.batches import make_batch
from unreel.data.batch import Rejection, VideoBatch
from unreel.errors import FeaturesError, TrainingError
from unreel.evaluate.view_sweep import ViewSweep, check_finite
from unreel.recipes.moco import ucf101


def batches_with(*rejections: tuple[str, ...]) -> list[VideoBatch]:
    """Two videos a batch, and the names of those that failed."""
    return [
        dataclasses.replace(
            make_batch(2, frames=NUM_FRAMES, first_video=2 * number, seed=number),
            rejections=tuple(Rejection(name, "noise") for name in names),
        )
        for number, names in enumerate(rejections)
    ]


def test_the_views_are_those_of_training() -> None:
    method, batches = build_cacl(), batches_with((), ())
    for views, batch in zip(ViewSweep(method, batches), batches, strict=True):
        expected = method.make_views(batch)
        for name in ("query_BCTHW", "key_BCTHW", "order_BT", "degree_class_B", "owners_B"):
            assert torch.equal(getattr(views, name), getattr(expected, name))


def test_clips_videos_and_failures_are_counted_and_a_second_round_names_nobody_twice() -> None:
    sweep = ViewSweep(build_cacl(), batches_with(("a", "b"), ("c",)) + batches_with(("b", "d"), ("c",)))
    assert sum(len(views.owners_B) for views in sweep) == 8
    assert sweep.owners == [0, 1, 2, 3, 0, 1, 2, 3]
    assert sweep.num_videos == 4
    assert [item.path for item in sweep.rejected] == ["a", "b", "c", "d"]


def test_a_share_of_failures_is_allowed_and_no_more() -> None:
    """One failure and four videos are a fifth."""
    sweep = ViewSweep(build_cacl(), batches_with(("a",), ()))
    list(sweep)
    sweep.check(0.2)
    with pytest.raises(FeaturesError, match=r"1 of 5 videos cannot be used, .* = 0.19 .* first: a: noise"):
        sweep.check(0.19)


def test_no_clip_at_all_is_refused() -> None:
    sweep = ViewSweep(build_cacl(), [])
    assert list(sweep) == []
    with pytest.raises(FeaturesError, match="no clip to measure"):
        sweep.check(1.0)


def test_another_method_is_refused_by_name_with_the_remedy() -> None:
    recipe = ucf101()
    backbone = dataclasses.replace(recipe.method.backbone, width=0.0625)
    method = dataclasses.replace(recipe.method, backbone=backbone).build().eval()
    with pytest.raises(ValueError, match=rf"run is of {type(method).__name__}; give a run of a cacl recipe"):
        ViewSweep(method, [])


def test_a_method_that_would_learn_is_refused_even_if_only_a_part_of_it_would() -> None:
    method = build_cacl()
    method.cnn.backbone.train()
    with pytest.raises(ValueError, match=r"training mode.* call method.eval\(\) first"):
        ViewSweep(method, [])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_run_is_refused(value: float) -> None:
    fine = torch.tensor([1.0, -2.0])
    assert check_finite(fine) is fine
    with pytest.raises(TrainingError, match="gives NaN or infinity"):
        check_finite(torch.tensor([1.0, value]))
