"""A trained localiser, its vectors, a catalog with segments, and proposals, made once for the commands."""

from dataclasses import dataclass
from pathlib import Path

from tests.features.localization_files import write_catalog, write_vectors
from tests.train.localization_runs import NAME, build_recipe
from unreel.evaluate.localize import propose_segments
from unreel.evaluate.proposal_files import write_proposals
from unreel.features.grid_batches import GridData
from unreel.features.localizer import Localizer
from unreel.features.table import FeatureTable
from unreel.train.localization import train_localizer


@dataclass(frozen=True)
class LocalizationFiles:
    """Where the files are."""

    catalog: Path
    features: Path
    run: Path
    proposals: Path


def write_localization_files(corpus: Path, folder: Path) -> LocalizationFiles:
    """Write everything that the steps of `unreel localize` need."""
    catalog = write_catalog(corpus, folder)
    features = write_vectors(catalog, folder / "grid.parquet")
    run = folder / "run"
    train_localizer(build_recipe(GridData(features, catalog), steps=2), run, recipe_name=NAME)
    proposals = propose_segments(Localizer.load(run), FeatureTable.load(features))
    write_proposals(folder / "proposals.json", proposals, details="test")
    return LocalizationFiles(catalog, features, run, folder / "proposals.json")
