"""How much room copies will take, from a few of them, before the many are made."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unreel.config import config_from_dict
from unreel.data.catalog import Catalog
from unreel.data.decode import ClipDecoder, FrameSize
from unreel.data.frame_index import FrameIndex
from unreel.data.prepare_config import PrepareConfig, plan_frames
from unreel.data.prepare_copy import CopyWriter
from unreel.data.prepare_jobs import CopyJobs
from unreel.data.scan_workers import run_jobs
from unreel.errors import CatalogError, VideoError

_WORK = "unreel.data.prepare_estimate:encode_sample"
_NUM_SAMPLES, _SAMPLE_FRAMES = 12, 64
_BYTES_PER_RAW_PIXEL = 3
_BYTES_PER_FILE = 2000
"""Of headers, whatever the length."""
_FALLBACK_BYTES_PER_PIXEL = 0.2
"""When not one video of the sample can be read: more than most videos take at crf 20."""
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class Estimate:
    """What copies that are still to be made will take.

    Attributes:
        videos: that are to be copied.
        original_bytes: of these.
        copy_bytes: of their copies, about; exact but for headers where pictures are not compressed.
        sampled: videos of which a part was encoded to find out.
        free_bytes: on the disk of the copies.
        folder: of the copies.
    """

    videos: int
    original_bytes: int
    copy_bytes: int
    sampled: int
    free_bytes: int
    folder: Path

    def describe(self) -> str:
        """Say it in a line."""
        how = f", by a sample of {self.sampled}" if self.sampled else ""
        return (
            f"copies of {self.videos} videos of {format_bytes(self.original_bytes)} take about "
            f"{format_bytes(self.copy_bytes)}{how}; {format_bytes(self.free_bytes)} are free for "
            f"{self.folder}"
        )

    def check(self) -> None:
        """Refuse to begin what cannot end well.

        Raises:
            CatalogError: there is less room than the copies take.
        """
        if self.copy_bytes > self.free_bytes:
            raise CatalogError(
                f"{self.describe()}; make room, choose another --out, or take a smaller --short-side, a "
                "lower --fps, a larger --crf or --format h264"
            )


def estimate_copies(work: CopyJobs, *, num_workers: int) -> Estimate:
    """Estimate the size of the copies that are still to be made.

    Of twelve videos, evenly from the longest to the shortest, 64 frames from the middle are encoded.

    Args:
        work: what is to be done.
        num_workers: processes.
    """
    catalog, config, out = work.catalog, work.config, work.out
    rows = np.array([row for row in work.todo.tolist() if not work.is_made(row)], dtype=np.int64)
    pixels = float(_count_pixels(catalog.take(rows), config).sum())
    per_pixel, sampled = float(_BYTES_PER_RAW_PIXEL), 0
    if config.format == "h264" and len(rows):
        picked = rows[np.unique(np.linspace(0, len(rows) - 1, _NUM_SAMPLES).round().astype(int))]
        replies = run_jobs(
            _WORK, work.list_jobs(picked), num_workers=num_workers, time_limit_sec=work.longest_sec
        )
        found = [reply.value for reply in replies if "bytes" in reply.value]
        sampled = len(found)
        per_pixel = _FALLBACK_BYTES_PER_PIXEL
        if found:
            num_bytes = sum(max(0, value["bytes"] - _BYTES_PER_FILE) for value in found)
            per_pixel = num_bytes / sum(value["pixels"] for value in found)
    folder = out
    while not folder.exists():
        folder = folder.parent
    return Estimate(
        videos=len(rows),
        original_bytes=int(catalog.table["bytes"].to_numpy()[rows].sum()),
        copy_bytes=round(pixels * per_pixel) + len(rows) * _BYTES_PER_FILE,
        sampled=sampled,
        free_bytes=shutil.disk_usage(folder).free,
        folder=out,
    )


def _count_pixels(catalog: Catalog, config: PrepareConfig) -> NDArray[np.int64]:
    """Return the pixels of all frames of every copy."""
    columns = (catalog.table[name].to_pylist() for name in ("height", "width", "frames", "seconds"))
    counts = []
    for height, width, frames, seconds in zip(*columns, strict=True):
        copy_height, copy_width = config.choose_size(height, width)
        counts.append(copy_height * copy_width * config.count_frames(frames, seconds))
    return np.array(counts, dtype=np.int64)


def encode_sample(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Encode a part from the middle of the video that a job of `copy_file` names.

    Returns:
        ``bytes`` of the file and ``pixels`` in it; or ``reason`` why there are none.
    """
    config = config_from_dict(PrepareConfig(), job["config"])
    index = FrameIndex.from_row(job["index"])
    plan = plan_frames(index, job["seconds"], config)
    first = max(0, (len(plan.source_K) - _SAMPLE_FRAMES) // 2)
    source_T = plan.source_K[first : first + _SAMPLE_FRAMES]
    size = config.choose_size(job["height"], job["width"])
    decoder = ClipDecoder(FrameSize(*size), time_limit_sec=float(job["time_limit_sec"]))
    try:
        pictures_THWC = decoder.decode(Path(job["path"]), index, source_T[None])[0]
    except VideoError as error:
        return {"reason": error.reason}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample")
        with CopyWriter(path, job["height"], job["width"], plan.ticks_per_sec, config) as writer:
            for picture_HWC, tick in zip(pictures_THWC, plan.tick_K, strict=False):
                writer.add(picture_HWC, int(tick))
        num_bytes = path.stat().st_size
    return {"bytes": num_bytes, "pixels": len(pictures_THWC) * size[0] * size[1]}


def format_bytes(num_bytes: float) -> str:
    """Write a size as a person would: ``999 bytes``, ``3.1 MB``, ``42 GB``."""
    for size, unit in _UNITS:
        if num_bytes >= size:
            number = num_bytes / size
            return f"{number:.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{num_bytes:.0f} bytes"
