import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.features.grid_clips import GridSampling, choose_clip, cut_clips
from unreel.features.input_spec import InputSpec
from unreel.models.resnet2d import ResNetConfig

lengths = st.integers(1, 200)
steps = st.integers(1, 40)


def test_every_sixteenth_frame_starts_with_the_eighth() -> None:
    grid = GridSampling(16)
    assert grid.find_centers(75).tolist() == [8, 24, 40, 56, 72]
    assert grid.find_centers(72).tolist() == [8, 24, 40, 56]
    assert grid.find_edges(75).tolist() == [0, 16, 32, 48, 64, 75]
    assert grid.find_edges(72).tolist() == [0, 16, 32, 48, 72]
    assert grid.find_centers(5).tolist() == [2]
    assert GridSampling(1).find_centers(4).tolist() == [0, 1, 2, 3]


@given(lengths, steps)
def test_stretches_cover_the_video_and_have_their_centre_inside(num_frames: int, every: int) -> None:
    grid = GridSampling(every)
    centers, edges = grid.find_centers(num_frames), grid.find_edges(num_frames)
    assert edges[0] == 0
    assert edges[-1] == num_frames
    assert (np.diff(edges) > 0).all()
    assert len(edges) == len(centers) + 1
    assert ((edges[:-1] <= centers) & (centers < edges[1:])).all()


@given(lengths, st.integers(1, 9), st.integers(1, 4))
def test_clips_lie_around_their_frame_and_within_the_video(num_frames: int, length: int, stride: int) -> None:
    spec = InputSpec(num_frames=length, frame_stride=stride)
    centers = GridSampling(7).find_centers(num_frames)
    frames = cut_clips(centers, num_frames, spec)
    for center, clip in zip(centers.tolist(), frames.tolist(), strict=True):
        first = center - (length - 1) * stride // 2
        expected = [min(max(first + place * stride, 0), num_frames - 1) for place in range(length)]
        assert clip == expected
        assert clip[0] <= center <= clip[-1] or length % 2 == 0


def test_worked_clips() -> None:
    spec = InputSpec(num_frames=4, frame_stride=2)
    # Six frames from the first to the last: 24 - 3 = 21.
    assert cut_clips(np.array([24]), 75, spec).tolist() == [[21, 23, 25, 27]]
    assert cut_clips(np.array([1, 74]), 75, spec).tolist() == [[0, 0, 2, 4], [71, 73, 74, 74]]
    assert cut_clips(np.array([8, 24]), 75, InputSpec(num_frames=1)).tolist() == [[8], [24]]
    parts = InputSpec(sampling="frame_per_part", num_frames=4, span_frames=16)
    # Parts of 4 frames from 24 - 8 on, the third frame of each.
    assert cut_clips(np.array([24]), 75, parts).tolist() == [[18, 22, 26, 30]]


def test_a_network_of_segments_sees_the_frame_itself_or_its_neighbours() -> None:
    spec = InputSpec(sampling="segments", num_frames=8, frame_stride=2)
    alone = choose_clip(spec, ResNetConfig(depth=18))
    assert (alone.sampling, alone.num_frames) == ("clip", 1)
    shifted = choose_clip(spec, ResNetConfig(depth=18, temporal_shift=True))
    assert (shifted.sampling, shifted.num_frames, shifted.frame_stride) == ("clip", 8, 2)
    assert choose_clip(spec).num_frames == 8
    plain = InputSpec(num_frames=16)
    assert choose_clip(plain, ResNetConfig(depth=18)) == plain
    assert dataclasses.replace(alone, sampling="segments", num_frames=8) == spec


def test_clips_of_whole_videos_are_refused() -> None:
    spec = InputSpec(sampling="frame_per_part", span_frames=0)
    with pytest.raises(ValueError, match=r"cover the whole video \(input.span_frames = 0\)"):
        choose_clip(spec)


def test_a_table_names_its_grid() -> None:
    assert GridSampling(12).name == "CenteredClips(every=12)"
    assert GridSampling.from_name("CenteredClips(every=12)") == GridSampling(12)
    assert GridSampling.from_name("UniformClips") is None
    assert GridSampling.from_name("CenteredClips(every=0)") is None
    with pytest.raises(ValueError, match="every_frames must be at least 1, got 0"):
        GridSampling(0)
