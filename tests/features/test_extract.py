import csv
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.tiny import SPEC, build_encoder, build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling, FramePerPart, UniformClips
from unreel.data.decode import ClipDecoder
from unreel.data.spaced_frames import SpacedFrames
from unreel.errors import CatalogError, FeaturesError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.extract import count_numbers, count_repeating, extract_features
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.models.resnet2d import ResNetConfig

READ = ReadConfig(clips_per_video=2, batch_size=4, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 4)


def copy_corpus(corpus: Path, folder: Path) -> Catalog:
    shutil.copytree(corpus.parent, folder)
    return Catalog.load(folder / "catalog.parquet", root=folder)


class StopAfter:
    """A progress callback that interrupts the job when so many videos are done."""

    def __init__(self, videos: int) -> None:
        self.videos = videos
        self.told: list[tuple[int, int, str]] = []

    def __call__(self, done: int, total: int, note: str) -> None:
        self.told.append((done, total, note))
        if done == self.videos:
            raise KeyboardInterrupt


def test_the_table_holds_every_clip_of_every_video(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    out = tmp_path / "f.parquet"
    summary = extract_features(encoder, catalog, out, read=READ, progress=lambda *state: told.append(state))
    assert (summary.videos, summary.embedded, summary.rejected, summary.reused) == (12, 12, 0, 0)
    assert (summary.vectors, summary.dimension) == (24, encoder.num_features)
    assert summary.rejected_path is None
    assert (summary.sampling, summary.repeating) == ("UniformClips", 0)
    table = FeatureTable.load(out)
    assert table.video_ids[::2].tolist() == catalog.ids
    assert table.column("clip_index").tolist() == [0, 1] * 12
    assert table.info.encoder_hash == encoder.hash
    assert table.info.encoder == encoder.name
    assert table.info.catalog_hash == catalog.hash
    assert table.info.root == str(catalog.root)
    assert (table.info.pooling, table.info.clips_per_video) == ("average", 2)
    assert table.info.sampling == "UniformClips"
    assert told[0] == (0, 12, "")
    assert told[-1] == (12, 12, "")
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]


def test_frame_features_have_a_row_per_frame(catalog: Catalog, tmp_path: Path) -> None:
    encoder = build_frame_encoder()
    out = tmp_path / "f.parquet"
    summary = extract_features(encoder, catalog, out, pooling="frame", split="test", read=READ)
    assert (summary.videos, summary.vectors) == (3, 3 * 2 * 4)
    table = FeatureTable.load(out)
    assert set(table.column("split")) == {"test"}
    assert table.info.split == "test"
    assert table.info.pooling == "frame"


