from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unreel.data.block_clips import BlockClips, BlocksAndSegmentClips
from unreel.data.clips import ClipSampling, FramePerPart, GridFrames, RandomClips, UniformClips, WholeVideo
from unreel.data.decode import FrameSize
from unreel.data.frame_pairs import RandomFramePairs
from unreel.data.pace_clips import PaceClips
from unreel.data.segment_clips import ClipPairAndSegments, SegmentClips
from unreel.data.segments import OppositeHalves, SegmentFrames, SegmentPairs
from unreel.data.spaced_frames import SpacedFrames
from unreel.features.input_spec import InputSpec

ANY = np.random.default_rng(0)


def test_random_clips_of_training_become_uniform_clips_of_testing() -> None:
    clips = RandomClips(count=2, num_frames=8, frame_stride=3, short_video="loop")
    spec = InputSpec.from_training(clips, FrameSize(128, 171), 112, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    # What training does with short videos stays behind: test clips shrink their stride (decision A18).
    size, colors = (128, 171, 112), ((0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    assert spec == InputSpec("clip", 8, 3, 64, "shrink_stride", *size, *colors)
    assert spec.build_sampling(10) == UniformClips(10, 8, 3, "shrink_stride")
    assert spec.frame_size == FrameSize(128, 171)


def test_one_frame_per_part_becomes_the_middle_of_every_part() -> None:
    spec = InputSpec.from_training(FramePerPart(1, 8, 64, jitter=True), FrameSize(64), 56)
    sampling = spec.build_sampling(1)
    assert sampling == FramePerPart(1, 8, 64, jitter=False)
    # Parts of 8 frames; the middle one of the first is frame 4.
    assert sampling.sample(64, ANY).frames_NT.tolist() == [[4, 12, 20, 28, 36, 44, 52, 60]]


def test_uniform_clips_are_kept() -> None:
    spec = InputSpec.from_training(UniformClips(3, 16, 2), FrameSize(128, 171), 112)
    assert spec.build_sampling(5) == UniformClips(5, 16, 2, "shrink_stride")


@pytest.mark.parametrize(
    "clips",
    [
        SegmentClips(3, 8, 2),
        ClipPairAndSegments(3, 8, 2),
        BlockClips(4, 8, 2),
        BlocksAndSegmentClips(4, 3, 8, 2),
        PaceClips(2, 8, (2, 4)),
    ],
    ids=str,
)
def test_clips_of_other_rules_become_uniform_clips_of_testing(clips: ClipSampling) -> None:
    spec = InputSpec.from_training(clips, FrameSize(128, 171), 112)
    assert spec.build_sampling(5) == UniformClips(5, 8, 2, "shrink_stride")


def test_a_rule_without_clips_of_fixed_length_is_refused() -> None:
    with pytest.raises(ValueError, match="clips of a certain length, got WholeVideo"):
        InputSpec.from_training(WholeVideo(2), FrameSize(64), 56)


@pytest.mark.parametrize("name", ["num_frames", "frame_stride", "crop_px"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        replace(InputSpec(), **{name: 0})


def test_a_negative_span_is_refused() -> None:
    with pytest.raises(ValueError, match="span_frames must be at least 0, got -1"):
        InputSpec(span_frames=-1)


@pytest.mark.parametrize("change", [{"mean": (0.5, 0.5)}, {"std": (1.0, 1.0)}, {"std": (1.0, 1.0, 0.0)}])
def test_colors_need_three_numbers_and_a_spread(change: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="one number per color"):
        replace(InputSpec(), **change)


def test_no_clip_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="clips_per_video must be at least 1, got 0"):
        InputSpec().build_sampling(0)


@pytest.mark.parametrize(
    "clips",
    [
        GridFrames(count=1, every=10),
        SegmentFrames(3),
        SegmentPairs(3),
        OppositeHalves(2),
        RandomFramePairs(4),
        SpacedFrames(30),
    ],
    ids=str,
)
def test_single_frames_become_frames_spread_over_the_whole_video(clips: ClipSampling) -> None:
    spec = InputSpec.from_training(clips, FrameSize(256, 0), 224)
    assert (spec.sampling, spec.num_frames, spec.frame_stride) == ("clip", 1, 1)
    # linspace(0, 40, 5): from the first frame to the last.
    assert spec.build_sampling(5) == SpacedFrames(5)
    assert spec.build_sampling(5).sample(41, ANY).frames_NT.tolist() == [[0], [10], [20], [30], [40]]


@pytest.mark.parametrize(
    "change", [{}, {"frame_stride": 4}, {"sampling": "frame_per_part"}, {"short_video": "loop"}]
)
def test_a_clip_of_one_frame_has_no_stride_span_or_short_video(change: dict[str, Any]) -> None:
    spec = InputSpec(num_frames=1, **change)
    assert spec.build_sampling(30) == SpacedFrames(30)
    # linspace(1, 10, 4) is 1, 4, 7, 10.
    assert spec.build_sampling(4).sample(10, ANY).frames_NT.tolist() == [[0], [3], [6], [9]]
