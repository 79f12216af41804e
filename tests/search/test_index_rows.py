import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_vectors
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.search.index_rows import split_by_video

TABLE = build_vectors(
    [[1, 0], [0, 1], [2, 2], [3, 3], [5, 5]],
    ["b", "a", "b", "c", "a"],
    labels=["run", "dive", "run", "", "dive"],
    splits=["train", "test", "train", "", "test"],
    groups=["1", "2", "1", "3", "2"],
)


def test_videos_come_in_order_of_first_appearance_with_their_own_rows() -> None:
    videos = list(split_by_video(TABLE))
    assert [video.id for video in videos] == ["b", "a", "c"]
    assert [video.vectors_ND.tolist() for video in videos] == [[[1, 0], [2, 2]], [[0, 1], [5, 5]], [[3, 3]]]
    assert [video.path for video in videos] == ["b.mp4", "a.mp4", "c.mp4"]
    assert [(video.label, video.split, video.group) for video in videos] == [
        ("run", "train", "1"),
        ("dive", "test", "2"),
        ("", "", "3"),
    ]


def test_places_of_the_vectors_come_along() -> None:
    """`build_vectors` gives clip c of a video frames from 4 c on, and the time from c to c + 1.5 seconds."""
    video = list(split_by_video(TABLE))[1]
    assert video.clip_index_N.tolist() == [0, 1]
    assert video.frame_index_N.tolist() == [0, 4]
    assert video.start_sec_N.tolist() == [0.0, 1.0]
    assert video.end_sec_N.tolist() == [1.5, 2.5]
    assert video.clip_index_N.dtype == video.frame_index_N.dtype == np.int64
    assert video.vectors_ND.dtype == np.float32


def test_a_video_lasts_until_its_last_vector_ends_and_its_file_is_not_known() -> None:
    videos = list(split_by_video(TABLE))
    assert [video.seconds for video in videos] == [2.5, 2.5, 1.5]
    assert {(video.num_bytes, video.mtime_ns) for video in videos} == {(None, None)}


def test_several_vectors_of_one_clip_are_kept_apart() -> None:
    """As pooling "frame" makes them: one for each time position of a clip."""
    table = FeatureTable.from_columns(
        FeatureInfo(encoder_hash="0" * 16, dimension=2, pooling="frame"),
        [[1, 0], [0, 1], [1, 1], [2, 1]],
        video_id=["a"] * 4,
        path=["a.mp4"] * 4,
        label=[""] * 4,
        split=[""] * 4,
        group=[""] * 4,
        clip_index=[0, 0, 1, 1],
        frame_index=[2, 6, 3, 7],
        start_sec=[0.2, 0.6, 0.3, 0.7],
        end_sec=[0.3, 0.7, 0.4, 0.8],
    )
    (video,) = split_by_video(table)
    assert video.clip_index_N.tolist() == [0, 0, 1, 1]
    assert video.start_sec_N.tolist() == [0.2, 0.6, 0.3, 0.7]
    assert video.seconds == 0.8


def test_an_empty_table_has_no_videos() -> None:
    assert list(split_by_video(TABLE.take(np.array([], dtype=np.int64)))) == []


@given(st.lists(st.sampled_from("abcdé'\""), min_size=1, max_size=30))
def test_every_row_goes_to_its_video_in_its_order(names: list[str]) -> None:
    table = build_vectors([[number, 1] for number in range(len(names))], names)
    videos = list(split_by_video(table))
    assert [video.id for video in videos] == list(dict.fromkeys(names))
    for video in videos:
        expected = [number for number, name in enumerate(names) if name == video.id]
        assert video.vectors_ND[:, 0].tolist() == expected
        assert len(video.start_sec_N) == len(video.end_sec_N) == len(expected)


def test_what_is_yielded_does_not_change_the_table() -> None:
    (first, *_) = split_by_video(TABLE)
    first.vectors_ND[:] = 0
    assert TABLE.vectors[0].tolist() == [1, 0]


def test_texts_are_plain_texts() -> None:
    """SQLite takes nothing else; NumPy has types of its own."""
    for video in split_by_video(TABLE):
        for text in (video.id, video.path, video.label, video.split, video.group):
            assert type(text) is str
        assert type(video.seconds) is float


@pytest.mark.parametrize("count", [1, 400])
def test_many_videos_are_taken_apart(count: int) -> None:
    names = [f"{number % count:04d}" for number in range(2 * count)]
    videos = list(split_by_video(build_vectors(np.arange(2 * count, dtype=np.float32)[:, None], names)))
    assert len(videos) == count
    assert videos[-1].vectors_ND[:, 0].tolist() == [count - 1, 2 * count - 1]
