from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.features.grids import GridTable, build_grids, check_grid, find_times, resample
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

INFO = FeatureInfo(encoder_hash="0" * 16, dimension=2, sampling="CenteredClips(every=4)")


def build_table(lengths: dict[str, int], *, info: FeatureInfo = INFO) -> FeatureTable:
    """Return a table with so many rows of one second per video; the last row lasts half a second."""
    videos = [video for video, count in lengths.items() for _ in range(count)]
    rng = np.random.default_rng(0)
    table = build_vectors(rng.normal(size=(len(videos), 2)), videos, info=info, splits=["test"] * len(videos))
    columns = {name: table.column(name) for name in FeatureTable.column_names()}
    starts = np.concatenate([np.arange(count, dtype=float) for count in lengths.values()])
    ends = np.concatenate([np.append(np.arange(1.0, count), count - 0.5) for count in lengths.values()])
    return FeatureTable.from_columns(
        info, table.vectors, **(columns | {"start_sec": starts, "end_sec": ends})
    )


def resample_slowly(vectors: np.ndarray, times: list[float], seconds: float, size: int) -> list[list[float]]:
    rows = []
    for position in range(size):
        values = []
        for sample in range(3):
            point = seconds * (position + (sample + 0.5) / 3) / size
            values.append([np.interp(point, times, vectors[:, number]) for number in range(vectors.shape[1])])
        rows.append(np.mean(values, axis=0))
    return np.transpose(rows).tolist()


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_positions_are_means_of_interpolated_samples(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.1, 1.0, count))
    vectors = rng.normal(size=(count, 3)).astype(np.float32)
    seconds = float(times[-1] + rng.random())
    found = resample(vectors, times, seconds, size)
    assert found.shape == (3, size)
    assert found == pytest.approx(np.array(resample_slowly(vectors, times.tolist(), seconds, size)), abs=1e-5)


def test_a_worked_grid() -> None:
    """Vectors 0, 4, 8 at 1, 3 and 5 of 6 seconds rise by 2 a second; three positions of two seconds each.

    Samples lie at 1/3, 1, 5/3 of a position: 0, 0, 4/3 (mean 4/9), 8/3, 4, 16/3 (mean 4), and mirrored.
    """
    found = resample(np.array([[0.0], [4.0], [8.0]], np.float32), np.array([1.0, 3.0, 5.0]), 6.0, 3)
    assert found[0] == pytest.approx([4 / 9, 4.0, 8 - 4 / 9])


def test_time_reversed_is_the_grid_reversed() -> None:
    rng = np.random.default_rng(1)
    vectors, times = rng.normal(size=(5, 2)).astype(np.float32), np.array([0.5, 1.0, 2.5, 3.0, 3.5])
    mirrored = resample(vectors[::-1], 4.0 - times[::-1], 4.0, 7)
    assert mirrored == pytest.approx(resample(vectors, times, 4.0, 7)[:, ::-1], abs=1e-6)


def test_the_last_stretch_has_its_moment_where_the_others_have() -> None:
    assert find_times(np.array([0.0, 2.0, 4.0]), np.array([2.0, 4.0, 7.0])).tolist() == [1.0, 3.0, 5.0]
    assert find_times(np.array([0.0, 2.0]), np.array([2.0, 2.5])).tolist() == [1.0, 2.5]
    assert find_times(np.array([0.0]), np.array([3.0])).tolist() == [1.5]


def test_a_table_becomes_a_grid_per_video() -> None:
    table = build_table({"b": 4, "a": 1, "c": 2})
    grids = build_grids(table, 6)
    assert (grids.video_ids, grids.paths, len(grids)) == (["b", "a", "c"], ["b.mp4", "a.mp4", "c.mp4"], 3)
    assert grids.seconds_V.tolist() == [3.5, 0.5, 1.5]
    assert grids.features_VDT.shape == (3, 2, 6)
    expected = resample(table.vectors[:4], np.array([0.5, 1.5, 2.5, 3.5]), 3.5, 6)
    assert np.array_equal(grids.features_VDT[0], expected)
    assert (grids.features_VDT[1] == table.vectors[4][:, None]).all()
    assert grids.info == INFO
    assert len(build_grids(table.take(np.arange(0)), 6)) == 0


