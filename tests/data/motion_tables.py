"""Tables of motion for tests, without any measuring."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unreel.data.catalog import Catalog
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import MotionRows, MotionTable, name_table
from unreel.data.motion_windows import split_windows

CONFIG = MotionConfig(backend="frame_difference", size=32)


def make_table(
    catalog: Catalog, motion: Mapping[str, Sequence[float] | None], config: MotionConfig = CONFIG
) -> MotionTable:
    """Build a table from the motion of videos by path in the catalog; None stands for a failure."""
    rows = MotionRows()
    columns = catalog.table.select(["id", "path", "bytes", "mtime_ns", "frames"]).to_pylist()
    for row in columns:
        path = row.pop("path")
        if path in motion:
            values = motion[path]
            rows.append({**row, "motion": values, "reason": "" if values is not None else "it broke"})
    return MotionTable(rows.build(), config)


def write_motion(catalog: Path, config: MotionConfig = MotionConfig()) -> Path:  # noqa: B008
    """Write random motion beside a catalog, in as many windows as its videos have; return the table."""
    videos = Catalog.load(catalog)
    rng = np.random.default_rng(0)
    paths = videos.table["path"].to_pylist()
    windows = [len(split_windows(video.index, config.window_sec)) - 1 for video in videos]
    motion = {path: rng.uniform(0, 20, count).tolist() for path, count in zip(paths, windows, strict=True)}
    make_table(videos, motion, config).save(name_table(catalog))
    return name_table(catalog)
