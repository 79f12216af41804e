from dataclasses import replace
from typing import Any

import pytest

from unreel.data.block_clips import BlocksAndSegmentClips
from unreel.methods.dpc import DPC
from unreel.methods.vclr import VCLR
from unreel.methods.vclr_clips import VCLRClips
from unreel.methods.vclr_dpc import VCLRDPC
from unreel.models.resnet2d import ResNetConfig

DEFAULT = VCLRDPC.Config()
NO_TUPLES: dict[str, Any] = {"video_weight": 0.0, "order_weight": 0.0}


def test_the_defaults_are_those_of_dpc_and_of_vclr() -> None:
    dpc, vclr = DPC.Config(), VCLR.Config()
    for name in ("augmentation", "backbone", "num_predicted", "dropout_prob", "color_draws"):
        assert getattr(DEFAULT, name) == getattr(dpc, name), name
    for name in ("temperature", "momentum", "embedding_dim", "exclude_own_keys"):
        assert getattr(DEFAULT, name) == getattr(vclr, name), name
    assert DEFAULT.queue_length == VCLRClips.Config().queue_length == 2048
    clips = DEFAULT.clips
    assert (clips.num_blocks, clips.num_frames, clips.frame_stride) == (8, 5, 3)
    assert clips.num_segments == 3
    assert (DEFAULT.dense_weight, DEFAULT.video_weight, DEFAULT.order_weight) == (1.0, 1.0, 1.0)


def test_a_weight_of_zero_leaves_a_loss_out() -> None:
    assert DEFAULT.losses == ("dense", "video", "order")
    assert replace(DEFAULT, dense_weight=0.0).losses == ("video", "order")
    assert replace(DEFAULT, video_weight=0.0).tuple_losses == ("order",)
    assert replace(DEFAULT, **NO_TUPLES).tuple_losses == ()


def test_only_the_contrast_of_videos_inside_the_batch_needs_a_second_one() -> None:
    assert DEFAULT.min_videos == 1
    assert replace(DEFAULT, queue_length=0).min_videos == 2
    assert replace(DEFAULT, queue_length=0, video_weight=0.0).min_videos == 1


def test_clips_that_nobody_looks_at_are_warned_of() -> None:
    assert DEFAULT.cautions() == ()
    (caution,) = replace(DEFAULT, dense_weight=0.0).cautions()
    assert "8 of 14 clips" in caution
    assert "--method.clips.num-blocks 0" in caution
    (caution,) = replace(DEFAULT, **NO_TUPLES).cautions()
    assert "6 of 14 clips" in caution
    assert "--method.clips.num-segments 0" in caution
    without = replace(DEFAULT, **NO_TUPLES, clips=BlocksAndSegmentClips(num_segments=0))
    assert without.cautions() == ()
    assert replace(DEFAULT, dense_weight=0.0, clips=BlocksAndSegmentClips(num_blocks=0)).cautions() == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense_weight": -1.0}, "method.dense_weight must be 0 or a positive number, got -1.0"),
        ({"video_weight": float("nan")}, "method.video_weight must be 0 or a positive number, got nan"),
        ({"dense_weight": 0.0, **NO_TUPLES}, "nothing is learned"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\]"),
        ({"queue_length": -1}, "method.queue_length must not be negative, got -1"),
        ({"shuffle_bn_group": -2}, "method.shuffle_bn_group must not be negative, got -2"),
        ({"num_predicted": 8}, "num_predicted must lie between 1 and 7"),
        ({"dropout_prob": 1.0}, "dropout_prob"),
        ({"clips": BlocksAndSegmentClips(num_blocks=0)}, "num_blocks = 0 leaves nothing to predict"),
        ({"clips": BlocksAndSegmentClips(num_segments=0)}, "num_segments = 0 leaves no tuple"),
        ({"clips": BlocksAndSegmentClips(num_segments=1)}, "between 2 and 18 .* got 1"),
        ({"clips": BlocksAndSegmentClips(num_segments=19)}, "between 2 and 18 .* got 19"),
        ({"backbone": ResNetConfig()}, "backbone must see clips, got ResNetConfig"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DEFAULT, **changes)


def test_what_a_loss_does_not_need_is_not_asked_for() -> None:
    replace(DEFAULT, dense_weight=0.0, clips=BlocksAndSegmentClips(num_blocks=0))
    replace(DEFAULT, **NO_TUPLES, clips=BlocksAndSegmentClips(num_segments=0))
    one = BlocksAndSegmentClips(num_segments=1)
    assert replace(DEFAULT, order_weight=0.0, clips=one).tuple_losses == ("video",)


def test_without_dpc_a_network_of_single_frames_may_be() -> None:
    assert isinstance(VCLRDPC.Config(backbone=ResNetConfig(), dense_weight=0.0).backbone, ResNetConfig)