def test_videos_are_built_when_they_are_asked_for() -> None:
    table = build_table({"b": 4, "a": 1, "c": 2})
    whole, videos = build_grids(table, 6), GridTable(table)
    assert (videos.video_ids, len(videos), videos.info) == (["b", "a", "c"], 3, INFO)
    some = videos.build([2, 0], 6)
    assert (some.video_ids, some.paths, some.seconds_V.tolist()) == (
        ["c", "b"],
        ["c.mp4", "b.mp4"],
        [1.5, 3.5],
    )
    assert np.array_equal(some.features_VDT, whole.features_VDT[[2, 0]])
    assert videos.build([], 6).features_VDT.shape == (0, 2, 6)


def test_a_split_of_a_table_is_as_if_the_rest_were_not_there() -> None:
    table = build_table({"b": 4, "a": 1, "c": 2, "d": 3})
    columns = {name: table.column(name) for name in FeatureTable.column_names()}
    splits = ["train"] * 4 + ["test"] + ["train"] * 2 + ["test"] * 3
    table = FeatureTable.from_columns(INFO, table.vectors, **(columns | {"split": splits}))
    videos = GridTable(table, split="test")
    assert videos.video_ids == ["a", "d"]
    expected = build_grids(table.select("test"), 5)
    found = videos.build(range(2), 5)
    assert np.array_equal(found.features_VDT, expected.features_VDT)
    assert np.array_equal(found.seconds_V, expected.seconds_V)
    with pytest.raises(FeaturesError, match="no split 'val'"):
        GridTable(table, split="val")


def test_a_table_of_spread_clips_is_refused() -> None:
    info = FeatureInfo(encoder_hash="0" * 16, dimension=2, sampling="UniformClips")
    with pytest.raises(
        FeaturesError, match=r"f.parquet has UniformClips spread .* `unreel localize features`"
    ):
        check_grid(Path("f.parquet"), build_table({"a": 2}, info=info))
    check_grid(Path("f.parquet"), build_table({"a": 2}))
    check_grid(Path("f.parquet"), build_table({"a": 2}).take(np.arange(0)))


def change_times(changes: dict[tuple[str, int], float]) -> FeatureTable:
    """Return rows 0 to 3 of video b and 4 to 6 of video a with other times."""
    table = build_table({"b": 4, "a": 3})
    columns = {name: table.column(name).copy() for name in FeatureTable.column_names()}
    for (name, row), value in changes.items():
        columns[name][row] = value
    return FeatureTable.from_columns(INFO, table.vectors, **columns)


@pytest.mark.parametrize(
    ("changes", "row", "stretch"),
    [
        ({("start_sec", 1): float("nan")}, 1, "nan to 2"),
        ({("end_sec", 6): float("nan")}, 6, "2 to nan"),
        ({("end_sec", 6): float("inf")}, 6, "2 to inf"),
        ({("end_sec", 6): 1e300}, 6, "2 to 1e+300"),
        ({("start_sec", 4): -1.0}, 4, "-1 to 1"),
        ({("start_sec", 2): 1.0}, 2, "1 to 3"),
        ({("start_sec", 2): 0.5}, 2, "0.5 to 3"),
        ({("end_sec", 3): 2.5}, 3, "3 to 2.5"),
        ({("end_sec", 1): 4.5}, 2, "2 to 3"),  # its middle, 2.5, lies before 2.75
        ({("end_sec", 5): 9.0, ("end_sec", 6): 9.0}, 6, "2 to 9"),  # 2.5, as in the first, lies before 5
    ],
)
def test_times_that_cannot_be_are_refused_with_file_and_video(
    changes: dict[tuple[str, int], float], row: int, stretch: str
) -> None:
    video = "b.mp4" if row < 4 else "a.mp4"
    message = (
        f"f.parquet: row {row}, of video {video}, reaches from {stretch} s; .* `unreel localize features`"
    )
    with pytest.raises(FeaturesError, match=message.replace("+", r"\+")):
        check_grid(Path("f.parquet"), change_times(changes))


def test_a_video_in_pieces_is_refused() -> None:
    table = build_table({"b": 4, "a": 3}).take(np.array([0, 1, 4, 5, 6, 2, 3]))
    with pytest.raises(
        FeaturesError, match=r"f.parquet: the rows of video b.mp4 do not stand together; .* sort"
    ):
        check_grid(Path("f.parquet"), table)
