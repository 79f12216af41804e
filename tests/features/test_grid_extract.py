from pathlib import Path

import numpy as np
import pytest

from tests.features.tiny import PARTS_SPEC, build_encoder
from unreel.augment.evaluation_views import EvaluationViews
from unreel.data.catalog import Catalog
from unreel.errors import CatalogError, FeaturesError
from unreel.features.classifier import Classifier
from unreel.features.classifier_files import ClassifierConfig
from unreel.features.encoder import Encoder
from unreel.features.grid_clips import GridSampling
from unreel.features.grid_extract import extract_grids
from unreel.features.input_spec import InputSpec
from unreel.features.pixels import PixelBaseline
from unreel.features.reading import ReadConfig
from unreel.features.table import FeatureTable
from unreel.models.resnet2d import ResNetConfig

GRID = GridSampling(6)
READ = ReadConfig(batch_size=5, num_workers=0)


@pytest.fixture(scope="module")
def catalog(corpus: Path) -> Catalog:
    return Catalog.load(corpus)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_encoder()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.features.parts._VIDEOS_PER_PART", 4)


def test_the_table_has_a_row_per_position_with_its_stretch_of_time(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    out = tmp_path / "grid.parquet"
    summary = extract_grids(encoder, catalog, out, grid=GRID, read=READ, progress=lambda *s: told.append(s))
    assert (summary.videos, summary.embedded, summary.rejected, summary.vectors) == (12, 12, 0, 36)
    assert (summary.sampling, summary.repeating) == ("CenteredClips(every=6)", 0)
    table = FeatureTable.load(out)
    assert table.video_ids[::3].tolist() == catalog.ids
    assert table.column("clip_index")[:3].tolist() == [0, 1, 2]
    assert table.column("frame_index")[:3].tolist() == [3, 9, 15]
    # 25 frames a second: stretches of 6 frames, the last to the end of 20.
    assert table.column("start_sec")[:3] == pytest.approx([0.0, 0.24, 0.48])
    assert table.column("end_sec")[:3] == pytest.approx([0.24, 0.48, 0.8])
    assert table.info.clips_per_video == 0
    assert table.info.encoder_hash == encoder.hash
    assert told[-1] == (12, 12, "")
    assert [path.name for path in tmp_path.iterdir()] == ["grid.parquet"]


@pytest.mark.usefixtures("small_parts")
def test_an_interrupted_extraction_goes_on_to_the_same_bytes(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    extract_grids(encoder, catalog, tmp_path / "whole.parquet", grid=GRID, read=READ)

    def stop(done: int, total: int, note: str) -> None:
        if done == 6:
            raise KeyboardInterrupt

    out = tmp_path / "cut.parquet"
    with pytest.raises(KeyboardInterrupt):
        extract_grids(encoder, catalog, out, grid=GRID, read=READ, progress=stop)
    assert not out.exists()
    with pytest.raises(FeaturesError, match=r"other settings .*CenteredClips\(every=4\)"):
        extract_grids(encoder, catalog, out, grid=GridSampling(4), read=READ)
    summary = extract_grids(encoder, catalog, out, grid=GRID, read=READ)
    assert summary.reused == 4
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    other = extract_grids(encoder, catalog, out, grid=GridSampling(4), read=READ, is_restart=True)
    assert other.vectors == 60


def test_scores_of_a_classifier_are_vectors_too(catalog: Catalog, tmp_path: Path) -> None:
    """A network of single frames that was tested on segments sees one frame per position, in three crops."""
    spec = InputSpec(sampling="segments", num_frames=3, decode_height=24, decode_width=32, crop_px=16)
    views = EvaluationViews(clips=1, crops="three")
    config = ClassifierConfig(ResNetConfig(depth=18, width=0.125), spec, views, ("a", "b", "c"))
    classifier = Classifier.untrained(config)
    extract_grids(classifier, catalog, tmp_path / "s.parquet", split="test", grid=GRID, read=READ)
    table = FeatureTable.load(tmp_path / "s.parquet")
    assert table.vectors.shape == (9, 3)
    assert table.vectors.sum(axis=1) == pytest.approx(np.ones(9), abs=1e-5)
    assert table.info.encoder_hash == classifier.hash
    assert set(table.column("split")) == {"test"}


def test_what_cannot_be_done_is_refused_before_the_work(
    catalog: Catalog, encoder: Encoder, tmp_path: Path
) -> None:
    out = tmp_path / "f.parquet"
    with pytest.raises(CatalogError, match="no split 'dev'"):
        extract_grids(encoder, catalog, out, split="dev")
    with pytest.raises(FeaturesError, match="holds no video"):
        extract_grids(encoder, catalog.take([]), out)
    with pytest.raises(ValueError, match="max_rejected_fraction must be between 0 and 1, got 2"):
        extract_grids(encoder, catalog, out, max_rejected_fraction=2)
    import dataclasses

    whole = PixelBaseline(dataclasses.replace(PARTS_SPEC, span_frames=0))
    with pytest.raises(ValueError, match="cover the whole video"):
        extract_grids(whole, catalog, out)
    assert not list(tmp_path.iterdir())


def test_videos_that_fail_are_listed_and_too_many_stop_it(
    catalog: Catalog, tmp_path: Path, corpus: Path
) -> None:
    for video in catalog:
        is_broken = video.path.name == "03.mp4"
        (tmp_path / video.path.name).write_bytes(b"" if is_broken else video.path.read_bytes())
    broken = Catalog(catalog.table, tmp_path)
    out = tmp_path / "out" / "grid.parquet"
    with pytest.raises(FeaturesError, match="1 of 12 videos cannot be used"):
        extract_grids(PixelBaseline(build_encoder().spec), broken, out, grid=GRID, read=READ)
    summary = extract_grids(
        PixelBaseline(build_encoder().spec), broken, out, grid=GRID, read=READ, max_rejected_fraction=0.1
    )
    assert (summary.embedded, summary.rejected) == (11, 1)
    assert summary.rejected_path is not None
    assert "03.mp4" in summary.rejected_path.read_text()
    assert len(FeatureTable.load(out)) == 33
