"""A catalog with segments and vectors over time in which they can be seen, made without any video."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from unreel.data.catalog import Catalog
from unreel.data.catalog_table import SEGMENTS_TYPE, identify_video
from unreel.features.grid_clips import GridSampling
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo

EVERY = 4
INFO = FeatureInfo(
    encoder_hash="e" * 16,
    encoder="tiny/encoder",
    dimension=4,
    clips_per_video=0,
    sampling=GridSampling(EVERY).name,
)
FPS = 25.0


def draw_segments(rng: np.random.Generator, seconds: float, count: int) -> list[dict[str, object]]:
    """Return segments that do not touch, at least a tenth of the video long."""
    edges = np.linspace(0, seconds, count + 1)
    segments = []
    for left, right in pairwise(edges):
        start = left + rng.uniform(0.1, 0.4) * (right - left)
        end = start + rng.uniform(0.3, 0.5) * (right - left)
        segments.append({"start_sec": float(start), "end_sec": float(end), "label": "event"})
    return segments


def write_catalog(
    corpus: Path, folder: Path, *, num_frames: int = 200, most_segments: int = 2, seed: int = 0
) -> Path:
    """Write the catalog of a corpus anew, as of longer videos with segments; its files stay as they are."""
    catalog = Catalog.load(corpus)
    rng = np.random.default_rng(seed)
    seconds = num_frames / FPS
    segments = [draw_segments(rng, seconds, 1 + row % most_segments) for row in range(len(catalog))]
    columns = {
        "segments": pa.array(segments, SEGMENTS_TYPE),
        "seconds": pa.array([seconds] * len(catalog)),
        "frames": pa.array([num_frames] * len(catalog)),
    }
    table = catalog.table
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), values)
    Catalog(table, catalog.root).save(folder / "segments.parquet")
    return folder / "segments.parquet"


def write_vectors(catalog_path: Path, out: Path, *, info: FeatureInfo = INFO, noise: float = 0.1) -> Path:
    """Write a table in which the first number is 1 within segments, the second 0 there, the rest noise."""
    catalog, rng = Catalog.load(catalog_path), np.random.default_rng(1)
    columns: dict[str, list[object]] = {name: [] for name in FeatureTable.column_names()}
    vectors = []
    for row, video in enumerate(catalog):
        centers = GridSampling(EVERY).find_centers(video.frames)
        edges = GridSampling(EVERY).find_edges(video.frames) / FPS
        times = (centers + 0.5) / FPS
        inside = np.zeros(len(times))
        for segment in video.segments:
            inside[(times >= segment.start_sec) & (times < segment.end_sec)] = 1.0
        own = noise * rng.normal(size=(len(times), info.dimension))
        own[:, 0] += inside
        own[:, 1] += 1 - inside
        vectors.append(own)
        count = len(times)
        columns["clip_index"] += range(count)
        columns["frame_index"] += centers.tolist()
        columns["start_sec"] += edges[:-1].tolist()
        columns["end_sec"] += edges[1:].tolist()
        path = catalog.table["path"][row].as_py()
        values = {
            "video_id": identify_video(path),
            "path": path,
            "label": "",
            "split": video.split,
            "group": "",
        }
        for name, value in values.items():
            columns[name] += [value] * count
    FeatureTable.from_columns(info, np.concatenate(vectors), **columns).save(out)
    return out
