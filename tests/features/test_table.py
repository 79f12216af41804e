import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.tiny import build_vectors
from unreel.errors import FeaturesError
from unreel.features import table as table_module
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

INFO = FeatureInfo(
    encoder_hash="abc",
    encoder="run/encoder",
    dimension=2,
    clips_per_video=2,
    sampling="UniformClips",
    batch_size=4,
    catalog_hash="def",
    root="/videos",
)


def build_table() -> FeatureTable:
    return build_vectors(
        [[1, 2], [3, 4], [5, 6], [7, 9]],
        ["b", "b", "a", "a"],
        labels=["run", "run", "jump", "jump"],
        splits=["train", "train", "test", "test"],
        info=INFO,
    )


def test_saving_and_loading_gives_the_table_back(tmp_path: Path) -> None:
    table = build_table()
    table.save(tmp_path / "f.parquet")
    loaded = FeatureTable.load(tmp_path / "f.parquet")
    assert loaded.info == INFO
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_array_equal(loaded.vectors, table.vectors)
    assert loaded.to_arrow().equals(table.to_arrow())
    assert len(loaded) == 4


def test_other_tools_read_the_file_without_this_package(tmp_path: Path) -> None:
    build_table().save(tmp_path / "f.parquet")
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    assert rows[1] == {
        "video_id": "b",
        "path": "b.mp4",
        "label": "run",
        "split": "train",
        "group": "",
        "clip_index": 1,
        "frame_index": 4,
        "start_sec": 1.0,
        "end_sec": 2.5,
        "vector": [3.0, 4.0],
    }


def test_an_empty_table_survives_the_file(tmp_path: Path) -> None:
    build_table().take(np.array([], dtype=np.int64)).save(tmp_path / "f.parquet")
    loaded = FeatureTable.load(tmp_path / "f.parquet")
    assert len(loaded) == 0
    assert loaded.vectors.shape == (0, 2)
    assert loaded.split_names == []


def test_a_table_in_many_groups_of_rows_is_read_in_order(tmp_path: Path) -> None:
    count = 20000
    vectors = np.arange(2 * count).reshape(count, 2)
    build_vectors(vectors, [f"{row:05d}" for row in range(count)], info=INFO).save(tmp_path / "f.parquet")
    loaded = FeatureTable.load(tmp_path / "f.parquet")
    np.testing.assert_array_equal(loaded.vectors, vectors)
    assert loaded.video_ids[-1] == "19999"


def test_selecting_a_split_keeps_its_rows_alone() -> None:
    table = build_table()
    assert table.select("test").video_ids.tolist() == ["a", "a"]
    assert table.select("test").vectors.tolist() == [[5, 6], [7, 9]]
    assert table.select("") is table
    assert table.split_names == ["test", "train"]


def test_a_missing_split_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(FeaturesError, match="no split 'val'; its splits: 'test', 'train'"):
        build_table().select("val")
    with pytest.raises(FeaturesError, match="no split 'val'; its splits: none"):
        build_vectors([[1, 2]], ["a"]).select("val")


def test_averaging_gives_one_row_per_video_in_order_of_appearance() -> None:
    # b: ((1 + 3) / 2, (2 + 4) / 2), from 0 to 2.5 s; a: ((5 + 7) / 2, (6 + 9) / 2).
    videos = build_table().average_per_video()
    assert videos.video_ids.tolist() == ["b", "a"]
    assert videos.vectors.tolist() == [[2.0, 3.0], [6.0, 7.5]]
    assert videos.column("label").tolist() == ["run", "jump"]
    assert videos.column("start_sec").tolist() == [0.0, 0.0]
    assert videos.column("end_sec").tolist() == [2.5, 2.5]
    assert videos.column("clip_index").tolist() == [0, 0]


def test_averages_name_what_the_first_row_of_a_video_names() -> None:
    names = ["z", "y", "z", "y", "x"]
    averaged = build_vectors(np.eye(5), names, labels=list("abcde")).average_per_video()
    assert averaged.video_ids.tolist() == ["z", "y", "x"]
    assert averaged.column("label").tolist() == ["a", "b", "e"]
    assert averaged.column("path").tolist() == ["z.mp4", "y.mp4", "x.mp4"]
    assert len(averaged.take(np.array([], dtype=np.int64)).average_per_video()) == 0


@given(st.lists(st.sampled_from("zyxwv"), min_size=1, max_size=20))
def test_averages_equal_a_plain_loop_however_rows_are_mixed(videos: list[str]) -> None:
    vectors = np.random.default_rng(len(videos)).normal(size=(len(videos), 3))
    averaged = build_vectors(vectors, videos).average_per_video()
    names: list[str] = []
    for name in videos:
        if name not in names:
            names.append(name)
    assert averaged.video_ids.tolist() == names
    for name, mean in zip(names, averaged.vectors, strict=True):
        rows = [vectors[row] for row, video in enumerate(videos) if video == name]
        np.testing.assert_allclose(mean, sum(rows) / len(rows), rtol=1e-5, atol=1e-6)


