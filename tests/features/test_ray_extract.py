import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.features.ray_double import RayDouble, RayError
from tests.features.tiny import SPEC, build_encoder
from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError, UnreelError
from unreel.features.encoder import Encoder
from unreel.features.extract import ExtractSummary, extract_features
from unreel.features.pixels import PixelBaseline
from unreel.features.ray_cluster import ClusterConfig
from unreel.features.ray_extract import RayPartMaker
from unreel.features.reading import ClipEmbedder, ReadConfig

READ = ReadConfig(clips_per_video=2, batch_size=4, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> RayDouble:
    """Stand in for the package, with parts of four videos."""
    double = RayDouble()
    for module in ("ray_extract", "ray_parts"):
        monkeypatch.setattr(f"unreel.features.{module}.import_ray", lambda: double)
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 4)
    return double


def extract(
    embedder: ClipEmbedder, catalog: Catalog, out: Path, config: ClusterConfig | None = None, **words: Any
) -> ExtractSummary:
    maker = RayPartMaker(config or ClusterConfig())
    return extract_features(embedder, catalog, out, **{"read": READ, **words}, make_parts=maker)


def test_the_table_is_that_of_one_machine_to_the_byte(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble
) -> None:
    told: list[tuple[int, int, str]] = []
    summary = extract(encoder, catalog, tmp_path / "f.parquet", progress=lambda *state: told.append(state))
    local = extract_features(encoder, catalog, tmp_path / "local.parquet", read=READ)
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert (summary.videos, summary.embedded, summary.reused, summary.vectors) == (12, 12, 0, local.vectors)
    assert told == [(0, 12, ""), (4, 12, ""), (8, 12, ""), (12, 12, "")]
    assert {path.name for path in tmp_path.iterdir()} == {"f.parquet", "local.parquet"}
    assert not ray.is_initialized()


def test_pixels_and_a_split_go_the_same_way(catalog: Catalog, tmp_path: Path, ray: RayDouble) -> None:
    baseline = PixelBaseline(SPEC)
    extract(baseline, catalog, tmp_path / "f.parquet", split="train")
    extract_features(baseline, catalog, tmp_path / "local.parquet", split="train", read=READ)
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert ray.asked == [2, 1, 0]  # nine videos


def test_what_an_interruption_left_is_not_made_again(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble
) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    out = tmp_path / "f.parquet"
    with pytest.raises(KeyboardInterrupt):
        extract(encoder, catalog, out, progress=stop)
    assert not ray.is_initialized()
    (tmp_path / "f.parquet.parts" / ".part-000000.attempt-1.tmp").touch()
    summary = extract(encoder, catalog, out)
    assert (summary.reused, ray.asked) == (4, [2, 1, 0])
    extract_features(encoder, catalog, tmp_path / "local.parquet", read=READ)
    assert out.read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert not (tmp_path / "f.parquet.parts").exists()


def test_one_machine_finishes_what_many_have_begun(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble
) -> None:
    ray.failure = RayError("line\nthe head is gone")
    out = tmp_path / "f.parquet"
    with pytest.raises(
        FeaturesError, match=r"Ray gave up \(RayError: the head is gone\); what is done is kept"
    ):
        extract(encoder, catalog, out)
    # Without a missing part nobody is asked for a cluster.
    assert extract(encoder, catalog, out, ClusterConfig("127.0.0.1:1")).reused == 12
    with pytest.raises(FeaturesError, match="Ray gave up"):
        extract(encoder, catalog, out)
    summary = extract_features(encoder, catalog, out, read=READ)
    assert summary.reused == 12


