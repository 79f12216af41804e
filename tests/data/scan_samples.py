"""Small things that the tests of scans and catalogs share: clips and catalogs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.worker_jobs import media_row
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import MediaRows, join_columns
from unreel.data.sample_videos import write_video
from unreel.data.scan_workers import Reply, load_work


def write_clip(path: Path, num_frames: int = 3) -> Path:
    """Encode a clip of 16 x 16 pixels; every frame has its own shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.arange(num_frames, dtype=np.uint8) * 40
    frames = np.broadcast_to(shades[:, None, None, None], (num_frames, 16, 16, 3))
    write_video(path, np.ascontiguousarray(frames))
    return path


def make_catalog(paths: Sequence[str], root: Path, *, frames: int = 4, **columns: Sequence[Any]) -> Catalog:
    """Build a catalog without any file; columns that are not given are empty."""
    media = MediaRows()
    for _ in paths:
        media.append(media_row(frames=frames))
    listing: dict[str, Sequence[Any]] = {
        "path": paths,
        "bytes": [1000] * len(paths),
        "mtime_ns": [7] * len(paths),
        "label": [""] * len(paths),
        "split": [""] * len(paths),
        "group": [""] * len(paths),
    }
    return Catalog(join_columns(listing | columns, media.build()), root)


def run_jobs_here(
    work: str, jobs: Sequence[Mapping[str, Any]], *, num_workers: int, time_limit_sec: float
) -> Iterator[Reply]:
    """Stand in for `run_jobs` without processes."""
    function = load_work(work)
    for number, job in enumerate(jobs):
        yield Reply(number, function(job))
