"""Pictures that say which frame they are, at any size, and catalogs of videos of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.data.videos import write_video
from unreel.data.catalog import Catalog
from unreel.data.catalog_table import MediaRows, join_columns
from unreel.data.prepare_config import PrepareConfig
from unreel.data.prepare_jobs import _INDEX_COLUMNS
from unreel.data.probe import probe_video
from unreel.data.scan_probe import build_row

ROWS, COLUMNS = 3, 4
BITS = np.arange(ROWS * COLUMNS)
H264 = PrepareConfig()


def number_frames(numbers: Sequence[int], height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Draw a field of 3 x 4 squares per frame: bright where the frame's number has a bit."""
    bits_FN = np.array(numbers)[:, None] >> BITS & 1
    fields = (40 + 180 * bits_FN).reshape(-1, ROWS, COLUMNS).astype(np.uint8)
    gray = fields.repeat(height // ROWS, 1).repeat(width // COLUMNS, 2)
    tint = np.array([0, -20, 10])
    return (gray[..., None] + tint).astype(np.uint8)


def read_numbers(frames_FHWC: NDArray[np.uint8]) -> list[int]:
    """Return which frames these are."""
    height, width = frames_FHWC.shape[1:3]
    lines = (np.arange(ROWS) + 0.5) * height / ROWS
    columns = (np.arange(COLUMNS) + 0.5) * width / COLUMNS
    bits_FRC = frames_FHWC[:, lines.astype(int)][:, :, columns.astype(int), 0] > 127
    return (bits_FRC.reshape(len(frames_FHWC), -1).astype(np.int64) << BITS).sum(1).tolist()


def write_numbers(path: Path, num_frames: int = 40, *, height: int = 48, width: int = 64, **how: Any) -> Path:
    """Encode frames 0, 1, 2, ... in groups of 250 with B-frames, as most originals are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, number_frames(range(num_frames), height, width), **how)


def build_catalog(root: Path, paths: Sequence[str], **columns: Sequence[Any]) -> Catalog:
    """Build the catalog of files below a folder, as a scan would."""
    media = MediaRows()
    for path in paths:
        media.append(build_row(probe_video(root / path), "decode"))
    stats = [(root / path).stat() for path in paths]
    listing: dict[str, Sequence[Any]] = {
        "path": paths,
        "bytes": [stat.st_size for stat in stats],
        "mtime_ns": [stat.st_mtime_ns for stat in stats],
        **{name: [""] * len(paths) for name in ("label", "split", "group")},
    }
    return Catalog(join_columns(listing | columns, media.build()), root)


def describe_job(path: Path, copy: Path, config: PrepareConfig = H264, **changes: Any) -> dict[str, Any]:
    """Return the job to copy a file."""
    row = build_row(probe_video(path), "decode")
    return {
        "path": str(path),
        "copy": str(copy),
        "bytes": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
        "index": {name: row[name] for name in _INDEX_COLUMNS},
        **{name: row[name] for name in ("seconds", "fps", "height", "width", "note")},
        "config": {name: getattr(config, name) for name in PrepareConfig.__dataclass_fields__},
        "is_made": False,
        "verify": False,
        "time_limit_sec": 30.0,
    } | changes