def test_videos_that_fail_are_listed_not_replaced(
    corpus: Path, encoder: Encoder, tmp_path: Path, ray: RayDouble
) -> None:
    shutil.copytree(corpus.parent, tmp_path / "copy")
    catalog = Catalog.load(tmp_path / "copy" / "catalog.parquet", root=tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").write_bytes(b"not a video")
    # A video that is gone is no reason to call a machine blind as long as its neighbours are there.
    (tmp_path / "copy" / "00.mp4").unlink()
    told: list[str] = []
    summary = extract(
        encoder,
        catalog,
        tmp_path / "f.parquet",
        max_rejected_fraction=0.2,
        progress=lambda done, total, note: told.append(note),
    )
    assert (summary.embedded, summary.rejected) == (10, 2)
    assert told == ["", "", "", "2 rejected"]
    local = extract_features(
        encoder, catalog, tmp_path / "local.parquet", read=READ, max_rejected_fraction=0.2
    )
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert summary.rejected_path is not None
    assert local.rejected_path is not None
    assert summary.rejected_path.read_bytes() == local.rejected_path.read_bytes()


def test_a_machine_that_cannot_take_part_ends_the_extraction(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_problem(job: object) -> str:
        return "machine b does not see videos/0.mp4"

    monkeypatch.setattr("unreel.features.ray_parts.find_problem", find_problem)
    message = r"machine b does not see videos/0.mp4\. What is done is kept for the next call"
    with pytest.raises(FeaturesError, match=message):
        extract(encoder, catalog, tmp_path / "f.parquet")
    assert not ray.is_initialized()


def test_a_folder_that_others_write_to_and_this_machine_does_not_see(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.features.ray_extract._SHARED_STORAGE_SEC", 0.0)
    monkeypatch.setattr("unreel.features.ray_parts.PartActor._make", lambda *asked: 0)
    with pytest.raises(
        FeaturesError, match=r"3 parts were written by other machines.*not seen in .*f.parquet"
    ):
        extract(encoder, catalog, tmp_path / "f.parquet")


def test_parts_that_are_seen_late_are_waited_for(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreel.features.parts import PartFiles

    find, answers = PartFiles.find_missing, [[0, 1, 2], [2]]

    def find_late(parts: PartFiles) -> list[int]:
        return answers.pop(0) if answers else find(parts)

    monkeypatch.setattr(PartFiles, "find_missing", find_late)
    assert extract(encoder, catalog, tmp_path / "f.parquet").embedded == 12
    assert answers == []


def test_actors_get_their_share_and_are_restarted(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray._nodes[:] = [{"Alive": True, "NodeManagerHostname": "b", "Resources": {"CPU": 6.0, "GPU": 2.0}}]
    read: list[Any] = []

    def note(*asked: Any) -> Iterator[Any]:
        read.append(asked[-1])
        return iter(())

    def choose_device(name: str) -> str:
        read.append(name)
        return "cpu"

    monkeypatch.setattr("unreel.features.ray_parts.embed_videos", note)
    monkeypatch.setattr("unreel.features.ray_parts.choose_device", choose_device)
    before = torch.get_num_threads()
    try:
        extract(encoder, catalog, tmp_path / "f.parquet", read=replace(READ, num_workers=-1))
    finally:
        torch.set_num_threads(before)
    assert ray.options["compute"] == {"size": 2, "max_tasks_in_flight_per_actor": 1}
    assert (ray.options["num_cpus"], ray.options["num_gpus"]) == (3, 1.0)
    # Ray restarts actors, and asks again, without limit, unless it is told otherwise.
    assert ray.options.keys() == {"fn_constructor_kwargs", "compute", "num_cpus", "num_gpus"}
    assert ray.context.enable_progress_bars is False
    assert read[0] == "auto"  # of what Ray lets the actor see
    assert read[1].num_workers == 3


def test_an_encoder_on_a_gpu_is_refused(catalog: Catalog, tmp_path: Path, ray: RayDouble) -> None:
    moved = build_encoder()
    maker = RayPartMaker(ClusterConfig())
    moved.device = torch.device("cuda:1")
    with pytest.raises(ValueError, match="must be on the CPU, for actors to take, and is on cuda:1"):
        maker(moved, catalog, None, [], pooling="average", read=READ, progress=print)  # type: ignore[arg-type]


def test_a_cluster_that_is_too_small_is_refused(
    catalog: Catalog, encoder: Encoder, tmp_path: Path, ray: RayDouble
) -> None:
    with pytest.raises(UnreelError, match="needs 2 cores and 0 GPUs"):
        extract(encoder, catalog, tmp_path / "f.parquet", ClusterConfig(cores_per_actor=2))
    assert ray.asked == []
