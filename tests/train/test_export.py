from dataclasses import replace
from pathlib import Path

import pytest

from tests.corpus import shrink_recipe
from tests.train.runs import build_recipe
from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.clips import RandomClips, WholeVideo
from unreel.data.segments import SegmentFrames
from unreel.features.classifier import Classifier
from unreel.features.encoder import Encoder
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig
from unreel.recipes import finetune, finetune_vclr
from unreel.recipes.ccl import ucf101
from unreel.train.export import describe_classifier, describe_encoder
from unreel.train.finetune import finetune as learn_classes
from unreel.train.recipe import Recipe


def test_an_encoder_is_fed_what_the_network_saw(corpus: Path) -> None:
    config = describe_encoder(build_recipe(corpus))
    assert config.backbone == build_recipe(corpus).method.backbone
    spec = config.input
    assert (spec.sampling, spec.num_frames, spec.frame_stride) == ("clip", 16, 2)
    assert (spec.decode_height, spec.decode_width, spec.crop_px) == (18, 24, 16)


def test_the_encoder_of_ccl_takes_one_frame_per_part() -> None:
    spec = describe_encoder(ucf101()).input
    assert (spec.sampling, spec.num_frames, spec.span_frames) == ("frame_per_part", 8, 64)
    assert (spec.decode_height, spec.decode_width, spec.crop_px) == (128, 171, 112)


def with_method(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, method=replace(recipe.method, **changes))


def test_a_network_of_segments_is_an_encoder_of_what_it_sees_at_once() -> None:
    """A frame where it sees each alone; all segments where it looks at neighbours, or over time."""
    tsn = describe_encoder(finetune_vclr.hmdb51_tsn())
    assert (tsn.input.sampling, tsn.input.num_frames) == ("clip", 1)
    tsm = describe_encoder(finetune_vclr.ssv2_tsm())
    assert (tsm.input.sampling, tsm.input.num_frames) == ("segments", 8)
    assert isinstance(tsm.backbone, ResNetConfig)
    assert tsm.backbone.temporal_shift
    over_time = describe_encoder(with_method(finetune_vclr.hmdb51_tsn(), backbone=R3DConfig()))
    assert (over_time.input.sampling, over_time.input.num_frames) == ("segments", 8)
    for config in (tsn, tsm, over_time):
        config.input.build_sampling(1)


def test_a_classifier_is_tested_by_the_views_of_its_recipe() -> None:
    recipe = with_method(finetune_vclr.ssv2_tsn(), classes=("fall", "push"))
    config = describe_classifier(recipe)
    assert config.classes == ("fall", "push")
    assert config.backbone == recipe.method.backbone
    assert (config.input.sampling, config.input.num_frames, config.input.crop_px) == ("segments", 8, 224)
    assert (config.input.decode_height, config.input.decode_width) == (256, 0)
    assert (config.input.mean, config.input.std) == (
        recipe.method.augmentation.mean,
        recipe.method.augmentation.std,
    )
    assert config.test_input.num_frames == 8
    assert describe_classifier(finetune_vclr.activitynet_tsn()).test_input.num_frames == 25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": EvaluationViews(crop_px=200)}, "crop of 200 pixels does not fit into frames .* is 128"),
        ({"clips": SegmentFrames(8)}, "clips_per_video must be 1"),
        ({"clips": WholeVideo()}, "takes clips of a certain length, got WholeVideo"),
        ({"classes": ("run", "run")}, "different names"),
    ],
)
def test_a_classifier_that_cannot_be_tested_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe_classifier(with_method(finetune.full(), **changes))


def test_both_files_of_a_run_say_where_they_come_from(corpus: Path, tmp_path: Path) -> None:
    recipe = shrink_recipe(finetune.small(), corpus, steps=1)
    recipe = with_method(recipe, clips=RandomClips(1, 8, 1))
    recipe = replace(recipe, data=replace(recipe.data, cache="none", videos_per_class=2))
    learn_classes(recipe, tmp_path / "run", recipe_name="finetune.small")
    classifier, encoder = Classifier.load(tmp_path / "run"), Encoder.load(tmp_path / "run" / "encoder")
    origin = {"method": "Supervised", "recipe": "finetune.small", "run": "run", "step": 1, "num_steps": 1}
    assert origin.items() <= encoder.provenance.items() <= classifier.provenance.items()
    assert classifier.training_counts == {"speed0": 2, "speed1": 2, "speed2": 2}
    assert "training_counts" not in encoder.provenance
    assert encoder.backbone.state_dict().keys() == classifier.backbone.state_dict().keys()
