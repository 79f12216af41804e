from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unreel.data.clips import RandomClips
from unreel.data.segments import OppositeHalves, SegmentPairs
from unreel.methods.vclr import VCLR
from unreel.models.resnet2d import ResNetConfig
from unreel.models.zoo import BACKBONES


def test_the_defaults_are_those_of_the_paper_and_its_code() -> None:
    config = VCLR.Config()
    assert config.clips == SegmentPairs(num_segments=3)
    assert config.backbone == ResNetConfig(depth=50)
    assert (config.queue_length, config.temperature, config.momentum) == (131_072, 0.1, 0.999)
    assert (config.embedding_dim, config.hidden_dim) == (128, 2048)
    assert config.losses == ("inter", "intra", "video", "order")
    weights = (config.inter_weight, config.intra_weight, config.video_weight, config.order_weight)
    assert weights == (1.0, 1.0, 1.0, 1.0)
    assert (config.intra_form, config.order_task, config.official_order_norm) == ("official", "tuples", False)
    augmentation = config.augmentation
    assert (augmentation.crop, augmentation.size_px) == ("random_resized", 224)
    assert (augmentation.crop_area, augmentation.crop_aspect) == ((0.2, 1.0), (0.75, 4 / 3))
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert (augmentation.jitter_prob, strengths) == (0.8, (0.4, 0.4, 0.4, 0.1))
    assert (augmentation.grayscale_prob, augmentation.flip_prob) == (0.2, 0.5)
    assert (augmentation.blur_prob, augmentation.blur_sigma) == (0.5, (0.1, 2.0))
    assert (augmentation.mean, augmentation.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


OFF = {"inter_weight": 0.0, "intra_weight": 0.0, "video_weight": 0.0, "order_weight": 0.0}
SECO = {"clips": OppositeHalves(2), "video_weight": 0.0, "order_task": "query"}


@pytest.mark.parametrize(
    ("changes", "losses", "has"),
    [
        ({}, "inter intra video order", (True, True, True)),
        (OFF | {"inter_weight": 1.0}, "inter", (False, True, True)),
        (OFF | {"intra_weight": 1.0}, "intra", (False, True, True)),
        (OFF | {"video_weight": 1.0}, "video", (True, False, False)),
        (OFF | {"order_weight": 1.0}, "order", (True, False, False)),
        (OFF | {"order_weight": 1.0, "order_task": "query"}, "order", (False, False, True)),
        (SECO, "inter intra order", (False, True, True)),
    ],
)
def test_settings_say_what_is_needed(
    changes: dict[str, Any], losses: str, has: tuple[bool, bool, bool]
) -> None:
    config = replace(VCLR.Config(), **changes)
    assert config.losses == tuple(losses.split())
    assert (config.has_tuples, config.has_twin, config.has_others) == has


def test_a_tuple_has_a_frame_per_segment_and_a_query_with_others_is_one_more() -> None:
    assert replace(VCLR.Config(), clips=SegmentPairs(5)).num_frames == 5
    assert replace(VCLR.Config(), **SECO).num_frames == 3


def test_random_weights_are_warned_of_unless_they_are_meant() -> None:
    (caution,) = VCLR.Config().cautions()
    assert "random weights" in caution
    assert "--method.initial-weights" in caution
    assert VCLR.Config(initial_weights=Path("random")).cautions() == ()
    assert VCLR.Config(initial_weights=Path("moco.pth")).cautions() == ()


def test_paths_are_made_absolute_and_words_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, kept in (("a/b", tmp_path / "a" / "b"), ("random", Path("random")), ("", Path())):
        config = VCLR.Config(initial_weights=Path(given)).with_absolute_paths()
        assert config.initial_weights == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive, got 0"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"queue_length": -1}, "method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -2}, "method.shuffle_bn_group must not be negative, got -2"),
        ({"order_weight": -1.0}, "method.order_weight must not be negative, got -1"),
        ({"inter_weight": float("nan")}, "method.inter_weight must be a number, got nan"),
        ({"official_order_norm": True, "order_task": "query"}, "method.official_order_norm normalises over"),
        (OFF, "nothing is learned: give one of method.inter_weight"),
        ({"clips": RandomClips()}, "method.clips must be SegmentPairs or OppositeHalves, got RandomClips"),
        ({"clips": OppositeHalves()}, "must be SegmentPairs where tuples are compared"),
        (SECO | {"order_task": "tuples"}, "must be SegmentPairs where tuples are compared"),
        ({"clips": SegmentPairs(1)}, "num_segments = 1 leaves no other frame to compare with and no order"),
        ({"clips": SegmentPairs(1), "intra_weight": 0.0}, "method.order_weight to 0"),
        ({"clips": SegmentPairs(19)}, "num_segments must be at most 18 where .* got 19"),
        ({"clips": SegmentPairs(1), "order_weight": 0.0}, "num_segments = 1 leaves no other frame"),
        (
            {"clips": SegmentPairs(1), "intra_weight": 0.0, "order_task": "query"},
            "num_segments = 1 leaves no other frame",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(VCLR.Config(), **changes)


@pytest.mark.parametrize("name", [name for name in BACKBONES if not name.startswith("resnet")])
def test_a_network_of_clips_is_refused(name: str) -> None:
    """It would run on clips of one frame, most of its weights seeing nothing but padding."""
    with pytest.raises(ValueError, match=r"method.backbone must see single frames, got .*; .* resnet_50"):
        replace(VCLR.Config(), backbone=BACKBONES[name])


def test_many_segments_are_fine_where_their_order_does_not_matter() -> None:
    assert replace(VCLR.Config(), clips=SegmentPairs(30), order_weight=0.0).num_frames == 30


def test_one_segment_is_enough_for_frames_and_videos() -> None:
    config = replace(VCLR.Config(), clips=SegmentPairs(1), intra_weight=0.0, order_weight=0.0)
    assert config.losses == ("inter", "video")
