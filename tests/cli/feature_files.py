"""An encoder, a catalog and a table of features as files, made once for the tests of the commands."""

from dataclasses import dataclass
from pathlib import Path

from tests.features.tiny import build_frame_encoder
from unreel.data.catalog import Catalog
from unreel.features.encoder import Encoder
from unreel.features.extract import extract_features
from unreel.features.reading import ReadConfig


@dataclass(frozen=True)
class FeatureFiles:
    """Where the files are."""

    encoder: Path
    catalog: Path
    features: Path
    video: Path


def write_feature_files(corpus: Path, folder: Path) -> FeatureFiles:
    """Write everything that `extract`, `evaluate` and `search` need."""
    encoder_folder = folder / "run" / "encoder"
    build_frame_encoder().save(encoder_folder)
    catalog = Catalog.load(corpus)
    read = ReadConfig(clips_per_video=2, num_workers=0)
    extract_features(Encoder.load(encoder_folder), catalog, folder / "features.parquet", read=read)
    return FeatureFiles(encoder_folder, corpus, folder / "features.parquet", catalog.video(0).path)
