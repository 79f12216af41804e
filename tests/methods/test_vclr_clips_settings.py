from dataclasses import replace
from typing import Any

import pytest

from unreel.data.clips import RandomClips
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips
from unreel.methods.vclr_clips import VCLRClips
from unreel.models.r3d_50 import R3D50Config
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R2Plus1DConfig
from unreel.models.s3d import S3DConfig

PAIR = ClipPairAndSegments(num_segments=0)


def test_the_defaults_are_those_of_coclr_and_of_vclr() -> None:
    config = VCLRClips.Config()
    assert config.clips == ClipPairAndSegments(3, num_frames=32, frame_stride=1, same_clip_prob=0.5)
    assert config.backbone == S3DConfig(variant="coclr", width=1.0)
    assert (config.clip_temperature, config.video_temperature) == (0.07, 0.1)
    assert (config.queue_length, config.momentum) == (2048, 0.999)
    assert (config.embedding_dim, config.hidden_dim) == (128, 1024)
    assert config.losses == ("clip", "video", "order")
    assert (config.clip_weight, config.video_weight, config.order_weight) == (1.0, 1.0, 1.0)
    augmentation = config.augmentation
    assert (augmentation.crop, augmentation.size_px) == ("random_resized", 128)
    assert augmentation.crop_area == (0.2, 1.0)
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert (augmentation.jitter_prob, strengths) == (0.8, (0.4, 0.4, 0.4, 0.1))
    assert (augmentation.grayscale_prob, augmentation.blur_prob, augmentation.flip_prob) == (0.2, 0.5, 0.5)
    assert (augmentation.mean, augmentation.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("backbone", [R2Plus1DConfig(), R3D50Config()], ids=["r2plus1d", "r3d_50"])
def test_any_3d_network_will_do(backbone: Any) -> None:
    assert replace(VCLRClips.Config(), backbone=backbone).backbone == backbone


@pytest.mark.parametrize(
    ("changes", "losses", "first_row", "num_segments"),
    [
        ({}, "clip video order", 2, 3),
        ({"order_weight": 0.0}, "clip video", 2, 3),
        ({"video_weight": 0.0, "order_weight": 0.0, "clips": PAIR}, "clip", 2, 0),
        ({"clip_weight": 0.0, "clips": SegmentClips(4)}, "video order", 0, 4),
        ({"clip_weight": 0.0}, "video order", 2, 3),
    ],
)
def test_settings_say_where_the_tuples_begin(
    changes: dict[str, Any], losses: str, first_row: int, num_segments: int
) -> None:
    config = replace(VCLRClips.Config(), **changes)
    assert config.losses == tuple(losses.split())
    assert (config.first_segment_row, config.num_segments) == (first_row, num_segments)
    assert config.has_tuples is ("video" in losses or "order" in losses)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ()),
        ({"video_weight": 0.0}, ()),
        ({"video_weight": 0.0, "order_weight": 0.0, "clips": PAIR}, ()),
        ({"clip_weight": 0.0, "clips": SegmentClips(3)}, ()),
        ({"video_weight": 0.0, "order_weight": 0.0}, ("6 of 8 clips", "--method.clips.num-segments 0")),
        ({"clip_weight": 0.0}, ("2 of 8 clips", "clips=SegmentClips")),
    ],
)
def test_clips_that_are_decoded_for_nothing_are_warned_of(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    cautions = replace(VCLRClips.Config(), **changes).cautions()
    assert len(cautions) == bool(words)
    for word in words:
        assert word in cautions[0]


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({}, 1),
        ({"queue_length": 0}, 2),
        ({"queue_length": 0, "clip_weight": 0.0, "video_weight": 0.0, "clips": SegmentClips(3)}, 1),
    ],
)
def test_without_a_queue_a_contrast_needs_another_video(changes: dict[str, Any], least: int) -> None:
    assert replace(VCLRClips.Config(), **changes).min_videos == least


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_temperature": 0.0}, "temperature must be positive, got 0"),
        ({"video_temperature": -0.1}, "temperature must be positive, got -0.1"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"queue_length": -1}, "method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -2}, "method.shuffle_bn_group must not be negative, got -2"),
        ({"clip_weight": -1.0}, "method.clip_weight must be 0 or a positive number, got -1"),
        (
            {"clip_weight": 0.0, "video_weight": 0.0, "order_weight": 0.0},
            "nothing is learned: give one of method.clip_weight",
        ),
        ({"backbone": ResNetConfig()}, "method.backbone must see several frames at once, got ResNetConfig"),
        ({"backbone": ResNetConfig()}, "or a recipe of vclr"),
        ({"clips": RandomClips()}, "method.clips must be ClipPairAndSegments or SegmentClips, got RandomCl"),
        ({"clips": SegmentClips()}, "method.clips has no pair of clips to contrast; set method.clip_weight"),
        ({"clips": PAIR}, "num_segments = 0 leaves no tuples to compare; set method.video_weight and"),
        ({"clips": PAIR, "order_weight": 0.0}, "num_segments = 0 leaves no tuples to compare"),
        ({"clips": ClipPairAndSegments(1)}, "must lie between 2 and 18 where the order .* got 1; or set"),
        ({"clips": ClipPairAndSegments(19)}, "must lie between 2 and 18 where the order .* got 19"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(VCLRClips.Config(), **changes)


@pytest.mark.parametrize("num_segments", [1, 19])
def test_without_order_any_number_of_segments_will_do(num_segments: int) -> None:
    clips = ClipPairAndSegments(num_segments)
    assert replace(VCLRClips.Config(), clips=clips, order_weight=0.0).num_segments == num_segments
