from pathlib import Path

import pytest

from tests.data.numbered import build_catalog, describe_job, write_numbers
from tests.data.scan_samples import make_catalog, run_jobs_here
from tests.data.videos import draw_frames, write_video
from unreel.data import prepare_estimate as module
from unreel.data.catalog import Catalog
from unreel.data.prepare_config import PrepareConfig
from unreel.data.prepare_copy import copy_file
from unreel.data.prepare_estimate import Estimate, encode_sample, estimate_copies, format_bytes
from unreel.data.prepare_jobs import CopyJobs
from unreel.data.prepare_memory import recall
from unreel.errors import CatalogError

RAW = PrepareConfig(format="raw", short_side=32)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Fifteen videos, of 70 to 98 frames."""
    folder = tmp_path_factory.mktemp("originals")
    names = [f"{number:02d}.mp4" for number in range(15)]
    for number, name in enumerate(names):
        write_video(folder / name, draw_frames(70 + 2 * number, seed=number))
    return build_catalog(folder, names)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_jobs", run_jobs_here)


def plan(catalog: Catalog, out: Path, config: PrepareConfig) -> CopyJobs:
    return CopyJobs(catalog, recall(out), out, config, 30.0, is_verified=False)


def test_the_estimate_comes_close_to_the_truth(catalog: Catalog, tmp_path: Path) -> None:
    for config in (PrepareConfig(short_side=32), PrepareConfig(short_side=32, fps=10), RAW):
        work = plan(catalog, tmp_path, config)
        estimate = estimate_copies(work, num_workers=1)
        true_bytes = 0
        for row in range(len(catalog)):
            job = dict(work.describe(row)) | {"copy": str(tmp_path / "x" / str(row))}
            true_bytes += copy_file(job)["bytes"]
        assert estimate.copy_bytes == pytest.approx(true_bytes, rel=0.01 if config == RAW else 0.15)
        assert estimate.sampled == (0 if config == RAW else 12)
        assert (estimate.videos, estimate.folder) == (15, tmp_path)
        assert estimate.original_bytes == sum(catalog.table["bytes"].to_pylist())
        assert estimate.free_bytes > 1e6


def test_raw_pictures_are_counted_not_sampled(tmp_path: Path) -> None:
    # 16 x 24 pixels, 4 frames: 4608 bytes of pictures each, and a header.
    catalog = make_catalog(["a.mp4", "b.mp4"], tmp_path)
    estimate = estimate_copies(
        plan(catalog, tmp_path / "p" / "q", PrepareConfig(format="raw")), num_workers=1
    )
    assert estimate.copy_bytes == 2 * (16 * 24 * 3 * 4 + 2000)


def test_videos_that_cannot_be_read_are_left_out_of_the_sample(catalog: Catalog, tmp_path: Path) -> None:
    gone = Catalog(catalog.table, tmp_path / "nowhere")
    estimate = estimate_copies(plan(gone, tmp_path, PrepareConfig(short_side=32)), num_workers=1)
    assert estimate.sampled == 0
    pixels = 32 * 42 * sum(catalog.num_frames_array.tolist())
    assert estimate.copy_bytes == round(0.2 * pixels) + 15 * 2000


def test_nothing_to_do_takes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    work = plan(catalog, tmp_path, PrepareConfig())
    work.todo = work.todo[:0]
    assert estimate_copies(work, num_workers=1).copy_bytes == 0


def test_a_sample_is_of_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbers(tmp_path / "a.mp4", 100)
    seen: list[list[int]] = []
    decode = module.ClipDecoder.decode

    def spy(self: module.ClipDecoder, path: Path, index: object, frames_NT: object) -> object:
        seen.append(frames_NT.tolist()[0])  # type: ignore[attr-defined]
        return decode(self, path, index, frames_NT)  # type: ignore[arg-type]

    monkeypatch.setattr(module.ClipDecoder, "decode", spy)
    found = encode_sample(describe_job(path, tmp_path / "c.mp4"))
    assert seen == [list(range(18, 82))]
    assert found["pixels"] == 64 * 48 * 64
    assert not (tmp_path / "c.mp4").exists()
    path.unlink()
    job = describe_job(write_numbers(path, 3), tmp_path / "c.mp4")
    path.unlink()
    assert "no such file" in encode_sample(job)["reason"]


def test_too_little_room_is_refused_with_the_numbers(tmp_path: Path) -> None:
    estimate = Estimate(3, 4_200_000, 2_000_001, 2, 2_000_000, tmp_path)
    with pytest.raises(CatalogError) as caught:
        estimate.check()
    assert str(caught.value).startswith(
        "copies of 3 videos of 4.2 MB take about 2.0 MB, by a sample of 2; 2.0 MB are free for "
        f"{tmp_path}; make room"
    )
    Estimate(3, 4_200_000, 2_000_000, 0, 2_000_000, tmp_path).check()


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (3.14e6, "3.1 MB"),
        (42.4e9, "42 GB"),
        (2e15, "2,000 TB"),
    ],
)
def test_sizes_are_written_as_a_person_would(num_bytes: float, text: str) -> None:
    assert format_bytes(num_bytes) == text
