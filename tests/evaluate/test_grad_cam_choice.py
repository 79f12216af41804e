from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.data.catalog import Catalog
from unreel.data.clips import UniformClips
from unreel.errors import CatalogError
from unreel.evaluate.grad_cam_choice import MOST_FRAMES, MOST_VIDEOS, MiddleClip, choose_frames, choose_videos
from unreel.features.input_spec import InputSpec

NO_CHANCE = np.random.default_rng(0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


def paths(catalog: Catalog) -> list[str]:
    return [video.path.name for video in catalog]


@pytest.mark.parametrize(
    ("num_videos", "expected"),
    [
        # The middles of the equal parts of 12 rows: 12 / 2; 12 / 6, 36 / 6, 60 / 6; (2 i + 1) * 12 / 8.
        (1, ["06.mp4"]),
        (3, ["02.mp4", "06.mp4", "10.mp4"]),
        (4, ["01.mp4", "04.mp4", "07.mp4", "10.mp4"]),
        (12, [f"{number:02d}.mp4" for number in range(12)]),
        (20, [f"{number:02d}.mp4" for number in range(12)]),
    ],
)
def test_videos_are_spread_evenly_over_the_catalog(
    catalog: Catalog, num_videos: int, expected: list[str]
) -> None:
    assert paths(choose_videos(catalog, num_videos=num_videos)) == expected


def test_a_seed_chooses_at_random_and_again_the_same(catalog: Catalog) -> None:
    chosen = [paths(choose_videos(catalog, num_videos=5, seed=seed)) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    for names in chosen:
        assert len(set(names)) == 5
        assert names == sorted(names)
    assert paths(choose_videos(catalog, num_videos=30, seed=3)) == paths(catalog)


def test_named_videos_come_in_the_order_of_their_names_and_once(catalog: Catalog) -> None:
    names = ["07.mp4", catalog.ids[2], "00.mp4", catalog.ids[7]]
    chosen = choose_videos(catalog, names=names, num_videos=1, seed=5)
    assert paths(chosen) == ["07.mp4", "02.mp4", "00.mp4"]


def test_a_name_that_is_not_there_is_refused_with_one_that_is(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match=r"no video '07\.mpg' among the 12 .* did you mean 07\.mp4"):
        choose_videos(catalog, names=["00.mp4", "07.mpg"])
    with pytest.raises(CatalogError, match=r"no video 'zzzz' .* give its id, or its path from the root"):
        choose_videos(catalog, names=["zzzz"])


@pytest.mark.parametrize("num_videos", [0, -1, MOST_VIDEOS + 1])
def test_a_number_of_videos_that_nobody_can_look_at_is_refused(catalog: Catalog, num_videos: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and {MOST_VIDEOS}, got {num_videos}"):
        choose_videos(catalog, num_videos=num_videos)


def test_nothing_can_be_chosen_from_nothing(catalog: Catalog) -> None:
    assert len(choose_videos(catalog.take([]))) == 0
    with pytest.raises(ValueError, match=f"got {MOST_VIDEOS + 2}; draw several figures"):
        choose_videos(catalog, names=["00.mp4"] * (MOST_VIDEOS + 2))


@given(st.integers(1, 300), st.integers(1, 12))
def test_single_frames_are_those_that_extraction_takes(num_frames: int, wanted: int) -> None:
    spec = InputSpec(num_frames=1, frame_stride=1)
    rule = choose_frames(spec, wanted)
    found = rule.sample(num_frames, NO_CHANCE).frames_NT
    np.testing.assert_array_equal(found, spec.build_sampling(wanted).sample(num_frames, NO_CHANCE).frames_NT)
    assert found.shape == (wanted, 1)


@given(st.integers(1, 300), st.integers(2, 20), st.integers(1, 4))
def test_of_clips_the_one_in_the_middle_is_taken(num_frames: int, length: int, stride: int) -> None:
    spec = InputSpec(num_frames=length, frame_stride=stride)
    rule = choose_frames(spec, 3)
    assert rule.num_clips == 1
    (clip,) = rule.sample(num_frames, NO_CHANCE).frames_NT
    assert len(clip) == length
    if num_frames >= length * stride:
        # As many frames before the clip as behind it, where a clip ends with its last stride.
        assert clip[0] == (num_frames - length * stride) // 2
        assert set(np.diff(clip)) == {stride}


def test_the_middle_of_a_rule_is_its_second_clip_of_three() -> None:
    rule = MiddleClip(UniformClips(3, 2, 1))
    # 10 frames, clips of 2: starts 0, 4, 8.
    assert rule.sample(10, NO_CHANCE).frames_NT.tolist() == [[4, 5]]
    parts = InputSpec(sampling="frame_per_part", num_frames=4, span_frames=8)
    # 24 frames, spans of 8: the middle one begins at 8, and its parts of 2 frames have their centers at 1.
    assert choose_frames(parts, 4).sample(24, NO_CHANCE).frames_NT.tolist() == [[9, 11, 13, 15]]


@pytest.mark.parametrize("num_frames", [0, MOST_FRAMES + 1])
@pytest.mark.parametrize("spec", [InputSpec(num_frames=1), InputSpec(num_frames=8)])
def test_a_number_of_frames_that_nobody_can_look_at_is_refused(num_frames: int, spec: InputSpec) -> None:
    with pytest.raises(
        ValueError, match=f"num_frames must lie between 1 and {MOST_FRAMES}, got {num_frames}"
    ):
        choose_frames(spec, num_frames)
