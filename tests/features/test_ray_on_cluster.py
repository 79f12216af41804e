"""Extraction on a cluster of Ray itself, of two machines that are processes of this one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.features.slow_embedders import KilledEmbedder
from tests.features.tiny import build_encoder
from unreel.cli.main import run
from unreel.data.catalog import Catalog
from unreel.errors import FeaturesError
from unreel.features.encoder import Encoder
from unreel.features.extract import ExtractSummary, extract_features
from unreel.features.ray_cluster import ClusterConfig, import_ray
from unreel.features.ray_extract import RayPartMaker
from unreel.features.reading import ClipEmbedder, ReadConfig

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    # Ray's own, of its defaults.
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

READ = ReadConfig(clips_per_video=2, batch_size=4, num_workers=0)
MACHINE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import_ray()
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**MACHINE, "include_dashboard": False})
    made.add_node(**MACHINE)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture
def local(catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the table that one machine makes, of parts of four videos."""
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 4)
    extract_features(encoder, catalog, tmp_path / "local.parquet", read=READ)
    return (tmp_path / "local.parquet").read_bytes()


def extract(
    cluster: Any, embedder: ClipEmbedder, catalog: Catalog, out: Path, **words: Any
) -> ExtractSummary:
    maker = RayPartMaker(ClusterConfig(cluster.address))
    return extract_features(embedder, catalog, out, **{"read": READ, **words}, make_parts=maker)


def test_an_extraction_is_interrupted_and_goes_on_to_the_same_bytes(
    cluster: Any, catalog: Catalog, encoder: Encoder, tmp_path: Path, local: bytes
) -> None:
    def stop(done: int, total: int, note: str) -> None:
        if done:
            raise KeyboardInterrupt

    out = tmp_path / "f.parquet"
    slow = KilledEmbedder(encoder, tmp_path, seconds=0.5)
    with pytest.raises(KeyboardInterrupt):
        extract(cluster, slow, catalog, out, progress=stop)
    assert not out.exists()
    # With workers that decode, as by default.
    summary = extract(cluster, encoder, catalog, out, read=replace(READ, num_workers=-1))
    assert summary.reused in (4, 8)
    assert out.read_bytes() == local


def test_a_command_that_was_killed_goes_on_to_the_same_bytes(
    cluster: Any, corpus: Path, catalog: Catalog, encoder: Encoder, tmp_path: Path, local: bytes
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from tests.features.slow_embedders import KilledEmbedder
from tests.features.tiny import build_encoder
from tests.features.test_ray_on_cluster import READ
from unreel.data.catalog import Catalog
from unreel.features import parts
from unreel.features.extract import extract_features
from unreel.features.ray_cluster import ClusterConfig
from unreel.features.ray_extract import RayPartMaker
parts._VIDEOS_PER_PART = 4
def kill(done, total, note):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
slow = KilledEmbedder(build_encoder(), Path({str(tmp_path)!r}), seconds=1)
catalog, out = Catalog.load(Path({str(corpus)!r})), Path({str(tmp_path / "f.parquet")!r})
maker = RayPartMaker(ClusterConfig({cluster.address!r}))
extract_features(slow, catalog, out, read=READ, make_parts=maker, progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    # Another machine goes on by itself; the cluster has ended the actors.
    summary = extract_features(encoder, catalog, tmp_path / "f.parquet", read=READ)
    assert summary.reused in (4, 8)
    assert (tmp_path / "f.parquet").read_bytes() == local


def test_a_process_killed_in_the_middle_of_a_part_loses_nothing(
    cluster: Any, catalog: Catalog, encoder: Encoder, tmp_path: Path, local: bytes
) -> None:
    killed = KilledEmbedder(encoder, tmp_path, kills=2)
    summary = extract(cluster, killed, catalog, tmp_path / "f.parquet")
    assert len(list(tmp_path.glob("killed-*"))) == 2
    assert (summary.embedded, summary.rejected) == (12, 0)
    assert (tmp_path / "f.parquet").read_bytes() == local
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".parquet"}


def test_a_machine_taken_away_in_the_middle_loses_nothing(
    cluster: Any, catalog: Catalog, encoder: Encoder, tmp_path: Path, local: bytes
) -> None:
    third = cluster.add_node(**MACHINE)
    told: list[int] = []

    def take_away(done: int, total: int, note: str) -> None:
        told.append(done)
        if len(told) == 2:  # each of three machines has had a part; two of them may be working on it
            cluster.remove_node(third, allow_graceful=False)

    slow = KilledEmbedder(encoder, tmp_path, seconds=1.5)
    summary = extract(cluster, slow, catalog, tmp_path / "f.parquet", progress=take_away)
    assert told == [0, 4, 8, 12]
    assert summary.embedded == 12
    assert (tmp_path / "f.parquet").read_bytes() == local


def test_a_part_that_always_kills_its_process_is_named(
    cluster: Any,
    catalog: Catalog,
    encoder: Encoder,
    tmp_path: Path,
    local: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 12)
    out = tmp_path / "f.parquet"
    with pytest.raises(FeaturesError, match="the process that makes part 0 ended 5 times before it was done"):
        extract(cluster, KilledEmbedder(encoder, tmp_path, kills=1000), catalog, out)
    assert len(list(tmp_path.glob("killed-*"))) == 5
    assert extract(cluster, encoder, catalog, out).reused == 0
    assert out.read_bytes() == local


def test_videos_that_fail_are_listed(
    cluster: Any, catalog: Catalog, encoder: Encoder, tmp_path: Path, local: bytes
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for video in list(catalog)[1:]:
        (moved / video.path.name).symlink_to(video.path)
    lonely = Catalog(catalog.table, moved)
    summary = extract(cluster, encoder, lonely, tmp_path / "f.parquet", max_rejected_fraction=0.1)
    assert (summary.embedded, summary.rejected) == (11, 1)
    assert "00.mp4" in (tmp_path / "f.rejected.csv").read_text()


def test_the_command_says_the_same_as_without_a_cluster(
    cluster: Any, corpus: Path, encoder: Encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder.save(tmp_path / "run" / "encoder")
    words = ["extract", "--encoder", str(tmp_path / "run" / "encoder"), "--catalog", str(corpus)]
    words += ["--clips-per-video", "2", "--device", "cpu"]
    assert run([*words, "--out", str(tmp_path / "a.parquet")]) == 0
    there = ["--engine", "ray", "--ray-address", cluster.address, "--num-actors", "1"]
    assert run([*words, "--out", str(tmp_path / "b.parquet"), *there]) == 0
    assert capsys.readouterr().out.count("12 = 12 embedded + 0 rejected") == 2
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
