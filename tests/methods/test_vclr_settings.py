from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unreel.data.clips import RandomClips
from unreel.data.segments import OppositeHalves, SegmentPairs
from unreel.methods.vclr import VCLR
from unreel.models.resnet2d import ResNetConfig


def test_the_defaults_are_those_of_the_paper_and_its_code() -> None:
    config = VCLR.Config()
    assert config.clips == SegmentPairs(num_segments=3)
    assert config.backbone == ResNetConfig(depth=50)
    assert (config.queue_length, config.temperature, config.momentum) == (131_072, 0.1, 0.999)
    assert (config.embedding_dim, config.hidden_dim) == (128, 2048)
    assert config.losses == ("inter", "intra", "video", "order")
    weights = (config.inter_weight, config.intra_weight, config.video_weight, config.order_weight)
    assert weights == (1.0, 1.0, 1.0, 1.0)
    assert (config.intra_form, config.official_order_norm) == ("official", False)
    augmentation = config.augmentation
    assert (augmentation.crop, augmentation.size_px) == ("random_resized", 224)
    assert (augmentation.crop_area, augmentation.crop_aspect) == ((0.2, 1.0), (0.75, 4 / 3))
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert (augmentation.jitter_prob, strengths) == (0.8, (0.4, 0.4, 0.4, 0.1))
    assert (augmentation.grayscale_prob, augmentation.flip_prob) == (0.2, 0.5)
    assert (augmentation.blur_prob, augmentation.blur_sigma) == (0.5, (0.1, 2.0))
    assert (augmentation.mean, augmentation.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


OFF = {"inter_weight": 0.0, "intra_weight": 0.0, "video_weight": 0.0, "order_weight": 0.0}


@pytest.mark.parametrize(
    ("changes", "losses", "has"),
    [
        ({}, "inter intra video order", (True, True)),
        (OFF | {"inter_weight": 1.0}, "inter", (False, True)),
        (OFF | {"intra_weight": 1.0}, "intra", (False, True)),
        (OFF | {"video_weight": 1.0}, "video", (True, False)),
        (OFF | {"order_weight": 1.0}, "order", (True, False)),
    ],
)
def test_settings_say_what_is_needed(changes: dict[str, Any], losses: str, has: tuple[bool, bool]) -> None:
    config = replace(VCLR.Config(), **changes)
    assert config.losses == tuple(losses.split())
    assert (config.has_tuples, config.has_query) == has


def test_a_tuple_has_a_frame_per_segment() -> None:
    assert replace(VCLR.Config(), clips=SegmentPairs(5)).num_segments == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive, got 0"),
        ({"order_weight": -1.0}, "method.order_weight must be 0 or a positive number, got -1"),
        (OFF, "nothing is learned: give one of method.inter_weight"),
        ({"clips": RandomClips()}, "method.clips must be SegmentPairs, got RandomClips"),
        ({"clips": OppositeHalves()}, "method.clips must be SegmentPairs, got OppositeHalves"),
        ({"clips": SegmentPairs(1)}, "num_segments = 1 leaves no other frame to compare with and no order"),
        ({"clips": SegmentPairs(1), "intra_weight": 0.0}, "method.order_weight to 0"),
        ({"clips": SegmentPairs(19)}, "num_segments must be at most 18 where .* got 19"),
        ({"clips": SegmentPairs(1), "order_weight": 0.0}, "num_segments = 1 leaves no other frame"),
        ({"clips": SegmentPairs(num_tuples=1)}, "num_tuples = 1 leaves no positive tuple"),
        ({"clips": SegmentPairs(num_tuples=1), "video_weight": 0.0}, "method.order_weight to 0, or take 2"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(VCLR.Config(), **changes)


def test_many_segments_are_fine_where_their_order_does_not_matter() -> None:
    assert replace(VCLR.Config(), clips=SegmentPairs(30), order_weight=0.0).num_segments == 30


def test_one_segment_is_enough_for_frames_and_videos() -> None:
    config = replace(VCLR.Config(), clips=SegmentPairs(1), intra_weight=0.0, order_weight=0.0)
    assert config.losses == ("inter", "video")


@pytest.mark.parametrize("weights", [{"video_weight": 0.0, "order_weight": 0.0}, {"order_weight": 0.0}])
def test_a_positive_tuple_that_no_loss_compares_is_named_and_can_be_left_out(
    weights: dict[str, float],
) -> None:
    config = replace(VCLR.Config(initial_weights=Path("random")), **weights)
    if "video" in config.losses:
        assert config.cautions() == ()
        return
    (caution,) = config.cautions()
    assert "half of the frames of every video are decoded for nothing" in caution
    assert "--method.clips.num-tuples 1" in caution
    assert replace(config, clips=SegmentPairs(num_tuples=1)).cautions() == ()
    random = replace(config, initial_weights=Path()).cautions()
    assert len(random) == 2


@pytest.mark.parametrize("loss", ["inter", "intra", "video", "order"])
def test_two_videos_are_needed_only_where_videos_are_contrasted_without_a_queue(loss: str) -> None:
    config = replace(VCLR.Config(), **OFF | {f"{loss}_weight": 1.0})
    assert config.min_videos == 1
    assert replace(config, queue_length=0).min_videos == (2 if loss in ("inter", "video") else 1)
