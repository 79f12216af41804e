import csv
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.scan_samples import run_jobs_here, write_clip
from tests.data.worker_jobs import THIS
from unreel.data import scan
from unreel.data.catalog import Catalog, Segment
from unreel.data.layouts.names import DataSet
from unreel.data.listing import list_files
from unreel.data.scan import scan_videos
from unreel.data.scan_summary import ScanSummary
from unreel.data.video_lists import ListColumns
from unreel.errors import CatalogError, NoVideoError


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 3, 4 and 5 frames in two folders."""
    folder = tmp_path_factory.mktemp("clips")
    for name, num_frames in (("jump/a.mp4", 3), ("jump/b.mp4", 4), ("run/c.avi", 5)):
        write_clip(folder / name, num_frames)
    return folder


@pytest.fixture
def videos(clips: Path, tmp_path: Path) -> Path:
    """A copy of the videos that a test may change."""
    return Path(shutil.copytree(clips, tmp_path / "videos"))


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the catalog goes; files are read in the test's own process."""
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    return tmp_path / "out" / "catalog.parquet"


def read_paths(path: Path) -> dict[str, int]:
    """Return path -> number of frames."""
    table = Catalog.load(path).table
    return dict(zip(table["path"].to_pylist(), table["frames"].to_pylist(), strict=True))


def read_rejected(out: Path) -> dict[str, str]:
    with out.with_name("rejected.csv").open(encoding="utf-8", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def add_up(summary: ScanSummary) -> bool:
    """Whether nothing was lost: every file is in one of the two tables."""
    rows = len(Catalog.load(summary.out)), len(read_rejected(summary.out))
    return rows == (summary.accepted, summary.rejected) and sum(rows) == summary.scanned


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_WORK", f"{THIS}:forbid")


def test_a_folder_becomes_a_catalog(videos: Path, out: Path) -> None:
    summary = scan_videos([videos], out, labels="from-folders")
    assert read_paths(out) == {"jump/a.mp4": 3, "jump/b.mp4": 4, "run/c.avi": 5}
    catalog = Catalog.load(out)
    assert catalog.root == videos
    assert catalog.labels == ["jump", "jump", "run"]
    status = (videos / "run" / "c.avi").stat()
    assert catalog.table["mtime_ns"].to_pylist()[2] == status.st_mtime_ns
    assert catalog.video(2).num_bytes == status.st_size
    assert catalog.video(2).index.num_frames == 5
    assert (summary.scanned, summary.accepted, summary.rejected, summary.reused) == (3, 3, 0, 0)
    assert (summary.frames, summary.labels, summary.splits) == (12, 2, {"": 3})
    assert summary.seconds_of_video == pytest.approx(sum(video.seconds for video in catalog))
    assert add_up(summary)
    assert sorted(path.name for path in out.parent.iterdir()) == ["catalog.parquet", "rejected.csv"]


def test_worker_processes_find_the_same(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (videos / "broken.mp4").write_bytes(b"not a video at all")
    here, there = tmp_path / "here" / "c.parquet", tmp_path / "there" / "c.parquet"
    scan_videos([videos], there, num_workers=2)
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    scan_videos([videos], here)
    assert Catalog.load(there).table.equals(Catalog.load(here).table)
    assert read_rejected(there) == read_rejected(here)


def test_nothing_in_a_hostile_folder_is_lost(videos: Path, out: Path) -> None:
    os.mkfifo(videos / "pipe.mp4")
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("no video\n" * 100)
    (videos / "half.mp4").write_bytes((videos / "jump" / "a.mp4").read_bytes()[:700])
    (videos / "folder.mp4").mkdir()
    (videos / "folder.mp4" / "round").symlink_to(videos)
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    (videos / "twin.mp4").symlink_to("jump/a.mp4")
    (videos / "notes.txt").write_text("remember the milk")
    shutil.copy(videos / "jump" / "a.mp4", videos / 'line\nbreak, "quoted" 漢 \u202e.mp4')
    shutil.copy(videos / "jump" / "a.mp4", videos / ("n" * 251 + ".mp4"))
    shutil.copy(os.fsencode(videos / "jump" / "a.mp4"), os.fsencode(videos) + b"/caf\xe9.mp4")
    summary = scan_videos([videos], out)
    rejected = read_rejected(out)
    assert set(rejected) == {"pipe.mp4", "empty.mp4", "text.mp4", "half.mp4", "gone.mp4", "caf\\xe9.mp4"}
    assert all(rejected.values())
    assert rejected["caf\\xe9.mp4"] == "the name is not UTF-8; rename the file or its folder"
    assert (summary.scanned, summary.accepted, summary.duplicates) == (11, 5, 1)
    assert summary.other_files == {".txt": 1}
    assert sum(summary.reasons.values()) == 6
    assert any("perhaps in a loop" in note for note in summary.notes)
    assert add_up(summary)


KINDS = ("good", "bad", "empty", "pipe", "link", "broken link", "folder", "other")


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8), st.lists(st.sampled_from(KINDS), max_size=4))
def test_every_file_is_accounted_for_whatever_a_folder_holds(above: list[str], below: list[str]) -> None:
    """By hand: what each kind adds to accepted, rejected, reached again, and not a video by name."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "run_jobs", run_jobs_here)
        patch.setattr(scan, "_WORK", f"{THIS}:believe_content")
        videos, out = Path(folder) / "videos", Path(folder) / "catalog.parquet"
        make(videos / "first.mp4", "good")
        for place, kind in enumerate(above):
            make(videos / f"{place}.mp4", kind)
        for place, kind in enumerate(below):
            make(videos / "below" / f"{place}.mp4", kind)
        kinds = Counter(above + below)
        summary = scan_videos([videos], out)
        assert summary.accepted == 1 + kinds["good"]
        assert summary.rejected == kinds["bad"] + kinds["empty"] + kinds["pipe"] + kinds["broken link"]
        assert summary.duplicates == kinds["link"]
        assert sum(summary.other_files.values()) == kinds["other"]
        assert add_up(summary)


def make(path: Path, kind: str) -> None:
    """Create something that has a video's name, unless it is of the kind "other"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in ("good", "bad"):
        path.write_text(kind)
    elif kind == "empty":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        root = next(parent for parent in path.parents if parent.name == "videos")
        path.symlink_to(root / "first.mp4")
    elif kind == "broken link":
        path.symlink_to("nowhere.mp4")
    elif kind == "folder":
        path.mkdir()
    else:
        path.with_suffix(".txt").touch()


