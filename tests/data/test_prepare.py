"""A catalog of copies: what it keeps of the old one, what a second run does, what broken videos cost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.corpus import shrink_recipe
from tests.data.numbered import build_catalog, read_numbers, write_numbers
from tests.data.scan_samples import run_jobs_here
from unreel.data import prepare as module
from unreel.data import prepare_estimate, prepare_jobs
from unreel.data.catalog import Catalog
from unreel.data.clip_reader import ClipReader, ReadVideo
from unreel.data.clips import RandomClips
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_probe import measure_video
from unreel.data.prepare import Estimate, PrepareConfig, prepare_videos
from unreel.data.prepare_memory import recall, record_settings
from unreel.data.scan_workers import Reply
from unreel.errors import CatalogError
from unreel.recipes.find import find_recipe
from unreel.train.pretrain import pretrain

SMALL = PrepareConfig(short_side=32)
RAW = PrepareConfig(short_side=32, format="raw")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Five videos of 10 to 50 numbered frames, two of which share their name but for the ending."""
    names = ["a.avi", "a.mp4", "c/b.mp4", "c/d.mp4", "e.mp4"]
    for number, name in enumerate(names, start=1):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        write_numbers(tmp_path / "v" / name, 10 * number, codec=codec)
    segments = [[], [], [{"start_sec": 0.2, "end_sec": 1.2, "label": "jump"}], [], []]
    return build_catalog(
        tmp_path / "v",
        names,
        label=["x", "y", "x", "", "z"],
        split=["train", "train", "test", "", "train"],
        group=["g", "g", "h", "", ""],
        segments=segments,
    )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Copy in this process; returns the names of the videos that were, a list per run."""
    seen: list[list[str]] = []

    def run(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        seen.append([Path(job["path"]).name for job in jobs])
        return run_jobs_here(work, jobs, **options)

    monkeypatch.setattr(prepare_jobs, "run_jobs", run)
    monkeypatch.setattr(prepare_estimate, "run_jobs", run_jobs_here)
    return seen


@pytest.mark.parametrize(
    ("config", "fixture"), [(SMALL, "here"), (RAW, "tmp_path")], ids=["h264 in this process", "raw in two"]
)
def test_the_new_catalog_takes_the_place_of_the_old(
    catalog: Catalog, tmp_path: Path, config: PrepareConfig, fixture: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(fixture)
    before = {path: path.read_bytes() for path in (tmp_path / "v").rglob("*.*")}
    summary = prepare_videos(catalog, tmp_path / "p", config, is_verified=True, num_workers=2)
    assert (summary.videos, summary.prepared, summary.reused, summary.rejected) == (5, 5, 0, 0)
    assert summary.verified == 5
    assert config.least_psnr <= summary.least_psnr <= 100
    copies = Catalog.load(tmp_path / "p" / "catalog.parquet")
    for name in ("id", "label", "split", "group", "segments", "seconds", "fps", "frames"):
        assert copies.table[name].to_pylist() == catalog.table[name].to_pylist(), name
    assert summary.copy_bytes == sum(video.path.stat().st_size for video in copies)
    assert summary.original_bytes == sum(map(len, before.values()))
    assert len({video.path for video in copies}) == 5
    for video in copies:
        assert (video.height, video.width) == (32, 42)
        frames_NT = np.array([[video.frames - 1, 0], [3, 7]])
        clips = ClipDecoder(FrameSize(32, 42)).decode(video.path, video.index, frames_NT)
        assert [read_numbers(clip) for clip in clips] == frames_NT.tolist()
    assert {path: path.read_bytes() for path in (tmp_path / "v").rglob("*.*")} == before
    assert (tmp_path / "p" / "rejected.csv").read_text() == "path,reason,bytes,mtime_ns\n"
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "catalog.parquet",
        "copies.parquet",
        "prepare.json",
        "rejected.csv",
        "videos",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("config", [SMALL, RAW], ids=["h264", "raw"])
def test_training_motion_and_clips_read_copies_as_they_read_originals(
    corpus: Path, tmp_path: Path, config: PrepareConfig
) -> None:
    originals = Catalog.load(corpus)
    summary = prepare_videos(originals, tmp_path / "p", config)
    copies = Catalog.load(summary.out)
    clips, size = RandomClips(num_frames=4, frame_stride=2), FrameSize(24, 32)
    for row in range(3):
        one, other = (
            ClipReader(catalog, clips, ClipDecoder(size), seed=0).read(row, 0)
            for catalog in (originals, copies)
        )
        assert isinstance(one, ReadVideo)
        assert isinstance(other, ReadVideo)
        assert (one.frame_index_NT == other.frame_index_NT).all()
        assert (one.key, one.label) == (other.key, other.label)
        assert np.abs(one.frames_NTHWC.astype(int) - other.frames_NTHWC).mean() < (
            1e-9 if config == RAW else 8
        )
        old, new = originals.video(row), copies.video(row)
        how = MotionConfig("frame_difference", 32)
        motion = [measure_video(video.path, video.index, how) for video in (old, new)]
        np.testing.assert_allclose(*motion, rtol=0.02 if config == RAW else 0.5)
    if config == SMALL:  # one kind is enough for the loop
        return
    recipe = shrink_recipe(find_recipe("moco.small")(), summary.out)
    pretrain(recipe, tmp_path / "run", recipe_name="moco.small")
    assert (tmp_path / "run" / "encoder" / "model.safetensors").exists()


def test_a_second_run_makes_nothing_and_changes_nothing(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    out = tmp_path / "p"
    prepare_videos(catalog, out, SMALL)
    before = {path: path.read_bytes() for path in out.rglob("*.[mp]*") if path.name != "prepare.json"}
    asked: list[Estimate] = []
    summary = prepare_videos(catalog, out, SMALL, confirm=lambda estimate: bool(asked.append(estimate)))
    assert (summary.prepared, summary.reused, here[1], asked) == (0, 5, [], [])
    assert summary.copy_bytes > 0
    assert {path: path.read_bytes() for path in out.rglob("*.[mp]*") if path.name != "prepare.json"} == before
    assert [run["prepared"] for run in json.loads((out / "prepare.json").read_text())["runs"]] == [5, 0]


def test_only_what_is_new_has_changed_or_is_lost_is_made_again(
    catalog: Catalog, tmp_path: Path, here: list[list[str]]
) -> None:
    out = tmp_path / "p"
    prepare_videos(catalog.take([0, 1, 2, 3]), out, SMALL)
    write_numbers(tmp_path / "v" / "a.avi", 12, codec="mpeg4")
    rescanned = build_catalog(tmp_path / "v", [*catalog.table["path"].to_pylist()[:3], "e.mp4"])
    Catalog.load(out / "catalog.parquet").video(1).path.unlink()
    summary = prepare_videos(rescanned, out, SMALL)
    assert sorted(here[1]) == ["a.avi", "a.mp4", "e.mp4"]
    assert (summary.prepared, summary.reused, summary.dropped) == (3, 1, 1)
    copies = Catalog.load(out / "catalog.parquet")
    assert copies.ids == rescanned.ids
    assert copies.video(0).frames == 12
    assert prepare_videos(catalog.take([3]), out, SMALL).reused == 1  # what is not asked for is not forgotten


def test_the_folder_of_copies_may_be_moved(catalog: Catalog, tmp_path: Path, here: list[list[str]]) -> None:
    prepare_videos(catalog, tmp_path / "p", SMALL)
    shutil.copytree(tmp_path / "p", tmp_path / "q", copy_function=shutil.copyfile)
    assert prepare_videos(catalog, tmp_path / "q", SMALL).reused == 5
    shutil.rmtree(tmp_path / "p")
    assert all(video.path.exists() for video in Catalog.load(tmp_path / "q" / "catalog.parquet"))
    assert here[1] == []


@pytest.mark.usefixtures("here")
def test_copies_can_be_copied(catalog: Catalog, tmp_path: Path) -> None:
    raw = Catalog.load(prepare_videos(catalog, tmp_path / "raw", RAW).out)
    small = Catalog.load(prepare_videos(raw, tmp_path / "small", PrepareConfig(short_side=24)).out)
    assert small.ids == catalog.ids
    assert read_numbers(ClipDecoder().decode_all(small.video(4).path)) == list(range(50))
    with pytest.raises(CatalogError, match="originals lie in"):
        prepare_videos(raw, tmp_path / "raw", RAW)


@pytest.mark.usefixtures("here")
def test_broken_videos_are_listed_and_tried_again(catalog: Catalog, tmp_path: Path) -> None:
    broken, gone = catalog.video(2).path, catalog.video(4).path
    content, kept = broken.read_bytes(), gone.read_bytes()
    broken.write_bytes(content[:-1])
    gone.unlink()
    summary = prepare_videos(catalog, tmp_path / "p", SMALL)
    assert (summary.prepared, summary.rejected, sum(summary.reasons.values())) == (3, 2, 2)
    lines = summary.rejected_path.read_text().splitlines()
    assert lines[1].startswith("c/b.mp4,another size than scanned; the file has changed since it was scanned")
    assert lines[2].startswith('e.mp4,"no such file')
    assert Catalog.load(summary.out).ids == [catalog.ids[row] for row in (0, 1, 3)]
    broken.write_bytes(content)
    gone.write_bytes(kept)
    os.utime(gone, ns=(1, 1))
    summary = prepare_videos(catalog, tmp_path / "p", SMALL)
    assert (summary.prepared, summary.reused, summary.rejected) == (2, 3, 0)
    assert summary.touched == 2  # both were written again, with the same content
    assert Catalog.load(summary.out).ids == catalog.ids


@pytest.mark.usefixtures("here")
def test_verifying_finds_copies_that_went_wrong_and_mends_them(catalog: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "p"
    prepare_videos(catalog, out, RAW)
    bad = Catalog.load(out / "catalog.parquet").video(3)
    content = bytearray(bad.path.read_bytes())
    content[40 + 7 * 32 * 42 * 3] ^= 1
    bad.path.write_bytes(content)
    assert prepare_videos(catalog, out, RAW).rejected == 0
    summary = prepare_videos(catalog, out, RAW, is_verified=True)
    assert (summary.verified, summary.rejected, summary.least_psnr) == (4, 1, 100.0)
    assert 'c/d.mp4,"its copy differs: a picture has ' in summary.rejected_path.read_text()
    assert "(frame 7)" in summary.rejected_path.read_text()
    assert not bad.path.exists()
    assert (prepare_videos(catalog, out, RAW).prepared, bad.path.stat().st_size) == (1, len(content))


def test_a_video_that_hangs_or_kills_its_process_spares_the_others(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_jobs, "_WORK", "tests.data.worker_jobs:copy_or_misbehave")
    monkeypatch.setattr(prepare_jobs, "_SECONDS_OF_GRACE", 0.5)
    monkeypatch.setattr(prepare_jobs, "_NUM_PASSES", 1)
    names = ["hang.mp4", "crash.mp4", "e.mp4"]
    for row, name in enumerate(names[:2]):
        catalog.video(row).path.rename(tmp_path / "v" / name)
    renamed = build_catalog(tmp_path / "v", names)
    summary = prepare_videos(renamed, tmp_path / "p", RAW, num_workers=2, time_limit_sec=1.5)
    assert (summary.prepared, summary.rejected) == (1, 2)
    text = summary.rejected_path.read_text()
    assert 'hang.mp4,"not read within 2 s, even its reader hung"' in text
    assert "crash.mp4,the process that read it died (SIGSEGV)" in text


def test_a_run_that_is_killed_goes_on_and_leaves_nothing_half_written(
    catalog: Catalog, tmp_path: Path
) -> None:
    catalog.save(tmp_path / "catalog.parquet")
    out = tmp_path / "p"
    code = f"""
