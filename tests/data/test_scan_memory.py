import csv
from pathlib import Path

import pytest

from tests.data.scan_samples import make_catalog
from tests.data.worker_jobs import media_row
from unreel.data.listing import Candidate
from unreel.data.scan_memory import (
    PartialScan,
    RejectedFile,
    ScanMemory,
    check_outputs,
    read_rejected,
    write_rejected,
)
from unreel.errors import CatalogError


def candidate(path: Path, num_bytes: int = 1000, mtime_ns: int = 7) -> Candidate:
    return Candidate(str(path), str(path), num_bytes, mtime_ns)


def load(folder: Path, root: Path) -> ScanMemory:
    return ScanMemory.load(folder / "c.parquet", folder / "rejected.csv", folder / "c.parquet.partial", root)


def test_without_files_nothing_is_remembered(tmp_path: Path) -> None:
    memory = load(tmp_path, tmp_path)
    assert memory.media.num_rows == 0
    assert memory.find(candidate(tmp_path / "a.mp4"), tmp_path, "decode") is None


@pytest.mark.parametrize(
    ("num_bytes", "mtime_ns", "is_known"), [(1000, 7, True), (1001, 7, False), (1000, 8, False)]
)
def test_a_file_is_known_while_its_size_and_time_stay(
    num_bytes: int, mtime_ns: int, is_known: bool, tmp_path: Path
) -> None:
    make_catalog(["a.mp4", "b.mp4"], tmp_path).save(tmp_path / "c.parquet")
    memory = load(tmp_path, tmp_path)
    found = memory.find(candidate(tmp_path / "b.mp4", num_bytes, mtime_ns), tmp_path, "decode")
    assert (found is not None) == is_known
    assert found is None or found.row == 1


def test_a_file_is_known_below_another_root_and_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    make_catalog(["x/a.mp4"], tmp_path).save(tmp_path / "c.parquet")
    memory = load(tmp_path, tmp_path)
    assert memory.find(candidate(tmp_path / "x" / "a.mp4"), tmp_path / "x", "decode") is not None
    assert memory.find(candidate(Path("/moved/x/a.mp4")), Path("/moved"), "decode") is not None
    assert memory.find(candidate(Path("/other/a.mp4")), Path("/other"), "decode") is None


def test_rejected_files_are_remembered_unless_the_reason_lies_outside(tmp_path: Path) -> None:
    rows = [RejectedFile("b,\n.mp4", 'no "video"', 1000, 7), RejectedFile("a.mp4", "took too long")]
    write_rejected(tmp_path / "rejected.csv", rows)
    memory = load(tmp_path, tmp_path)
    found = memory.find(candidate(tmp_path / "b,\n.mp4"), tmp_path, "decode")
    assert found is not None
    assert found.reason == 'no "video"'
    assert memory.find(candidate(tmp_path / "a.mp4"), tmp_path, "decode") is None


def test_rejected_files_are_written_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write_rejected(
        tmp_path / "rejected.csv", [RejectedFile("b.mp4", "empty", 3, 4), RejectedFile("a.mp4", "gone")]
    )
    with (tmp_path / "rejected.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason", "bytes", "mtime_ns"],
            ["a.mp4", "gone", "", ""],
            ["b.mp4", "empty", "3", "4"],
        ]
    assert read_rejected(tmp_path / "rejected.csv") == [
        RejectedFile("a.mp4", "gone"),
        RejectedFile("b.mp4", "empty", 3, 4),
    ]


