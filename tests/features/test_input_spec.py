from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.block_clips import BlockClips, BlocksAndSegmentClips
from unreel.data.clips import ClipSampling, FramePerPart, GridFrames, RandomClips, UniformClips, WholeVideo
from unreel.data.decode import FrameSize
from unreel.data.frame_pairs import RandomFramePairs
from unreel.data.offset_clips import OffsetClips
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


def test_segments_are_one_clip_of_the_middle_frames() -> None:
    spec = InputSpec(sampling="segments", num_frames=3)
    assert spec.build_sampling(1) == SegmentFrames(3, jitter=False)
    assert replace(spec, num_frames=1).build_sampling(1) == SegmentFrames(1, jitter=False)
    with pytest.raises(
        ValueError, match=r"clips_per_video must be 1 where .* segment .*, got 10; ask for more"
    ):
        spec.build_sampling(10)


def test_views_leave_what_they_do_not_name() -> None:
    spec = InputSpec(frame_stride=3, mean=(0.1, 0.2, 0.3), short_video="loop")
    assert spec.with_views(EvaluationViews()) == spec
    views = EvaluationViews(num_frames=8, crop_px=96, height=100)
    expected = replace(spec, num_frames=8, crop_px=96, decode_height=100, decode_width=0)
    assert spec.with_views(views) == expected
    assert spec.with_views(EvaluationViews(height=130, width=140)).frame_size == FrameSize(130, 140)


def test_starts_are_changed_both_ways() -> None:
    offset = InputSpec().with_views(EvaluationViews(starts="offset"))
    assert offset.build_sampling(10) == OffsetClips(10, 16, 2, "shrink_stride")
    assert offset.with_views(EvaluationViews()) == InputSpec()


@pytest.mark.parametrize("sampling", ["segments", "frame_per_part"])
def test_offset_starts_are_for_clips_of_a_fixed_stride(sampling: Any) -> None:
    with pytest.raises(ValueError, match=rf'starts="offset" is for clips of a fixed stride, .*{sampling}'):
        InputSpec(sampling=sampling).with_views(EvaluationViews(starts="offset"))


@pytest.mark.parametrize("views", [EvaluationViews(crop_px=129), EvaluationViews(height=111)])
def test_a_crop_that_does_not_fit_is_refused(views: EvaluationViews) -> None:
    with pytest.raises(ValueError, match=r"does not fit into frames whose short side is (128|111); give a"):
        InputSpec().with_views(views)


CACL = InputSpec(num_frames=16, frame_stride=2)
CCL = InputSpec(sampling="frame_per_part", num_frames=8, span_frames=64)
TSN = InputSpec(sampling="segments", num_frames=3, decode_height=256, decode_width=0, crop_px=224)
SCVRL = InputSpec(num_frames=16, frame_stride=4, decode_height=256, decode_width=0, crop_px=224)


def spell_out_cacl(length: int) -> list[list[int]]:
    return [[int(start) + 2 * time for time in range(16)] for start in np.linspace(0, length - 32, 10)]


def spell_out_ccl(length: int) -> list[list[int]]:
    # Ten clips of 64 frames, spread evenly; the middle of each of the 8 parts of 8 frames.
    return [[k * (length - 64) // 9 + 8 * part + 4 for part in range(8)] for k in range(10)]


def spell_out_segments(length: int, frames: int) -> list[list[int]]:
    exact = [i * length / frames + length / (2 * frames) for i in range(frames)]
    return [[int(value + 1e-9) for value in exact]]


def spell_out_scvrl(length: int) -> list[list[int]]:
    return [[k * ((length - 64) // 9) + 4 * time for time in range(16)] for k in range(10)]


PROTOCOLS = {
    "cacl": (CACL, EvaluationViews(10, average="logits"), spell_out_cacl, (128, 171, 112)),
    "ccl": (CCL, EvaluationViews(10), spell_out_ccl, (128, 171, 112)),
    "vclr ucf101": (
        TSN,
        EvaluationViews(1, 25, crop_px=256, height=256, average="logits"),
        lambda length: spell_out_segments(length, 25),
        (256, 0, 256),
    ),
    "vclr something": (
        TSN,
        EvaluationViews(1, 8, "ten", average="logits"),
        lambda length: spell_out_segments(length, 8),
        (256, 0, 224),
    ),
    "vclr activitynet": (
        TSN,
        EvaluationViews(1, 25, "three", crop_px=256, height=256, average="logits"),
        lambda length: spell_out_segments(length, 25),
        (256, 0, 256),
    ),
    "scvrl": (
        SCVRL,
        EvaluationViews(10, 0, "three", 224, 224, starts="offset"),
        spell_out_scvrl,
        (224, 0, 224),
    ),
}


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("length", [64, 100, 173, 300])
def test_the_frames_of_every_paper_are_those_of_its_formula(name: str, length: int) -> None:
    trained, views, spell_out, sizes = PROTOCOLS[name]
    spec = trained.with_views(views)
    assert (spec.decode_height, spec.decode_width, spec.crop_px) == sizes
    found = spec.build_sampling(views.clips).sample(length, ANY).frames_NT.tolist()
    assert found == spell_out(length)
