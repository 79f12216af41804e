import csv
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.features.tiny import build_vectors
from unreel.data.batch import Rejection
from unreel.errors import FeaturesError
from unreel.features import parts as module
from unreel.features.parts import PartFiles
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

INFO = FeatureInfo(encoder_hash="abc", dimension=2)


def build_parts(
    folder: Path, *, info: FeatureInfo = INFO, num_videos: int = 10, videos_per_batch: int = 4
) -> PartFiles:
    return PartFiles(folder / "f.parquet", info, num_videos=num_videos, videos_per_batch=videos_per_batch)


def write_all(parts: PartFiles, *, rejected: dict[int, str] | None = None) -> None:
    for part in range(parts.count):
        rows = [row for row in parts.rows(part) if row not in (rejected or {})]
        table = build_vectors([[row, -row] for row in rows], [f"v{row:04d}" for row in rows], info=parts.info)
        failures = [
            Rejection(f"v{row}", text) for row, text in (rejected or {}).items() if row in parts.rows(part)
        ]
        parts.write(part, table, failures)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_VIDEOS_PER_PART", 4)


@pytest.mark.parametrize(
    ("num_videos", "videos_per_batch"), [(1, 1), (64, 3), (200, 3), (129, 64), (500, 100)]
)
def test_parts_share_out_the_rows_in_whole_passes(
    tmp_path: Path, num_videos: int, videos_per_batch: int
) -> None:
    parts = build_parts(tmp_path, num_videos=num_videos, videos_per_batch=videos_per_batch)
    rows = [row for part in range(parts.count) for row in parts.rows(part)]
    assert rows == list(range(num_videos))
    assert all(parts.rows(part).start % videos_per_batch == 0 for part in range(parts.count))


@pytest.mark.usefixtures("small_parts")
def test_merging_gives_all_rows_in_order_and_removes_nothing_before_its_time(tmp_path: Path) -> None:
    parts = build_parts(tmp_path)
    assert parts.find_missing() == [0, 1, 2]
    write_all(parts)
    assert parts.find_missing() == []
    assert parts.merge() == 10
    table = FeatureTable.load(tmp_path / "f.parquet")
    assert table.vectors[:, 0].tolist() == list(range(10))
    assert table.info == INFO
    assert parts.folder.exists()
    parts.remove()
    assert not parts.folder.exists()


@pytest.mark.usefixtures("small_parts")
def test_rows_are_joined_into_large_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = build_parts(tmp_path)
    write_all(parts)
    row_bytes = pq.read_table(parts.path(0)).nbytes / 4
    monkeypatch.setattr(module, "_BYTES_PER_GROUP", 6 * row_bytes)
    parts.merge()
    metadata = pq.read_metadata(tmp_path / "f.parquet")
    # Parts of 4, 4 and 2 rows: two parts reach 6 rows.
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [8, 2]


@pytest.mark.usefixtures("small_parts")
def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        parts = build_parts(tmp_path / name)
        write_all(parts)
        parts.merge()
        files.append((tmp_path / name / "f.parquet").read_bytes())
    assert files[0] == files[1]


@pytest.mark.usefixtures("small_parts")
def test_rejections_are_kept_with_their_part_and_listed_in_order(tmp_path: Path) -> None:
    parts = build_parts(tmp_path)
    write_all(parts, rejected={9: "no header", 1: 'cut, at "frame" 3'})
    rejections = parts.read_rejections()
    assert [item.path for item in rejections] == ["v1", "v9"]
    path = parts.list_rejections(rejections)
    assert path == tmp_path / "f.rejected.csv"
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason"],
            ["v1", 'cut, at "frame" 3'],
            ["v9", "no header"],
        ]
    assert parts.merge() == 8


def test_without_rejections_an_older_list_is_removed(tmp_path: Path) -> None:
    (tmp_path / "f.rejected.csv").write_text("old")
    assert build_parts(tmp_path).list_rejections([]) is None
    assert not (tmp_path / "f.rejected.csv").exists()


@pytest.mark.usefixtures("small_parts")
def test_parts_of_other_settings_are_refused_with_the_difference_and_the_remedy(tmp_path: Path) -> None:
    write_all(build_parts(tmp_path))
    other = build_parts(tmp_path, info=replace(INFO, encoder_hash="xyz", pooling="frame"))
    message = r"encoder_hash: 'xyz', not 'abc'; pooling: 'frame', not 'average'.*start anew with --restart"
    with pytest.raises(FeaturesError, match=message):
        other.find_missing()
    other.remove()
    assert other.find_missing() == [0, 1, 2]


@pytest.mark.usefixtures("small_parts")
def test_parts_of_frames_that_were_chosen_otherwise_are_refused(tmp_path: Path) -> None:
    write_all(build_parts(tmp_path))
    with pytest.raises(FeaturesError, match=r"sampling: 'SpacedFrames', not ''"):
        build_parts(tmp_path, info=replace(INFO, sampling="SpacedFrames")).find_missing()


@pytest.mark.usefixtures("small_parts")
def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    parts = build_parts(tmp_path)
    write_all(parts)
    parts.path(1).write_bytes(b"PAR1")
    assert parts.find_missing() == [1]


@pytest.mark.usefixtures("small_parts")
def test_removing_touches_nothing_else_in_the_folder(tmp_path: Path) -> None:
    parts = build_parts(tmp_path)
    write_all(parts)
    (parts.folder / ".part-000001.parquet.abc.tmp").write_text("half a part of a killed process")
    (parts.folder / "notes.txt").write_text("mine")
    for name in (".f.parquet.abcdefgh.tmp", ".f.rejected.csv.abcdefgh.tmp"):
        (tmp_path / name).write_text("what a process left that was killed while it wrote the table")
    parts.remove()
    assert [path.name for path in tmp_path.iterdir()] == [parts.folder.name]
    assert [path.name for path in parts.folder.iterdir()] == ["notes.txt"]


@pytest.mark.usefixtures("small_parts")
def test_the_size_of_a_part_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding up all that waits at every part takes hours where there are many."""
    asked: list[int] = []

    class Part:
        @property
        def nbytes(self) -> int:
            asked.append(1)
            return 1

        def replace_schema_metadata(self, metadata: None) -> "Part":
            return self

        def combine_chunks(self) -> "Part":
            return self

    monkeypatch.setattr(module, "_BYTES_PER_GROUP", 10)
    monkeypatch.setattr(module.pa, "concat_tables", lambda waiting: waiting[0])
    assert len(list(module._regroup(Part() for _ in range(25)))) == 3
    assert len(asked) == 25