@given(st.lists(st.sampled_from("zyxwv"), min_size=1, max_size=20), st.integers(1, 5))
def test_averages_do_not_depend_on_how_many_rows_are_copied_at_once(
    videos: list[str], rows_at_once: int
) -> None:
    table = build_vectors(np.random.default_rng(len(videos)).normal(size=(len(videos), 3)), videos)
    whole = table.average_per_video().vectors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "_BLOCK_BYTES", rows_at_once * 3 * 4)
        np.testing.assert_array_equal(table.average_per_video().vectors, whole)


def test_the_videos_of_a_split_are_averaged_as_if_the_split_stood_alone() -> None:
    """Video v has clips in both splits, as in a table that was put together by hand."""
    table = build_vectors(
        [[1, 0], [3, 0], [5, 0], [7, 0]], ["v", "v", "w", "v"], splits=["test", "train", "train", "test"]
    )
    assert table.average_per_video("test").vectors.tolist() == [[4, 0]]
    assert table.average_per_video("train").vectors.tolist() == [[3, 0], [5, 0]]
    for split in ("test", "train"):
        alone = table.select(split).average_per_video()
        assert table.average_per_video(split).to_arrow().equals(alone.to_arrow())
    with pytest.raises(FeaturesError, match="no split 'val'"):
        table.average_per_video("val")


def test_averaging_copies_a_few_vectors_at_a_time() -> None:
    """40 videos of 10 clips, 40 MB; the means take 4 MB, a block 4 MB and its sums less."""
    vectors = np.ones((400, 25_000), dtype=np.float32)
    table = build_vectors(vectors, [f"v{row // 10:02d}" for row in range(400)])
    tracemalloc.start()
    try:
        table.average_per_video()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 4e6 < peak < 16e6


MEASURE_LOADING = """
import sys
from pathlib import Path
from unreel.features.table import FeatureTable

def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000

FeatureTable.load(Path(sys.argv[1]))
before = peak_mb()
FeatureTable.load(Path(sys.argv[2]))
print(peak_mb() - before)
"""


def test_loading_takes_hardly_more_than_the_vectors(tmp_path: Path) -> None:
    """100 MB in one group of rows; read as a whole, group and batch would take as much again, twice."""
    for name, rows in (("small", 4), ("large", 2_500)):
        vectors = np.ones((rows, 10_000), dtype=np.float32)
        build_vectors(vectors, [str(row) for row in range(rows)]).save(tmp_path / name)
    words = [sys.executable, "-c", MEASURE_LOADING, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert 95 < float(done.stdout) < 160


def test_an_unknown_column_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(FeaturesError, match="no column 'actor'; it has video_id, path, label"):
        build_table().column("actor")


def test_columns_must_be_complete_and_equally_long() -> None:
    with pytest.raises(ValueError, match="has the columns"):
        FeatureTable.from_columns(INFO, [[1, 2]], video_id=["a"])
    one = {name: build_table().column(name)[:1] for name in FeatureTable.column_names()}
    with pytest.raises(ValueError, match="2 vectors but 1 rows"):
        FeatureTable.from_columns(INFO, [[1, 2], [3, 4]], **one)


def test_a_missing_file_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"absent.parquet cannot be read .* run `unreel extract`"):
        FeatureTable.load(tmp_path / "absent.parquet")
    with pytest.raises(FeaturesError, match=f"{tmp_path} is a folder; give the file that `unreel extract`"):
        FeatureTable.load(tmp_path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_text("vectors")
    with pytest.raises(FeaturesError, match="cannot be read as a table of features"):
        FeatureTable.load(tmp_path / "f.parquet")


def test_a_damaged_body_is_refused(tmp_path: Path) -> None:
    build_table().save(tmp_path / "f.parquet")
    content = bytearray((tmp_path / "f.parquet").read_bytes())
    content[4:300] = bytes(296)
    (tmp_path / "f.parquet").write_bytes(bytes(content))
    with pytest.raises(FeaturesError, match=r"damaged|cannot be read"):
        FeatureTable.load(tmp_path / "f.parquet")


@pytest.mark.parametrize("name", ["video_id", "path", "label", "split", "group", "frame_index", "start_sec"])
def test_rows_in_which_something_is_missing_are_refused(tmp_path: Path, name: str) -> None:
    arrow = build_table().to_arrow()
    place = arrow.schema.get_field_index(name)
    values = [*arrow[name].to_pylist()[:3], None]
    arrow = arrow.set_column(place, arrow.schema.field(place), pa.array(values, arrow.schema.types[place]))
    pq.write_table(arrow, tmp_path / "f.parquet")
    with pytest.raises(
        FeaturesError, match=f"f.parquet has rows without a {name}, .* `unreel extract` again"
    ):
        FeatureTable.load(tmp_path / "f.parquet")


@pytest.mark.parametrize(
    ("last", "missing"), [(None, "a vector"), ([1.0, None], "a number in a vector")], ids=["row", "number"]
)
def test_missing_vectors_are_refused(tmp_path: Path, last: object, missing: str) -> None:
    arrow = build_table().to_arrow()
    field = arrow.schema.field("vector")
    vectors = pa.array([*arrow["vector"].to_pylist()[:3], last], field.type)
    pq.write_table(arrow.set_column(arrow.num_columns - 1, field, vectors), tmp_path / "f.parquet")
    with pytest.raises(FeaturesError, match=f"rows without {missing}, which is never left out"):
        FeatureTable.load(tmp_path / "f.parquet")