def test_findings_of_an_interrupted_scan_are_remembered(tmp_path: Path) -> None:
    make_catalog(["a.mp4", "b.mp4"], tmp_path).save(tmp_path / "c.parquet")
    with PartialScan(tmp_path / "c.parquet.partial") as partial:
        partial.add(candidate(tmp_path / "b.mp4", 55), {"row": media_row(frames=9)})
        partial.add(candidate(tmp_path / "d.mp4"), {"reason": "no video"})
        partial.add(candidate(tmp_path / "é\n.mp4"), {"row": media_row(frames=11)})
    memory = load(tmp_path, tmp_path)
    newer = memory.find(candidate(tmp_path / "b.mp4", 55), tmp_path, "decode")
    last = memory.find(candidate(tmp_path / "é\n.mp4"), tmp_path, "decode")
    rejected = memory.find(candidate(tmp_path / "d.mp4"), tmp_path, "decode")
    assert newer is not None
    assert last is not None
    assert rejected is not None
    assert memory.media["frames"].to_pylist()[newer.row] == 9
    assert memory.media["frames"].to_pylist()[last.row] == 11
    assert rejected.reason == "no video"


def test_a_line_that_was_cut_short_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet.partial"
    with PartialScan(path) as partial:
        partial.add(candidate(tmp_path / "a.mp4"), {"reason": "no video"})
        partial.add(candidate(tmp_path / "b.mp4"), {"reason": "no video"})
    path.write_bytes(path.read_bytes()[:-9])
    with PartialScan(path) as partial:
        partial.add(candidate(tmp_path / "c.mp4"), {"reason": "no video"})
    memory = load(tmp_path, tmp_path)
    known = [memory.find(candidate(tmp_path / f"{name}.mp4"), tmp_path, "decode") for name in "abc"]
    assert [finding is not None for finding in known] == [True, False, True]


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match=r"c\.partial: cannot be written \(.*\); choose another --out"):
        PartialScan(tmp_path / "file" / "c.partial")


def test_findings_of_another_version_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.data.scan_memory.SCHEMA_VERSION", 99)
    with PartialScan(tmp_path / "c.parquet.partial") as partial:
        partial.add(candidate(tmp_path / "a.mp4"), {"reason": "no video"})
    monkeypatch.undo()
    assert load(tmp_path, tmp_path).find(candidate(tmp_path / "a.mp4"), tmp_path, "decode") is None


@pytest.mark.parametrize(
    ("done", "asked", "is_enough"),
    [
        ("decode", "decode", True),
        ("decode", "packets", True),
        ("packets", "packets", True),
        ("packets", "decode", False),
    ],
)
def test_a_thorough_check_also_serves_a_quick_one(
    done: str, asked: str, is_enough: bool, tmp_path: Path
) -> None:
    with PartialScan(tmp_path / "c.parquet.partial") as partial:
        partial.add(candidate(tmp_path / "a.mp4"), {"row": media_row(check=done)})
    found = load(tmp_path, tmp_path).find(candidate(tmp_path / "a.mp4"), tmp_path, asked)
    assert (found is not None) == is_enough


def test_videos_that_are_gone_are_counted(tmp_path: Path) -> None:
    make_catalog(["a.mp4", "b.mp4", "c.mp4"], tmp_path).save(tmp_path / "c.parquet")
    memory = load(tmp_path, tmp_path)
    assert (
        memory.count_dropped([candidate(tmp_path / "b.mp4", 1, 1), candidate(tmp_path / "z.mp4")], tmp_path)
        == 2
    )


def test_what_no_scan_wrote_is_not_overwritten(tmp_path: Path) -> None:
    out, rejected = tmp_path / "c.parquet", tmp_path / "rejected.csv"
    check_outputs(out, rejected)
    make_catalog(["a.mp4"], tmp_path).save(out)
    write_rejected(rejected, [])
    check_outputs(out, rejected)
    rejected.write_text("path,why\na.mp4,I do not like it\n")
    with pytest.raises(
        CatalogError, match=r"rejected\.csv: exists and was not written by a scan.*choose another --r"
    ):
        check_outputs(out, rejected)
    out.write_bytes(b"my thesis")
    with pytest.raises(CatalogError, match=r"c\.parquet: exists and is not a catalog.*choose another --out"):
        check_outputs(out, rejected)
    with pytest.raises(CatalogError, match="exists and is not a catalog"):
        check_outputs(tmp_path, rejected)