def test_a_listing_less_some_files_decides_what_is_scanned(videos: Path, out: Path) -> None:
    """As when a file is being written: it is left alone, and nothing is listed anew."""
    listing = list_files([videos], labels="from-folders")
    write_clip(videos / "late.mp4", 2)
    listing = dataclasses.replace(listing, candidates=listing.candidates[1:])
    summary = scan_videos([videos], out, listing=listing)
    assert read_paths(out) == {"jump/b.mp4": 4, "run/c.avi": 5}
    assert Catalog.load(out).labels == ["jump", "run"]
    assert (summary.scanned, summary.reused) == (2, 0)
    assert scan_videos([videos], out).reused == 2


def test_a_listing_without_files_is_a_folder_without_videos(videos: Path, out: Path) -> None:
    listing = dataclasses.replace(list_files([videos]), candidates=[])
    with pytest.raises(NoVideoError, match="no video in"):
        scan_videos([videos], out, listing=listing)


def test_a_second_scan_reads_nothing(videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (videos / "broken.mp4").write_bytes(b"not a video at all")
    scan_videos([videos], out)
    first, rejected = out.read_bytes(), read_rejected(out)
    forbid_reading(monkeypatch)
    summary = scan_videos([videos], out)
    assert (summary.reused, summary.scanned, summary.dropped) == (4, 4, 0)
    assert out.read_bytes() == first
    assert read_rejected(out) == rejected


def test_a_second_scan_touches_only_what_changed(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_videos([videos], out)
    write_clip(videos / "jump" / "b.mp4", 7)
    os.utime(videos / "jump" / "a.mp4", ns=(1, 1))
    write_clip(videos / "new.mp4", 2)
    (videos / "run" / "c.avi").unlink()
    read: list[str] = []

    def note_and_run(work: str, jobs: Any, **options: Any) -> Any:
        read.extend(os.path.relpath(job["path"], videos) for job in jobs)
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(scan, "run_jobs", note_and_run)
    summary = scan_videos([videos], out)
    assert read == ["jump/a.mp4", "jump/b.mp4", "new.mp4"]
    assert read_paths(out) == {"jump/a.mp4": 3, "jump/b.mp4": 7, "new.mp4": 2}
    assert (summary.reused, summary.dropped, summary.accepted) == (0, 1, 3)


def test_a_fresh_scan_reads_everything(videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan_videos([videos], out)
    forbid_reading(monkeypatch)
    with pytest.raises(AssertionError, match="was read again"):
        scan_videos([videos], out, is_fresh=True)


def test_a_fresh_scan_forgets_an_interrupted_one_too(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(work: str, jobs: Any, **options: Any) -> Any:
        yield from itertools.islice(run_jobs_here(work, jobs, **options), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(scan, "run_jobs", interrupt)
    partial = out.with_name("catalog.parquet.partial")
    for is_fresh in (False, True, True):
        with pytest.raises(KeyboardInterrupt):
            scan_videos([videos], out, is_fresh=is_fresh)
        assert len([line for line in partial.read_text().splitlines() if line]) == 2
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    assert scan_videos([videos], out).reused == 2


def test_labels_splits_and_groups_are_read_again_for_unchanged_files(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = videos / "v.csv"
    path.write_text("path,label,split\njump/a.mp4,old,train\njump/b.mp4,old,train\n")
    assert scan_videos([path], out).splits == {"train": 2}
    forbid_reading(monkeypatch)
    path.write_text("path,action,split,film\njump/b.mp4,new,test,f\njump/a.mp4,other,train,g\n")
    summary = scan_videos([path], out, columns=ListColumns(label="action", group="film"))
    catalog = Catalog.load(out)
    assert (catalog.labels, catalog.splits, catalog.groups) == (
        ["other", "new"],
        ["train", "test"],
        ["g", "f"],
    )
    assert (summary.reused, summary.splits) == (2, {"test": 1, "train": 1})


def test_an_interrupted_scan_leaves_the_old_catalog_and_goes_on_where_it_stopped(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_videos([videos / "run"], out)
    before = out.read_bytes()

    def interrupt(work: str, jobs: Any, **options: Any) -> Any:
        yield from itertools.islice(run_jobs_here(work, jobs, **options), 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(scan, "run_jobs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scan_videos([videos], out)
    assert out.read_bytes() == before
    assert out.with_name("catalog.parquet.partial").exists()

    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    summary = scan_videos([videos], out)
    assert summary.reused == 2  # one from the old catalog, one from the interrupted scan
    assert read_paths(out) == {"jump/a.mp4": 3, "jump/b.mp4": 4, "run/c.avi": 5}
    assert not out.with_name("catalog.parquet.partial").exists()


def test_ctrl_c_keeps_what_was_read_and_leaves_no_process(tmp_path: Path) -> None:
    """A real scan in a process group of its own gets the signal, as does the worker that hangs."""
    for name in ("good", "hang"):
        make(tmp_path / "videos" / f"{name}.mp4", "good")
    program = (
        "import sys; from pathlib import Path; from unreel.data import scan; "
        f"scan._WORK = '{THIS}:misbehave'; "
        "scan.scan_videos([Path('videos')], Path('c.parquet'), num_workers=1)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    partial = tmp_path / "c.parquet.partial"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        give_up = time.monotonic() + 30
        while not (partial.exists() and "good.mp4" in partial.read_text()) and time.monotonic() < give_up:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert not (tmp_path / "c.parquet").exists()
    assert len([line for line in partial.read_text().splitlines() if line]) == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_one_scan_and_an_interrupted_one_end_alike(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):

        def interrupt(work: str, jobs: Any, **options: Any) -> Any:
            yield from itertools.islice(run_jobs_here(work, jobs, **options), 1)
            raise KeyboardInterrupt

        monkeypatch.setattr(scan, "run_jobs", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scan_videos([videos], out)
    forbid_reading(monkeypatch)
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    assert scan_videos([videos], out).reused == 3
    resumed = out.read_bytes()
    monkeypatch.undo()
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    scan_videos([videos], out, is_fresh=True)
    assert out.read_bytes() == resumed


def test_files_that_hang_or_crash_the_reader_are_rejected_alone_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "c.parquet"
    for name in ("good", "hang", "crash", "raise", "fine"):
        path = videos / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"video")
    monkeypatch.setattr(scan, "_WORK", f"{THIS}:misbehave")
    monkeypatch.setattr(scan, "_SECONDS_OF_GRACE", 0.2)
    summary = scan_videos([videos], out, num_workers=2, time_limit_sec=0.3)
    assert set(read_paths(out)) == {"good.mp4", "fine.mp4"}
    assert read_rejected(out) == {
        "hang.mp4": "not read within 0.5 s, even its reader hung",
        "crash.mp4": "the process that read it died (SIGSEGV)",
        "raise.mp4": "unexpected ArithmeticError: the sum is wrong",
    }
    assert add_up(summary)
    (videos / "hang.mp4").write_bytes(b"video")
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    monkeypatch.setattr(scan, "_WORK", "unreel.data.scan_probe:probe_file")
    assert scan_videos([videos], out).reused == 2


def test_a_file_that_vanishes_between_listing_and_reading_is_rejected(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove_and_run(work: str, jobs: Any, **options: Any) -> Any:
        (videos / "jump" / "a.mp4").unlink()
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(scan, "run_jobs", remove_and_run)
    summary = scan_videos([videos], out)
    assert read_rejected(out) == {"jump/a.mp4": "file not found: it vanished after the folder was listed"}
    assert add_up(summary)


def test_a_quick_scan_is_repeated_when_a_thorough_one_is_asked_for(videos: Path, out: Path) -> None:
    assert scan_videos([videos], out, check="packets").reused == 0
    assert set(Catalog.load(out).table["check"].to_pylist()) == {"packets"}
    assert scan_videos([videos], out, check="decode").reused == 0
    assert scan_videos([videos], out, check="packets").reused == 3


def test_files_elsewhere_are_named_by_absolute_paths(videos: Path, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "lists" / "v.txt"
    path.parent.mkdir()
    path.write_text("../videos/jump/a.mp4 jump\ngone.mp4 run\n")
    summary = scan_videos([path], out)
    assert list(read_paths(out)) == [str(videos / "jump" / "a.mp4")]
    assert read_rejected(out) == {"gone.mp4": "file not found"}
    assert add_up(summary)


def test_the_table_of_rejected_files_goes_where_it_is_asked_to(
    videos: Path, out: Path, tmp_path: Path
) -> None:
    summary = scan_videos([videos], out, rejected=tmp_path / "bad.csv")
    assert summary.rejected_path == tmp_path / "bad.csv"
    assert (tmp_path / "bad.csv").exists()
    assert not out.with_name("rejected.csv").exists()


def test_progress_counts_every_file_once(videos: Path, out: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"not a video at all")
    (videos / "empty.mp4").touch()
    heard: list[tuple[int, int, str]] = []
    scan_videos([videos], out, progress=lambda *state: heard.append(state))
    reading = [state for state in heard if state[2] != "looking for videos"]
    assert [(done, total) for done, total, _ in reading] == [(done, 5) for done in range(1, 6)]
    assert reading[-1][2] == "2 rejected"


def test_a_folder_without_videos_is_an_error_that_says_what_was_found(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(CatalogError, match=r"no video in .*pictures: looked in all .* found no file at all"):
        scan_videos([folder], out)
    for number in range(3):
        (folder / f"{number}.jpg").touch()
    with pytest.raises(
        CatalogError, match=r"\.mp4, \.avi, \.mkv, \.webm and the like, found 3 files \(\.jpg 3\)"
    ):
        scan_videos([folder], out)
    assert not out.parent.exists()


def test_when_nothing_can_be_used_the_reasons_are_written_but_no_catalog(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.mp4").touch()
    (folder / "b.mp4").touch()
    with pytest.raises(NoVideoError, match=r"none of the 2 files can be used \(2 times: the file is empty"):
        scan_videos([folder], out)
    assert set(read_rejected(out)) == {"a.mp4", "b.mp4"}
    assert not out.exists()
    assert not out.with_name("catalog.parquet.partial").exists()


def test_an_empty_folder_does_not_empty_the_catalog(videos: Path, out: Path) -> None:
    """As when the disk with the videos is not mounted."""
    scan_videos([videos], out)
    before = out.read_bytes()
    shutil.rmtree(videos)
    videos.mkdir()
    with pytest.raises(CatalogError, match="no video in"):
        scan_videos([videos], out)
    assert out.read_bytes() == before


def test_another_file_is_never_overwritten(videos: Path, out: Path) -> None:
    out.parent.mkdir()
    out.write_text("my thesis")
    for is_fresh in (False, True):
        with pytest.raises(CatalogError, match="exists and is not a catalog"):
            scan_videos([videos], out, is_fresh=is_fresh)
    assert out.read_text() == "my thesis"


def test_a_catalog_of_another_version_is_replaced_only_by_a_fresh_scan(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.data.catalog_table.SCHEMA_VERSION", 99)
    scan_videos([videos], out)
    monkeypatch.setattr("unreel.data.catalog_table.SCHEMA_VERSION", 1)
    with pytest.raises(CatalogError, match="scan again with --fresh"):
        scan_videos([videos], out)
    scan_videos([videos], out, is_fresh=True)
    assert len(Catalog.load(out)) == 3


@pytest.mark.parametrize(
    "options",
    [{"num_workers": 0}, {"num_workers": -2}, {"time_limit_sec": 0.0}, {"time_limit_sec": float("nan")}],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], videos: Path, out: Path) -> None:
    with pytest.raises(
        ValueError,
        match="num_workers must be at least 1, or -1 for one per core, and time_limit_sec positive, got",
    ):
        scan_videos([videos], out, **options)


def test_segments_are_cut_to_their_videos_and_change_without_reading_again(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``a.mp4`` lasts 0.12 s, ``b.mp4`` 0.16 s."""
    path = videos / "v.csv"
    header = "path,start_sec,end_sec,label,split\n"
    path.write_text(header + "jump/a.mp4,0,0.05,up,train\njump/a.mp4,0.04,9,down,\njump/b.mp4,5,6,up,test\n")
    summary = scan_videos([path], out)
    catalog = Catalog.load(out)
    assert catalog.video(0).segments == (Segment(0.0, 0.05, "up"), Segment(0.04, 0.12, "down"))
    assert catalog.video(1).segments == ()
    assert summary.segment_labels == 2
    assert (catalog.labels, catalog.splits, summary.segments) == (["", "up"], ["train", "test"], 2)
    assert (
        "segments that end behind the end of their video, and were cut to it: 1 (jump/a.mp4)" in summary.notes
    )
    assert summary.warnings == (
        "segments left out, because they begin behind the end of their video: 1 (jump/b.mp4)",
    )
    forbid_reading(monkeypatch)
    path.write_text(header + "jump/a.mp4,0,0.1,left,test\njump/b.mp4,,,stand,test\n")
    summary = scan_videos([path], out)
    again = Catalog.load(out)
    assert (summary.reused, summary.segments, summary.warnings) == (2, 1, ())
    assert again.video(0).segments == (Segment(0.0, 0.1, "left"),)
    assert (again.labels, again.splits) == (["left", "stand"], ["test", "test"])
    assert again.hash != catalog.hash
    assert not any("header" in note or "segments" in note for note in summary.notes)


def test_a_data_set_is_scanned_and_what_is_missing_may_come_later(videos: Path, out: Path) -> None:
    (videos / "jump_test_split1.txt").write_text("a.mp4 1\nb.mp4 2\nlate.mp4 1\n")
    summary = scan_videos([videos], out, data_set=DataSet("hmdb51"))
    assert (summary.accepted, summary.rejected, summary.splits) == (2, 1, {"test": 1, "train": 1})
    assert list(read_rejected(out)) == ["jump/late.mp4"]
    assert add_up(summary)
    write_clip(videos / "jump" / "late.mp4")
    summary = scan_videos([videos], out, data_set=DataSet("hmdb51"))
    assert (summary.accepted, summary.rejected, summary.reused) == (3, 0, 2)
