"""Which videos are copied, in which order, and what becomes of the answers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.scan_samples import make_catalog
from tests.data.test_prepare_memory import build_rows, describe_copy
from tests.data.worker_jobs import media_row
from unreel.data import prepare_jobs as module
from unreel.data.catalog import Catalog
from unreel.data.prepare_config import PrepareConfig
from unreel.data.prepare_jobs import CopyJobs
from unreel.data.prepare_memory import PartialCopies, recall
from unreel.data.scan_workers import Reply
from unreel.errors import CatalogError

MADE = {"row": media_row(), "bytes": 3, "mtime_ns": 9, "psnr": None, "is_touched": False}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Four videos of 0.16, 0.32, 0.08 and 0.16 seconds."""
    catalog = make_catalog([f"c/{number}.mp4" for number in range(4)], tmp_path / "v")
    seconds = catalog.table.schema.get_field_index("seconds")
    return Catalog(catalog.table.set_column(seconds, "seconds", [[0.16, 0.32, 0.08, 0.16]]), catalog.root)


def plan(catalog: Catalog, out: Path, rows: Sequence[Mapping[str, Any]] = (), **how: Any) -> CopyJobs:
    how = {"time_limit_sec": 0.0, "is_verified": False} | how
    return CopyJobs(catalog, build_rows(*map(dict, rows)), out, PrepareConfig(), **how)


def answer(monkeypatch: pytest.MonkeyPatch, *answers: Reply) -> list[Mapping[str, Any]]:
    """Let workers answer so; return the jobs that they get."""
    asked: list[Mapping[str, Any]] = []

    def run(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        asked.extend(jobs)
        yield from answers

    monkeypatch.setattr(module, "run_jobs", run)
    return asked


def test_the_longest_come_first_and_what_is_made_not_at_all(catalog: Catalog, tmp_path: Path) -> None:
    assert plan(catalog, tmp_path).todo.tolist() == [1, 0, 3, 2]
    (tmp_path / "videos").mkdir()
    (tmp_path / f"videos/{catalog.ids[0]}.mp4").write_bytes(b"abc")
    made = [describe_copy(catalog.ids[0])]
    work = plan(catalog, tmp_path, made)
    assert work.todo.tolist() == [1, 3, 2]
    assert [work.is_made(row) for row in range(4)] == [True, False, False, False]
    assert plan(catalog, tmp_path, made, is_verified=True).todo.tolist() == [1, 0, 3, 2]


def test_a_job_says_all_that_a_worker_needs(catalog: Catalog, tmp_path: Path) -> None:
    job = plan(catalog, tmp_path).describe(1)
    assert job["path"] == str(tmp_path / "v" / "c" / "1.mp4")
    assert job["copy"] == str(tmp_path / "videos" / "c" / f"1-{catalog.ids[1]}.mp4")
    assert (job["bytes"], job["mtime_ns"], job["is_made"], job["verify"]) == (1000, 7, False, False)
    assert job["config"]["short_side"] == 128
    assert job["index"]["frames"] == 4
    # A minute and twenty times the length; three readings, and two seconds to give up by itself.
    assert job["time_limit_sec"] == pytest.approx(60 + 20 * 0.32)
    assert job["kill_after_sec"] == pytest.approx(3 * 66.4 + 2)
    assert plan(catalog, tmp_path).longest_sec == pytest.approx(3 * 66.4 + 2)
    assert plan(catalog, tmp_path, time_limit_sec=5.0).describe(1)["kill_after_sec"] == 17.0


def test_jobs_are_made_when_their_turn_comes(catalog: Catalog, tmp_path: Path) -> None:
    jobs = plan(catalog, tmp_path).list_jobs(np.array([2, 0]))
    assert len(jobs) == 2
    assert [Path(job["path"]).name for job in jobs] == ["2.mp4", "0.mp4"]
    assert Path(jobs[1]["path"]).name == "0.mp4"


def test_answers_are_kept_at_once_and_counted(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(
        monkeypatch,
        Reply(2, {**MADE, "psnr": 31.0}),  # row 3
        Reply(0, {"reason": "no such file"}),  # row 1
        Reply(3, failure="the process that read it died (SIGSEGV)"),  # row 2
        Reply(1, {**MADE, "is_touched": True}),  # row 0
    )
    seen: list[tuple[int, int, str]] = []
    work = plan(catalog, tmp_path)
    with PartialCopies(tmp_path) as partial:
        work.run(partial, 2, lambda *state: seen.append(state))
    assert len(asked) == 4
    assert (work.num_prepared, work.num_touched, work.psnrs) == (2, 1, [31.0])
    assert work.reasons == {1: "no such file", 2: "the process that read it died (SIGSEGV)"}
    assert work.seconds_read == pytest.approx(0.32)
    rows = recall(tmp_path).to_pylist()
    assert [row["id"] for row in rows] == [catalog.ids[3], catalog.ids[0]]
    assert rows[0]["original"] == str(tmp_path / "v" / "c" / "3.mp4")
    assert (rows[0]["original_bytes"], rows[0]["original_frames"], rows[0]["psnr"]) == (1000, 4, 31.0)
    assert seen[0] == (0, 1, "")
    assert seen[-1] == (1, 1, "4 of 4 videos, 2 rejected")


def test_a_copy_that_was_compared_again_keeps_what_is_known_of_it(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / f"videos/{catalog.ids[0]}.mp4").write_bytes(b"abc")
    answer(monkeypatch, Reply(1, {"psnr": 40.0, "bytes": 3, "mtime_ns": 10, "is_touched": False}))
    work = plan(catalog, tmp_path, [describe_copy(catalog.ids[0], fps=12.5)], is_verified=True)
    assert work.describe(0)["copy"] == str(tmp_path / f"videos/{catalog.ids[0]}.mp4")
    with PartialCopies(tmp_path) as partial:
        work.run(partial, 1, lambda *_: None)
    (row,) = recall(tmp_path).to_pylist()
    assert (row["fps"], row["psnr"], row["mtime_ns"]) == (12.5, 40.0, 10)
    assert work.num_prepared == 0


def test_a_full_disk_stops_the_run(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Reply(0, MADE), Reply(1, {"stop": "its copy c cannot be written: no space left"}))
    with (
        PartialCopies(tmp_path) as partial,
        pytest.raises(CatalogError, match="no space left; mend that, and the same command goes on from here"),
    ):
        plan(catalog, tmp_path).run(partial, 1, lambda *_: None)
    assert len(recall(tmp_path)) == 1
