"""A catalog measured in processes: what is kept, what is measured again, what a broken video costs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.scan_samples import make_catalog, run_jobs_here
from unreel.data import motion as module
from unreel.data.catalog import Catalog
from unreel.data.motion import measure_motion
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_probe import measure_video
from unreel.data.motion_table import MotionTable
from unreel.data.motion_windows import count_effective_windows, window_probabilities
from unreel.data.scan_workers import Reply
from unreel.errors import CatalogError, UnreelError
from unreel.seeding import build_generator

FAST = MotionConfig(backend="frame_difference", size=32, window_sec=0.2)


@pytest.fixture
def catalog(corpus: Path, tmp_path: Path) -> Catalog:
    """The corpus in a folder that may be written to."""
    shutil.copytree(corpus.parent, tmp_path / "videos")
    return Catalog.load(tmp_path / "videos" / corpus.name, root=tmp_path / "videos")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Measure in this process; returns the names of the videos that were, a list per call."""
    seen: list[list[str]] = []

    def run(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        seen.append([Path(job["path"]).name for job in jobs])
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(module, "run_jobs", run)
    return seen


def test_processes_measure_what_one_would(catalog: Catalog, tmp_path: Path) -> None:
    summary = measure_motion(catalog, tmp_path / "m.parquet", FAST, num_workers=2)
    table = MotionTable.load(tmp_path / "m.parquet")
    assert table.rows["id"].to_pylist() == catalog.ids
    assert table.config == FAST
    effective = []
    for video in catalog:
        motion = table.find(video.id)
        assert motion is not None
        assert np.array_equal(motion, measure_video(video.path, video.index, FAST))
        effective.append(count_effective_windows(window_probabilities(motion, 5.0)))
    assert (summary.videos, summary.measured, summary.reused, summary.rejected) == (12, 12, 0, 0)
    assert summary.windows == 4.0
    assert summary.effective_windows == pytest.approx(np.mean(effective))
    assert summary.seconds_of_video == pytest.approx(12 * 0.8)
    assert summary.quantiles == tuple(sorted(summary.quantiles))
    assert summary.rejected_path.read_text() == "path,reason,bytes,mtime_ns\n"
    assert not (tmp_path / "m.parquet.partial").exists()


def test_a_second_time_measures_nothing_and_changes_nothing(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    out = tmp_path / "m.parquet"
    measure_motion(catalog, out, FAST)
    before = MotionTable.load(out).rows
    summary = measure_motion(catalog, out, FAST)
    assert (summary.measured, summary.reused, len(here[1])) == (0, 12, 0)
    assert summary.seconds_of_video == 0
    assert MotionTable.load(out).rows.equals(before)
    assert measure_motion(catalog, out, FAST, is_fresh=True).measured == 12


def test_only_new_and_changed_videos_are_measured_and_gone_ones_dropped(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    out = tmp_path / "m.parquet"
    measure_motion(catalog.take(range(6)), out, FAST)
    table = catalog.table.slice(2, 6)
    place = table.schema.get_field_index("mtime_ns")
    touched = [value + (row == 0) for row, value in enumerate(table["mtime_ns"].to_pylist())]
    now = Catalog(table.set_column(place, "mtime_ns", [touched]), catalog.root)
    summary = measure_motion(now, out, FAST)
    assert sorted(here[1]) == ["02.mp4", "06.mp4", "07.mp4"]
    assert (summary.measured, summary.reused, summary.dropped) == (3, 3, 2)
    assert MotionTable.load(out).rows["id"].to_pylist() == now.ids


def test_broken_videos_are_listed_and_tried_again(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    out, broken = tmp_path / "m.parquet", catalog.video(3).path
    content = broken.read_bytes()
    broken.write_bytes(content[:-1])
    catalog.video(5).path.unlink()
    summary = measure_motion(catalog, out, FAST)
    assert (summary.measured, summary.rejected) == (10, 2)
    assert sum(summary.reasons.values()) == 2
    lines = summary.rejected_path.read_text().splitlines()
    assert lines[1].startswith("03.mp4,another size than scanned")
    assert lines[2].startswith('05.mp4,"no such file')
    table = MotionTable.load(out)
    assert table.rows["motion"].null_count == 2
    assert table.find(catalog.ids[3]) is None
    broken.write_bytes(content)
    summary = measure_motion(catalog, out, FAST)
    assert sorted(here[1]) == ["03.mp4", "05.mp4"]
    assert (summary.measured, summary.reused, summary.rejected) == (1, 10, 1)


def test_a_video_that_hangs_or_kills_its_process_spares_the_others(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORK", "tests.data.worker_jobs:measure_or_misbehave")
    monkeypatch.setattr(module, "_SECONDS_OF_GRACE", 0.5)
    for row, name in ((0, "hang.mp4"), (1, "crash.mp4")):
        catalog.video(row).path.rename(catalog.root / name)
    paths = ["hang.mp4", "crash.mp4", *catalog.table["path"].to_pylist()[2:4]]
    place = catalog.table.schema.get_field_index("path")
    renamed = Catalog(catalog.table.slice(0, 4).set_column(place, "path", [paths]), catalog.root)
    summary = measure_motion(renamed, tmp_path / "m.parquet", FAST, num_workers=2, time_limit_sec=1.5)
    assert (summary.measured, summary.rejected) == (2, 2)
    text = summary.rejected_path.read_text()
    assert 'hang.mp4,"not read within 2 s, even its reader hung"' in text
    assert "crash.mp4,the process that read it died (SIGSEGV)" in text


def test_an_interrupted_measurement_goes_on_where_it_stopped(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_five(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        for reply in run_jobs_here(work, jobs, **options):
            if reply.job == 5:
                raise KeyboardInterrupt
            yield reply

    out = tmp_path / "m.parquet"
    monkeypatch.setattr(module, "run_jobs", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        measure_motion(catalog, out, FAST)
    assert not out.exists()
    monkeypatch.setattr(module, "run_jobs", run_jobs_here)
    with pytest.raises(CatalogError, match=r"m.parquet.partial: was measured with size 32 and not 48"):
        measure_motion(catalog, out, MotionConfig("frame_difference", 48, 0.2))
    summary = measure_motion(catalog, out, FAST)
    assert (summary.measured, summary.reused) == (7, 5)
    whole = measure_motion(catalog, tmp_path / "whole.parquet", FAST)
    assert MotionTable.load(out).rows.equals(MotionTable.load(whole.out).rows)
    # Begun anew in another way and cut off, it goes on without --fresh, and without the old table.
    other = MotionConfig("frame_difference", 48, 0.2)
    monkeypatch.setattr(module, "run_jobs", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        measure_motion(catalog, out, other, is_fresh=True)
    assert MotionTable.load(out).config == FAST
    monkeypatch.setattr(module, "run_jobs", run_jobs_here)
    summary = measure_motion(catalog, out, other)
    assert (summary.measured, summary.reused) == (7, 5)
    assert MotionTable.load(out).config == other


def test_a_table_is_written_though_another_run_took_its_findings_away(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_away(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        (tmp_path / "m.parquet.partial").unlink()
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(module, "run_jobs", take_away)
    assert measure_motion(catalog, tmp_path / "m.parquet", FAST).measured == 12
    assert len(MotionTable.load(tmp_path / "m.parquet").rows) == 12


KILLED = """
import os, signal, sys
from pathlib import Path
from unreel.data.catalog import Catalog
from unreel.data.motion import MotionConfig, measure_motion

def progress(done, total, note):
    if note.startswith("3 of"):
        os.kill(os.getpid(), signal.SIGKILL)

catalog = Catalog.load(Path(sys.argv[1]), root=Path(sys.argv[1]).parent)
config = MotionConfig("frame_difference", 32, 0.2)
measure_motion(catalog, Path(sys.argv[2]), config, num_workers=1, progress=progress)
"""


def test_a_measurement_that_was_killed_goes_on_where_it_stopped(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    out = tmp_path / "m.parquet"
    assert catalog.path is not None
    words = [sys.executable, "-c", KILLED, str(catalog.path), str(out)]
    ended = subprocess.run(words, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert not out.exists()
    summary = measure_motion(catalog, out, FAST)
    assert (summary.measured, summary.reused, len(here[0])) == (9, 3, 9)


def test_progress_is_told_in_seconds_of_video(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    told: list[tuple[int, int, str]] = []
    catalog.video(2).path.unlink()
    measure_motion(catalog, tmp_path / "m.parquet", FAST, progress=lambda *state: told.append(state))
    assert told[0] == (0, 10, "")  # twelve times 0.8 s
    assert told[-1] == (10, 10, "12 of 12 videos, 1 rejected")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert len(told) == 13


def test_the_longest_videos_come_first(tmp_path: Path, here: list[list[str]]) -> None:
    catalog = make_catalog(["a.mp4", "b.mp4", "c.mp4"], tmp_path)
    place = catalog.table.schema.get_field_index("seconds")
    uneven = Catalog(catalog.table.set_column(place, "seconds", [[1.0, 9.0, 4.0]]), tmp_path)
    with pytest.raises(CatalogError, match=r"not one of the 3 videos could be measured .*: no such file"):
        measure_motion(uneven, tmp_path / "m.parquet", FAST)
    assert here == [["b.mp4", "c.mp4", "a.mp4"]]
    assert not (tmp_path / "m.parquet").exists()
    assert len((tmp_path / "m.rejected.csv").read_text().splitlines()) == 4


def test_long_videos_are_allowed_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[float], float]] = []

    def note(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        limits = [job["time_limit_sec"] for job in jobs]
        assert [job["kill_after_sec"] for job in jobs] == [limit + 2 for limit in limits]
        asked.append((limits, options["time_limit_sec"]))
        return (Reply(number, {"motion": [0.0]}) for number in range(len(jobs)))

    monkeypatch.setattr(module, "run_jobs", note)
    catalog = make_catalog(["a.mp4", "b.mp4"], tmp_path)
    place = catalog.table.schema.get_field_index("seconds")
    uneven = Catalog(catalog.table.set_column(place, "seconds", [[1.0, 3600.0]]), tmp_path)
    measure_motion(uneven, tmp_path / "m.parquet", FAST)
    measure_motion(uneven, tmp_path / "m.parquet", FAST, time_limit_sec=7, is_fresh=True)
    assert asked == [([36060.0, 70.0], 36062.0), ([7.0, 7.0], 9.0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_workers": 0}, "num_workers must be at least 1"),
        ({"num_workers": -2}, "num_workers must be at least 1"),
        ({"time_limit_sec": -1.0}, "time_limit_sec 0 or positive, got -1 and -1.0"),
        ({"time_limit_sec": float("nan")}, "time_limit_sec 0 or positive, got -1 and nan"),
        ({"beta": 0.0}, "beta must be positive, got 0.0"),
    ],
)
def test_impossible_numbers_are_refused(
    catalog: Catalog, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_motion(catalog, tmp_path / "m.parquet", FAST, **changes)
    assert not list(tmp_path.glob("m.*"))


def test_what_is_no_table_is_not_overwritten(catalog: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    with pytest.raises(CatalogError, match="the catalog holds no video"):
        measure_motion(catalog.take([]), out, FAST)
    out.write_text("mine")
    for is_fresh in (False, True):
        with pytest.raises(CatalogError, match=r"m.parquet: cannot be read"):
            measure_motion(catalog, out, FAST, is_fresh=is_fresh)
    out.unlink()
    (tmp_path / "m.rejected.csv").write_text("mine\n")
    with pytest.raises(CatalogError, match="exists and was not written by a scan"):
        measure_motion(catalog, out, FAST)
    assert (tmp_path / "m.rejected.csv").read_text() == "mine\n"


def test_without_opencv_nothing_is_begun(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def miss() -> None:
        raise UnreelError("optical flow needs OpenCV")

    monkeypatch.setattr(module, "load_opencv", miss)
    with pytest.raises(UnreelError, match="needs OpenCV"):
        measure_motion(catalog, tmp_path / "m.parquet", FAST)
    assert not list(tmp_path.glob("m.*"))


def test_motion_is_the_same_every_time_with_flow(catalog: Catalog) -> None:
    video = catalog.video(int(build_generator("any").integers(len(catalog))))
    config = MotionConfig(size=48)
    first, second = (measure_video(video.path, video.index, config) for _ in range(2))
    assert np.array_equal(first, second)
