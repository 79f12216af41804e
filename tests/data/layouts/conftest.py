"""A clip that is encoded once, and scans that read in the test's own process."""

from pathlib import Path

import pytest

from tests.data.scan_samples import run_jobs_here, write_clip
from unreel.data import scan


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 5 frames, 0.2 s."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 5)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for a data set."""
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