from pathlib import Path
from unreel.data import prepare_jobs
from unreel.data.catalog import Catalog
from unreel.data.prepare import PrepareConfig, prepare_videos
prepare_jobs._WORK = "tests.data.worker_jobs:copy_slowly"
catalog = Catalog.load(Path({str(tmp_path / "catalog.parquet")!r}))
prepare_videos(catalog, Path({str(out)!r}), PrepareConfig(short_side=32, format="raw"), num_workers=1)
"""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    partial = out / "prepare.partial"
    end = time.monotonic() + 30
    while time.monotonic() < end and not (partial.exists() and partial.read_text().count("\n") >= 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(recall(out))
    assert 1 <= done < 5
    assert not (out / "catalog.parquet").exists()
    time.sleep(0.2)
    (out / "videos" / ".left.mov.tmp").write_bytes(b"half")
    summary = prepare_videos(catalog, out, RAW, is_verified=False, num_workers=1)
    assert (summary.prepared, summary.reused) == (5 - done, done)
    assert list(out.rglob("*.tmp")) == []
    assert prepare_videos(catalog, out, RAW, is_verified=True, num_workers=1).least_psnr == 100.0


@pytest.mark.usefixtures("here")
def test_an_interrupted_run_goes_on_where_it_stopped(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_two(work: str, jobs: Sequence[Mapping[str, Any]], **options: Any) -> Iterator[Reply]:
        assert not left.exists()
        for reply in run_jobs_here(work, jobs, **options):
            if reply.job == 2:
                raise KeyboardInterrupt
            yield reply

    left = tmp_path / "p" / "videos" / "c" / ".half.mp4.abc.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    record_settings(tmp_path / "p", SMALL)  # what a run that was killed has left
    with monkeypatch.context() as patch:
        patch.setattr(prepare_jobs, "run_jobs", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            prepare_videos(catalog, tmp_path / "p", SMALL)
    with pytest.raises(CatalogError, match=r"p: its copies were made with short_side 32 and not 48"):
        prepare_videos(catalog, tmp_path / "p", PrepareConfig(short_side=48))
    summary = prepare_videos(catalog, tmp_path / "p", SMALL)
    assert (summary.prepared, summary.reused) == (3, 2)


@pytest.mark.usefixtures("here")
def test_the_estimate_is_told_first_and_may_be_refused(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "p"
    told: list[Estimate] = []

    def refuse(estimate: Estimate) -> bool:
        told.append(estimate)
        return False

    with pytest.raises(CatalogError, match="nothing was prepared, because the estimate was not accepted"):
        prepare_videos(catalog, out, SMALL, confirm=refuse)
    assert not out.exists()
    assert (told[0].videos, told[0].sampled) == (5, 5)
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 5000, 5000)  # type: ignore[attr-defined]
    monkeypatch.setattr(prepare_estimate.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CatalogError, match=r"5.0 kB are free for .*make room, choose another --out"):
        prepare_videos(catalog, out, SMALL)
    assert not out.exists()


@pytest.mark.usefixtures("here")
def test_progress_counts_seconds_of_video(catalog: Catalog, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    prepare_videos(catalog.take([0, 4]), tmp_path / "p", SMALL, progress=lambda *state: seen.append(state))
    assert seen == [(0, 3, ""), (2, 3, "1 of 2 videos"), (3, 3, "2 of 2 videos")]


@pytest.mark.usefixtures("here")
def test_when_nothing_can_be_prepared_it_is_a_failure(catalog: Catalog, tmp_path: Path) -> None:
    gone = Catalog(catalog.table, tmp_path / "nowhere")
    with pytest.raises(
        CatalogError, match=r"not one of the 5 videos could be prepared \(most often: no such file"
    ):
        prepare_videos(gone, tmp_path / "p", SMALL)
    assert not (tmp_path / "p" / "catalog.parquet").exists()
    assert (tmp_path / "p" / "rejected.csv").read_text().count("no such file") == 5
    assert prepare_videos(catalog, tmp_path / "p", PrepareConfig(short_side=16)).prepared == 5


def test_numbers_out_of_range_and_places_of_others_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    for how in (
        {"num_workers": 0},
        {"num_workers": -2},
        {"time_limit_sec": -1},
        {"time_limit_sec": float("inf")},
    ):
        with pytest.raises(ValueError, match="num_workers must be at least 1, or -1 for one per core, and"):
            prepare_videos(catalog, tmp_path / "p", **how)  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match="originals lie in"):
        prepare_videos(catalog, tmp_path / "v" / "prepared")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "rejected.csv").write_text("my,own,table\n")
    with pytest.raises(CatalogError, match="was not written by a scan"):
        prepare_videos(catalog, tmp_path / "p")
    assert module.accept(Estimate(1, 1, 1, 0, 1, tmp_path))
