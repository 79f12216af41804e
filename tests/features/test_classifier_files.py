from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.features.tiny import SPEC
from tests.features.tiny_classifier import CONFIG
from unreel.augment.evaluation_views import EvaluationViews
from unreel.features.classifier_files import CLASSIFIER_KIND, ClassifierConfig
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.models.resnet2d import ResNetConfig


def test_settings_survive_the_files(tmp_path: Path) -> None:
    config = replace(CONFIG, views=EvaluationViews(3, 5, "ten", average="logits", starts="offset"))
    state = {"head.linear.weight": torch.rand(3, 4)}
    CLASSIFIER_KIND.write(tmp_path, state, config, {"training_counts": {"speed0": 3}})
    files = CLASSIFIER_KIND.read(tmp_path)
    assert files.config == config
    assert files.provenance["training_counts"] == {"speed0": 3}
    assert (tmp_path / "classifier.json").exists()


def test_the_input_of_a_test_is_that_of_training_seen_by_the_views() -> None:
    config = replace(CONFIG, views=EvaluationViews(1, 6, crop_px=20, height=30))
    expected = replace(SPEC, num_frames=6, crop_px=20, decode_height=30, decode_width=0)
    assert config.test_input == expected
    assert config.input == SPEC


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b", "a", "c", "b")}, "classes must be different names, got a, b more than once"),
        ({"views": EvaluationViews(crop_px=25)}, "a crop of 25 pixels does not fit"),
        ({"input": InputSpec(sampling="segments")}, "clips_per_video must be 1 where a clip has a frame"),
    ],
)
def test_what_cannot_be_tested_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def test_a_network_with_temporal_shift_is_not_fed_single_frames() -> None:
    backbone = ResNetConfig(depth=18, temporal_shift=True)
    message = "temporal_shift needs clips of several frames, and input.num_frames is 1"
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(backbone, views=EvaluationViews(num_frames=1))
    with pytest.raises(ValueError, match=message):
        EncoderConfig(backbone, InputSpec(num_frames=1))
    assert ClassifierConfig(backbone).backbone == EncoderConfig(backbone).backbone
    EncoderConfig(ResNetConfig(depth=18), InputSpec(num_frames=1))
