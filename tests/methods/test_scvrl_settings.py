import math
from dataclasses import replace
from typing import Any

import pytest

from unreel.data.clips import GridFrames, RandomClips, WholeVideo
from unreel.data.interval_pairs import IntervalPairs
from unreel.data.targeted_clips import TargetedClips
from unreel.methods.scvrl import SCVRL
from unreel.methods.scvrl_settings import check_pair
from unreel.models.c3d import C3DConfig
from unreel.models.mvit import MViTConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.s3d import S3DConfig

NOTHING: dict[str, Any] = {"shuffled_weight": 0.0, "detection_weight": 0.0, "visual_weight": 0.0}


def test_the_defaults_are_those_of_the_paper() -> None:
    config = SCVRL.Config()
    assert config.clips == TargetedClips(num_frames=16, frame_stride=4, beta=5.0, min_gap=1)
    assert config.backbone == MViTConfig(temporal_kernel=2, pooling="class_token", drop_path=0.0)
    assert config.losses == config.contrasts == ("shuffled", "visual")
    assert (config.shuffled_weight, config.visual_weight) == (1.0, 1.0)
    assert (config.num_negatives, config.group_frames, config.num_groups) == (12, 2, 8)
    assert (config.shuffled_temperature, config.visual_temperature) == (0.1, 0.1)
    assert (config.embedding_dim, config.hidden_dim, config.shared_head) == (128, 2048, False)
    assert (config.queue_length, config.momentum) == (65536, 0.999)
    augmentation = config.augmentation
    assert (augmentation.crop, augmentation.size_px) == ("random_resized", 224)
    assert (augmentation.crop_area, augmentation.crop_aspect) == ((0.3, 1.0), (0.5, 2.0))
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert (augmentation.jitter_prob, strengths) == (0.8, (0.4, 0.4, 0.4, 0.0))
    assert (augmentation.grayscale_prob, augmentation.blur_prob, augmentation.flip_prob) == (0.2, 0.5, 0.5)
    assert augmentation.blur_sigma == (0.1, 2.0)
    assert (augmentation.mean, augmentation.std) == ((0.45,) * 3, (0.225,) * 3)
    assert config.cautions() == ()


@pytest.mark.parametrize(
    ("weights", "losses", "contrasts", "is_about_order"),
    [
        ({"shuffled_weight": 1.0}, ("shuffled",), ("shuffled",), True),
        ({"detection_weight": 1.0}, ("detection",), (), True),
        ({"visual_weight": 2.0}, ("visual",), ("visual",), False),
        (
            {"detection_weight": 1.0, "visual_weight": 1.0},
            ("detection", "visual"),
            ("visual",),
            True,
        ),
    ],
)
def test_settings_say_what_is_needed(
    weights: dict[str, float], losses: tuple[str, ...], contrasts: tuple[str, ...], is_about_order: bool
) -> None:
    config = SCVRL.Config(**NOTHING | weights)
    assert (config.losses, config.contrasts, config.is_about_order) == (losses, contrasts, is_about_order)


@pytest.mark.parametrize(
    ("changes", "count"),
    [({}, 1), ({"queue_length": 0}, 2), ({"queue_length": 0, "visual_weight": 0.0}, 1)],
)
def test_without_queue_two_videos_are_needed(changes: dict[str, Any], count: int) -> None:
    assert replace(SCVRL.Config(), **changes).min_videos == count


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": MViTConfig(temporal_kernel=3)},
        {"backbone": C3DConfig()},
        {"backbone": S3DConfig()},
        {"group_frames": 1},
        {"backbone": C3DConfig(), "shuffled_weight": 0.0, "detection_weight": 1.0},
    ],
    ids=str,
)
def test_a_network_that_sees_the_seams_is_warned_of(changes: dict[str, Any]) -> None:
    (caution,) = replace(SCVRL.Config(), **changes).cautions()
    assert "lies across the seams" in caution


@pytest.mark.parametrize(
    "changes",
    [{}, {"group_frames": 4, "num_negatives": 5}, {"backbone": C3DConfig(), "shuffled_weight": 0.0}],
    ids=str,
)
def test_without_seams_nothing_is_warned_of(changes: dict[str, Any]) -> None:
    assert replace(SCVRL.Config(), **changes).cautions() == ()


def test_a_clip_that_no_loss_looks_at_is_warned_of() -> None:
    (caution,) = SCVRL.Config(visual_weight=0.0).cautions()
    assert "second clip of every video is decoded for nothing" in caution
    alone = SCVRL.Config(visual_weight=0.0, clips=RandomClips(count=1, num_frames=16))
    assert alone.cautions() == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (NOTHING, "nothing is learned"),
        ({"shuffled_weight": -1.0}, r"method.shuffled_weight must be 0 or a positive number, got -1.0"),
        ({"visual_weight": math.inf}, r"method.visual_weight must be 0 or a positive"),
        ({"shuffled_temperature": 0.0}, "temperature must be positive"),
        ({"visual_temperature": -0.1}, "temperature must be positive"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\]"),
        ({"queue_length": -1}, r"method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -1}, r"method.shuffle_bn_group must not be negative, got -1"),
        ({"key_chunk": -1}, r"method.key_chunk must not be negative, got -1"),
        ({"group_frames": 3}, r"method.group_frames must divide the 16 frames of a clip, got 3"),
        ({"group_frames": 0}, r"method.group_frames must divide the 16 frames of a clip, got 0"),
        ({"group_frames": 8, "num_negatives": 2}, "2 groups have 1 orders other than that of time, got 2"),
        ({"num_negatives": 0}, "8 groups have 40319 orders"),
        ({"clips": RandomClips(count=2, num_frames=64)}, "1 to 18 groups of frames, got 32"),
        ({"backbone": ResNetConfig()}, "a shuffled clip is the same to it"),
        ({"clips": RandomClips(count=1)}, "must give two clips of one length"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_trained_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SCVRL.Config(), **changes)


def test_networks_of_single_frames_will_do_where_nothing_is_shuffled() -> None:
    config = SCVRL.Config(backbone=ResNetConfig(), shuffled_weight=0.0)
    assert config.losses == ("visual",)


@pytest.mark.parametrize("clips", [TargetedClips(), IntervalPairs(), RandomClips(count=2)], ids=str)
def test_any_rule_with_two_clips_of_one_length_makes_a_pair(clips: Any) -> None:
    check_pair(clips)
    assert SCVRL.Config(clips=clips).num_frames == clips.num_frames == 16


@pytest.mark.parametrize("clips", [RandomClips(count=3), WholeVideo(), GridFrames(count=2)], ids=str)
def test_other_rules_are_refused(clips: Any) -> None:
    with pytest.raises(ValueError, match=r"method.clips must give two clips of one length, .*; got "):
        check_pair(clips)
    with pytest.raises(ValueError, match=r"must give one clip or two of one length"):
        check_pair(clips, num_clips=1)
