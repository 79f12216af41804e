from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.features.ray_double import RayDouble
from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder
from unreel.features.extract import extract_features
from unreel.features.parts import PartFiles
from unreel.features.ray_parts import PartActor, PartJob, find_problem, read_versions
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

READ = ReadConfig(clips_per_video=2, batch_size=4, num_workers=0)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture
def job(catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PartJob:
    """Return the work on twelve videos in parts of four."""
    ray = RayDouble()
    monkeypatch.setattr("unreel.features.ray_parts.import_ray", lambda: ray)
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 4)
    info = FeatureInfo(encoder_hash=encoder.hash, dimension=encoder.num_features, clips_per_video=2)
    parts = PartFiles(tmp_path / "f.parquet", info, num_videos=12, videos_per_batch=2)
    parts.folder.mkdir()
    token = parts.folder / ".part-token.0.tmp"
    token.touch()
    return PartJob(
        embedder=ray.put(encoder),
        parts=parts,
        root=catalog.root,
        pooling="average",
        read=READ,
        cores=1,
        device="cpu",
        witness=catalog.video(0).path,
        token=token,
        versions=read_versions(),
    )


@pytest.fixture
def build_row(catalog: Catalog, job: PartJob) -> Callable[[int], Row]:
    from unreel.features.ray_extract import _serialize

    return lambda part: {"part": part, "videos": _serialize(catalog.take(job.parts.rows(part)).table)}


def test_parts_made_in_any_order_are_those_of_an_extraction(
    catalog: Catalog, encoder: Encoder, job: PartJob, build_row: Callable[[int], Row], tmp_path: Path
) -> None:
    actor = PartActor(job)
    for part in (2, 0, 1):
        assert actor(build_row(part)) == {"part": part, "rejected": 0, "problem": ""}
    assert job.parts.find_missing() == []
    job.parts.merge()
    extract_features(encoder, catalog, tmp_path / "local.parquet", read=READ)
    mine, local = FeatureTable.load(job.parts.out), FeatureTable.load(tmp_path / "local.parquet")
    assert mine.vectors.tobytes() == local.vectors.tobytes()
    assert mine.video_ids.tolist() == local.video_ids.tolist()


def test_a_part_that_is_there_is_not_made_again(job: PartJob, build_row: Callable[[int], Row]) -> None:
    actor = PartActor(job)
    actor(build_row(1))
    before = job.parts.path(1).stat()
    assert actor({"part": 1, "videos": b"would fail"})["problem"] == ""
    assert job.parts.path(1).stat().st_mtime_ns == before.st_mtime_ns
    assert {path.name for path in job.parts.folder.iterdir()} == {job.parts.path(1).name, job.token.name}


def test_videos_that_fail_are_counted_and_kept_with_the_part(
    catalog: Catalog, job: PartJob, build_row: Callable[[int], Row], tmp_path: Path
) -> None:
    for video in list(catalog)[:3]:
        (tmp_path / video.path.name).symlink_to(video.path)
    (tmp_path / "03.mp4").write_bytes(b"no video")
    actor = PartActor(replace(job, root=tmp_path))
    assert actor(build_row(0)) == {"part": 0, "rejected": 1, "problem": ""}
    job.parts.count = 1
    (rejection,) = job.parts.read_rejections()
    assert rejection.path == str(tmp_path / "03.mp4")


def test_the_network_gets_the_threads_of_its_cores(job: PartJob) -> None:
    before = torch.get_num_threads()
    try:
        PartActor(replace(job, cores=3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda job: {"versions": {**job.versions, "av": "1.0"}},
            r"^machine .+ has av .+, not 1\.0; install",
        ),
        (lambda job: {"witness": Path("absent/00.mp4")}, "does not see absent/00.mp4; mount the videos"),
        (
            lambda job: {"token": Path("absent/token")},
            "does not see what is written here to .*f.parquet.parts",
        ),
    ],
)
def test_a_machine_that_is_set_up_differently_makes_nothing_and_says_why(
    job: PartJob,
    build_row: Callable[[int], Row],
    change: Callable[[PartJob], dict[str, Any]],
    message: str,
) -> None:
    assert find_problem(job) == ""
    other = replace(job, **change(job))
    answer = PartActor(other)(build_row(0))
    assert answer["problem"] == find_problem(other)
    with pytest.raises(ValueError, match=message):
        raise ValueError(answer["problem"])
    assert len(job.parts.find_missing()) == 3


def test_whatever_goes_wrong_is_told_with_machine_and_part(job: PartJob) -> None:
    answer = PartActor(job)({"part": 2, "videos": b"damaged"})
    assert answer["problem"].startswith("machine ")
    assert ", part 2: Arrow" in answer["problem"]


def test_a_part_whose_processes_end_is_given_up(job: PartJob, build_row: Callable[[int], Row]) -> None:
    """Marks are left by processes that were killed; the sixth try is refused, other parts are made."""
    actor = PartActor(job)
    for _ in range(5):
        assert actor._count_attempt(1) == ""
    answer = actor(build_row(1))
    assert "the process that makes part 1 ended 5 times before it was done; where memory" in answer["problem"]
    assert actor(build_row(0))["problem"] == ""
    assert job.parts.find_missing() == [1, 2]


def test_marks_of_killed_processes_go_when_the_part_is_done(
    job: PartJob, build_row: Callable[[int], Row]
) -> None:
    actor = PartActor(job)
    actor._count_attempt(0)
    assert actor(build_row(0))["problem"] == ""
    assert list(job.parts.folder.glob(".part-000000.*")) == []
