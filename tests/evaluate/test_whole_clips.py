import dataclasses
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluate.tiny_cacl import build_cacl
from unreel.augment.shuffle_degree import class_to_degree
from unreel.data.catalog import Catalog
from unreel.data.clips import RandomClips, ShortVideo, UniformClips
from unreel.data.loader import DataConfig
from unreel.data.sweep import sweep_batches
from unreel.errors import CatalogError
from unreel.evaluate.whole_clips import count_frames, keep_whole_clips
from unreel.seeding import build_generator


@given(st.integers(1, 9), st.integers(1, 4), st.sampled_from(get_args(ShortVideo)), st.integers(0, 99))
def test_a_video_as_long_as_needed_shows_the_frames_of_a_clip_in_order_at_their_distance(
    num_frames: int, stride: int, short_video: ShortVideo, seed: int
) -> None:
    clips = RandomClips(1, num_frames, stride, short_video=short_video)
    needed = count_frames(clips)
    least = 1 if short_video == "shrink_stride" else stride
    for length in (needed, needed + 3):
        frames = clips.sample(length, build_generator(seed)).frames_NT[0]
        assert (np.diff(frames) >= least).all()
    if needed > 1:
        short = clips.sample(needed - 1, build_generator(seed)).frames_NT[0]
        assert not (np.diff(short) >= least).all()


def test_the_need_of_the_paper_is_31_frames_and_shrinking_the_stride_needs_16() -> None:
    assert count_frames(RandomClips()) == 31
    assert count_frames(RandomClips(short_video="shrink_stride")) == 16
    assert count_frames(UniformClips()) == 1


def shorten(catalog: Catalog, frames: list[int]) -> Catalog:
    """Return the catalog with other numbers of frames in it; the files stay as they are."""
    place = catalog.table.column_names.index("frames")
    kind = catalog.table.schema.field(place)
    column = pa.array(frames, type=kind.type)
    return Catalog(catalog.table.set_column(place, kind, column), catalog.root)


def test_short_videos_are_left_out_and_counted(corpus: Path) -> None:
    catalog = shorten(Catalog.load(corpus).take([0, 1, 2, 3]), [10, 11, 20, 5])
    clips = RandomClips(count=1, num_frames=6, frame_stride=2)
    kept = keep_whole_clips(catalog, clips)
    assert (kept.min_frames, kept.num_too_short) == (11, 2)
    assert kept.videos.ids == catalog.ids[1:3]
    trained_on = keep_whole_clips(catalog, clips, min_frames=12)
    assert (trained_on.min_frames, trained_on.num_too_short) == (12, 3)
    assert keep_whole_clips(catalog, dataclasses.replace(clips, frame_stride=1)).num_too_short == 1


def test_no_video_that_is_long_enough_is_refused_with_the_longest(corpus: Path) -> None:
    catalog = Catalog.load(corpus)
    with pytest.raises(CatalogError, match=r"none of the 12 videos has the 31 frames .* longest has 20\. Me"):
        keep_whole_clips(catalog, RandomClips())
    assert len(keep_whole_clips(catalog.take([]), RandomClips()).videos) == 0


def test_the_degree_of_what_is_shown_is_the_label_on_whole_clips_alone(corpus: Path) -> None:
    """Clips of 6 frames, 2 apart, of videos with 20 frames and of the same files read as having 5."""
    method, whole = build_cacl(), Catalog.load(corpus)
    for catalog, is_always_right in ((whole, True), (shorten(whole, [5] * 12), False)):
        batches = sweep_batches(
            catalog,
            method.config.clips,
            DataConfig(height=18, width=24),
            seed=0,
            batch_size=12,
            num_workers=0,
        )
        batch = next(iter(batches))
        views = method.make_views(batch)
        shown = batch.frame_index_BNT[:, 0].tolist()
        degrees = class_to_degree(views.degree_class_B.numpy()).tolist()
        right = [
            measure_distance(clip, [clip[place] for place in order]) == degree
            for clip, order, degree in zip(shown, views.order_BT.tolist(), degrees, strict=True)
        ]
        assert all(right) == is_always_right


def measure_distance(first: list[int], second: list[int]) -> int:
    """Return the edit distance of two lists, by the textbook's table."""
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, start=1):
        last, row[0] = row[0], i
        for j, other in enumerate(second, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return row[-1]