def test_a_network_of_single_frames_sees_them_from_the_first_to_the_last(
    catalog: Catalog, tmp_path: Path
) -> None:
    config = EncoderConfig(ResNetConfig(width=0.0625), replace(SPEC, num_frames=1))
    out = tmp_path / "f.parquet"
    read = replace(READ, clips_per_video=5)
    extract_features(Encoder.untrained(config), catalog, out, split="test", read=read)
    table = FeatureTable.load(out)
    assert table.info.sampling == "SpacedFrames"
    for row, video_id in enumerate(table.video_ids[::5]):
        last = catalog.video(catalog.ids.index(video_id)).frames - 1
        # A quarter of the way each, halves up.
        expected = [0, (last + 2) // 4, (last + 1) // 2, (3 * last + 2) // 4, last]
        assert table.column("frame_index")[5 * row : 5 * row + 5].tolist() == expected


def build_map_encoder() -> Encoder:
    """CCL's network with larger crops: 24 pixels, halved four times, leave a map of 2 x 2 positions."""
    config = build_frame_encoder().config
    return Encoder.untrained(EncoderConfig(config.backbone, replace(config.input, crop_px=24)))


def test_max_pooled_maps_are_as_long_as_they_are(catalog: Catalog, tmp_path: Path) -> None:
    encoder = build_map_encoder()
    out = tmp_path / "f.parquet"
    summary = extract_features(encoder, catalog, out, pooling="conv5_max", read=READ)
    # The map of 2 x 2 positions is halved once more: 4 moments of one position.
    assert summary.dimension == 4 * encoder.num_features == count_numbers(encoder, "conv5_max")
    table = FeatureTable.load(out)
    assert (table.info.pooling, table.info.dimension) == ("conv5_max", summary.dimension)
    assert table.vectors.shape == (24, summary.dimension)
    video = catalog.video(3)
    frames = encoder.spec.build_sampling(2).sample(video.frames, np.random.default_rng()).frames_NT
    clips = ClipDecoder(encoder.spec.frame_size).decode(video.path, video.index, frames)
    expected = encoder.embed_clips(torch.from_numpy(clips), ["conv5_max"])["conv5_max"][:, 0]
    np.testing.assert_allclose(table.vectors[6:8], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_pooling_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    encoder, out = build_map_encoder(), tmp_path / "f.parquet"
    with pytest.raises(KeyboardInterrupt):
        extract_features(encoder, catalog, out, read=READ, progress=StopAfter(6))
    with pytest.raises(FeaturesError, match=r"other settings .*pooling: 'conv5_max', not 'average'"):
        extract_features(encoder, catalog, out, pooling="conv5_max", read=READ)


def test_a_pooling_that_does_not_suit_is_refused_before_a_file_is_read(
    catalog: Catalog, tmp_path: Path
) -> None:
    told = StopAfter(0)
    for embedder, message in (
        (build_encoder(), "is 1 x 1; use pooling average"),
        (PixelBaseline(SPEC), "pixel baseline compares whole clips; use pooling average"),
    ):
        with pytest.raises(ValueError, match=message):
            extract_features(
                embedder, catalog, tmp_path / "f.parquet", pooling="conv5_max", read=READ, progress=told
            )
    assert told.told == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_parts")
def test_an_interrupted_extraction_goes_on_and_ends_in_the_same_bytes(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    extract_features(encoder, catalog, whole, read=READ)
    with pytest.raises(KeyboardInterrupt):
        extract_features(encoder, catalog, cut, read=READ, progress=StopAfter(6))
    assert not cut.exists()
    assert len(list((tmp_path / "cut.parquet.parts").iterdir())) == 1
    progress = StopAfter(-1)
    summary = extract_features(encoder, catalog, cut, read=READ, progress=progress)
    assert progress.told[0] == (4, 12, "")
    assert summary.reused == 4
    assert cut.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "cut.parquet.parts").exists()


def test_a_killed_extraction_goes_on_and_ends_in_the_same_bytes(
    corpus: Path, catalog: Catalog, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at the seventh video: one part of four is on disk, three embedded videos are lost."""
    script = f"""
import os, signal
from pathlib import Path
from tests.features.tiny import build_encoder
from unreel.data.catalog import Catalog
from unreel.data.clips import ClipSampling, FramePerPart, UniformClips
from unreel.data.decode import ClipDecoder
from unreel.data.spaced_frames import SpacedFrames
from unreel.features import parts
from unreel.features.extract import count_numbers, count_repeating, extract_features
from unreel.features.reading import ReadConfig
parts._VIDEOS_PER_PART = 4
def kill(done, total, note):
    if done == 7:
        os.kill(os.getpid(), signal.SIGKILL)
catalog, out = Catalog.load(Path({str(corpus)!r})), Path({str(tmp_path / "cut.parquet")!r})
read = ReadConfig(clips_per_video=2, batch_size=4, num_workers=0)
extract_features(build_encoder(), catalog, out, read=read, progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 4)
    summary = extract_features(encoder, catalog, tmp_path / "cut.parquet", read=READ)
    assert summary.reused == 4
    extract_features(encoder, catalog, tmp_path / "whole.parquet", read=READ)
    assert (tmp_path / "cut.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_any_number_of_workers_gives_the_same_bytes(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    files = []
    for workers in (0, 2):
        out = tmp_path / f"{workers}.parquet"
        extract_features(encoder, catalog, out, read=replace(READ, num_workers=workers))
        files.append(out.read_bytes())
    assert files[0] == files[1]


@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_encoder_are_refused_until_a_restart(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    out = tmp_path / "f.parquet"
    with pytest.raises(KeyboardInterrupt):
        extract_features(encoder, catalog, out, read=READ, progress=StopAfter(6))
    other = build_encoder(seed=1)
    with pytest.raises(FeaturesError, match=r"other settings.*encoder_hash"):
        extract_features(other, catalog, out, read=READ)
    summary = extract_features(other, catalog, out, read=READ, is_restart=True)
    assert summary.reused == 0
    assert FeatureTable.load(out).info.encoder_hash == other.hash


def test_an_older_table_is_replaced(catalog: Catalog, encoder: Encoder, tmp_path: Path) -> None:
    out = tmp_path / "f.parquet"
    extract_features(encoder, catalog, out, read=READ)
    extract_features(encoder, catalog, out, read=replace(READ, clips_per_video=1))
    assert FeatureTable.load(out).info.clips_per_video == 1


def test_failing_videos_are_listed_not_replaced(corpus: Path, encoder: Encoder, tmp_path: Path) -> None:
    catalog = copy_corpus(corpus, tmp_path / "copy")
    (tmp_path / "copy" / "03.mp4").write_bytes(b"not a video")
    told = StopAfter(-1)
    out = tmp_path / "f.parquet"
    summary = extract_features(encoder, catalog, out, read=READ, max_rejected_fraction=0.1, progress=told)
    assert (summary.videos, summary.embedded, summary.rejected, summary.vectors) == (12, 11, 1, 22)
    assert told.told[-1] == (12, 12, "1 rejected")
    assert summary.rejected_path == tmp_path / "f.rejected.csv"
    with summary.rejected_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["03.mp4"]
    assert rows[0]["reason"]
    assert catalog.ids[3] not in FeatureTable.load(out).video_ids


@pytest.mark.usefixtures("small_parts")
def test_too_many_failures_are_an_error_after_all_were_tried_and_nothing_is_lost(
    corpus: Path, encoder: Encoder, tmp_path: Path
) -> None:
    catalog = copy_corpus(corpus, tmp_path / "copy")
    for name in ("00.mp4", "05.mp4"):
        (tmp_path / "copy" / name).unlink()
    out = tmp_path / "f.parquet"
    message = r"2 of 12 videos cannot be used, more than max_rejected_fraction = 0.05.*00.mp4.*f.rejected.csv"
    with pytest.raises(FeaturesError, match=message):
        extract_features(encoder, catalog, out, read=READ)
    assert not out.exists()
    assert (tmp_path / "f.rejected.csv").exists()
    summary = extract_features(encoder, catalog, out, read=READ, max_rejected_fraction=0.2)
    assert (summary.reused, summary.embedded, summary.rejected) == (12, 10, 2)
    shutil.copy(corpus.parent / "00.mp4", tmp_path / "copy" / "00.mp4")
    repaired = extract_features(encoder, catalog, out, read=READ, max_rejected_fraction=0.2)
    assert (repaired.reused, repaired.rejected) == (0, 1)


def test_a_share_that_is_no_share_is_refused(catalog: Catalog, encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_rejected_fraction must be between 0 and 1, got 5"):
        extract_features(encoder, catalog, tmp_path / "f.parquet", max_rejected_fraction=5)


def test_an_unknown_split_or_pooling_and_an_empty_catalog_are_refused(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    out = tmp_path / "f.parquet"
    with pytest.raises(CatalogError, match="no split 'val'"):
        extract_features(encoder, catalog, out, split="val")
    with pytest.raises(ValueError, match="pooling must be one of"):
        extract_features(encoder, catalog, out, pooling="max")  # type: ignore[arg-type]
    with pytest.raises(FeaturesError, match="holds no video"):
        extract_features(encoder, catalog.take([]), out)


def test_pixels_go_the_same_way(catalog: Catalog, tmp_path: Path) -> None:
    baseline = PixelBaseline(SPEC)
    extract_features(baseline, catalog, tmp_path / "f.parquet", read=READ)
    table = FeatureTable.load(tmp_path / "f.parquet")
    assert table.vectors.shape == (24, baseline.num_features)
    assert table.info.encoder_hash == baseline.hash
    np.testing.assert_allclose(table.vectors.sum(axis=1), 0, atol=1e-3)


@pytest.mark.parametrize(
    ("sampling", "shortest"),
    [
        # Five frames, all different, need five; one needs one.
        (SpacedFrames(5), 5),
        (SpacedFrames(1), 1),
        # The starts 0, 1 and 2 of eight frames each.
        (UniformClips(3, num_frames=4, frame_stride=2), 10),
        # Short videos have clips of stride 1, and one clip of four frames fits into four.
        (UniformClips(1, num_frames=4, frame_stride=2), 4),
        # Two spans of ten frames, one frame apart.
        (FramePerPart(2, num_frames=5, span_frames=10, jitter=False), 11),
    ],
)
def test_videos_too_short_for_different_clips_and_frames_are_counted(
    sampling: ClipSampling, shortest: int
) -> None:
    lengths = np.array([shortest, shortest + 1, 100, *([shortest - 1] * 2 if shortest > 1 else [])])
    assert count_repeating(sampling, lengths) == (2 if shortest > 1 else 0)
