"""The steps of `growth.py`: the files of a catalog of some size, and what is done with them."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import torch

from unreel.data.catalog import Catalog
from unreel.data.catalog_table import join_columns
from unreel.data.motion_flow import MotionConfig
from unreel.data.motion_table import MOTION_SCHEMA, MotionTable, attach_motion
from unreel.data.scan_memory import ScanMemory
from unreel.data.targeted_clips import TargetedClips
from unreel.evaluate.knn import evaluate_knn
from unreel.evaluate.retrieval import evaluate_retrieval
from unreel.features.input_spec import InputSpec
from unreel.features.parts import PartFiles
from unreel.features.reading import EmbeddedVideo, ReadConfig
from unreel.features.rows import build_table
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.search.filters import Filter
from unreel.search.index_features import index_features
from unreel.search.index_rows import split_by_video
from unreel.search.index_status import describe_index
from unreel.search.index_store import IndexStore
from unreel.search.indexing import update_index
from unreel.search.projection import project_index
from unreel.search.video_index import VideoIndex
from unreel.search.watched_index import WatchedIndex

DIMENSION, NUM_TESTS, PER_FOLDER = 64, 200, 1000
Work = Callable[[], object]
SPEC = InputSpec(num_frames=2, frame_stride=1, decode_height=32, decode_width=32, crop_px=32)
READ = ReadConfig(clips_per_video=1)


class StandIn:
    """An encoder that embeds nothing: all videos are in the index already."""

    hash, name, precision, spec = "0" * 16, "stand-in", "float32", SPEC
    device = torch.device("cpu")

    def embed_clips(self, clips: Any, poolings: Any) -> dict[Any, Any]:  # noqa: ANN401
        """Return zeros."""
        return {name: np.zeros((len(clips), 1, DIMENSION), dtype=np.float32) for name in poolings}


def write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for number in range(10):
            picture = np.full((32, 32, 3), 20 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


class Place:
    """A folder with the files of one size, each written by the step that makes it."""

    def __init__(self, folder: Path, num_rows: int) -> None:
        self.folder, self.num_rows = folder, num_rows
        self.catalog, self.features = folder / "catalog.parquet", folder / "features.parquet"
        self.index, self.root = folder / "videos.index", folder / "videos"

    def prepare(self, media: pa.Table, video: Path) -> dict[str, float]:
        """Write the catalog, the motion beside it, and the paths."""
        names = self.root / "names"
        names.mkdir(parents=True)
        for number in range(min(PER_FOLDER, self.num_rows)):
            os.link(video, names / f"{number:03}.mp4")
        for number in range(-(-self.num_rows // PER_FOLDER)):
            (self.root / f"{number:04}").symlink_to(names)
        (self.folder / "moved").symlink_to(self.root)
        catalog = Catalog(self.join(self.list_columns(), media), self.root)
        catalog.save(self.catalog)
        rows = pa.table(
            {
                **{name: catalog.table[name] for name in ("id", "bytes", "mtime_ns", "frames")},
                "motion": pa.array([[1.0, 2.0]] * self.num_rows, pa.list_(pa.float32())),
                "reason": pa.array([""] * self.num_rows),
            },
            schema=MOTION_SCHEMA,
        )
        MotionTable(rows, MotionConfig()).save(self.folder / "catalog.motion.parquet")
        return {}

    def list_columns(self) -> dict[str, list[Any]]:
        """Return what a folder tells of its videos."""
        rows = range(self.num_rows)
        return {
            "path": [f"{row // PER_FOLDER:04}/{row % PER_FOLDER:03}.mp4" for row in rows],
            "bytes": [1000] * self.num_rows,
            "mtime_ns": [10**18 + row for row in rows],
            "label": [f"class {row % 100}" for row in rows],
            "split": ["test" if row < NUM_TESTS else "train" for row in rows],
            "group": [f"group {row // 10}" for row in rows],
        }

    def join(self, columns: dict[str, list[Any]], media: pa.Table) -> pa.Table:
        """Return the rows of the catalog."""
        return join_columns(columns, media.take(pa.array(np.zeros(self.num_rows, dtype=np.int64))))

    def info(self) -> FeatureInfo:
        """Return what the features were made from."""
        return FeatureInfo(
            encoder_hash=StandIn.hash,
            encoder=StandIn.name,
            dimension=DIMENSION,
            sampling=type(SPEC.build_sampling(1)).__name__,
            root=str(self.root),
        )


def save_catalog(place: Place, media: pa.Table) -> Work:
    columns = place.list_columns()
    return lambda: Catalog(place.join(columns, media), place.root).save(place.folder / "again.parquet")


def load_catalog(place: Place) -> Work:
    return lambda: Catalog.load(place.catalog)


def on_catalog(look: Callable[[Catalog], object], place: Place) -> Work:
    catalog = Catalog.load(place.catalog)
    return lambda: look(catalog)


def remember_scan(place: Place) -> Work:
    missing = place.folder / "missing"
    return lambda: ScanMemory.load(place.catalog, missing, missing, place.root)


def join_motion(place: Place) -> Work:
    catalog = Catalog.load(place.catalog)
    return lambda: attach_motion(catalog, TargetedClips())


def write_parts(place: Place) -> Work:
    catalog = Catalog.load(place.catalog)
    parts = PartFiles(place.features, place.info(), num_videos=place.num_rows, videos_per_batch=8)
    frames, rng = np.arange(2).reshape(1, 2), np.random.default_rng(0)

    def work() -> None:
        for part in parts.find_missing():
            rows = parts.rows(part)
            vectors = rng.standard_normal((len(rows), 1, 1, DIMENSION), dtype=np.float32)
            videos = [
                EmbeddedVideo(row, frames, {"average": vectors[number]}) for number, row in enumerate(rows)
            ]
            parts.write(part, build_table(videos, catalog, "average", place.info()), [])

    return work


def merge_parts(place: Place) -> Work:
    parts = PartFiles(place.features, place.info(), num_videos=place.num_rows, videos_per_batch=8)

    def work() -> None:
        parts.find_missing()
        parts.read_rejections()
        parts.merge()
        parts.remove()

    return work


def load_features(place: Place) -> Work:
    return lambda: FeatureTable.load(place.features)


def on_features(look: Callable[[FeatureTable], object], place: Place) -> Work:
    table = FeatureTable.load(place.features)
    return lambda: look(table)


def fill_index(place: Place) -> Work:
    table, catalog = FeatureTable.load(place.features), Catalog.load(place.catalog)
    return lambda: index_features(place.index, table, catalog=catalog)


def bring_up_to_date(place: Place) -> Work:
    catalog = Catalog.load(place.catalog)
    return lambda: update_index(place.index, catalog, StandIn(), read=READ)


def search(place: Place, wanted: Filter, *, times: int) -> Work:
    """Search for the last time of some."""
    index, query = VideoIndex.open(place.index), np.ones(DIMENSION)
    for _ in range(times - 1):
        index.search(query, wanted=wanted)
    return lambda: index.search(query, wanted=wanted)


def search_after_change(place: Place) -> Work:
    index, query = VideoIndex.open(place.index), np.ones(DIMENSION)
    index.search(query)
    store = IndexStore.open(place.index)
    video = next(split_by_video(FeatureTable.load(place.features).take(np.arange(1))))

    def work() -> None:
        store.add([video])
        index.search(query)

    return work


def on_index(look: Callable[[Any], object], place: Place) -> Work:
    store = IndexStore.open(place.index)

    def work() -> None:
        with store.read() as reader:
            look(reader)

    return work


def move_root(place: Place) -> Work:
    store = IndexStore.open(place.index)
    return lambda: (store.set_root(place.folder / "moved"), store.set_root(place.root))


def watch(place: Place) -> Work:
    return lambda: WatchedIndex(place.index, place.root, lambda catalog: None)


def list_steps(media: pa.Table) -> dict[str, Callable[[Place], Work]]:
    """Return the steps by name, in an order in which each finds what it reads."""
    everything, one_class = Filter(), Filter(labels=("class 7",))
    return {
        "catalog: join columns and write": partial(save_catalog, media=media),
        "catalog: load": load_catalog,
        "catalog: fingerprint": partial(on_catalog, lambda catalog: catalog.hash),
        "catalog: select a split": partial(on_catalog, lambda catalog: catalog.select("train")),
        "catalog: ids and labels as lists": partial(
            on_catalog, lambda catalog: (catalog.ids, catalog.labels)
        ),
        "scan: remember the last one": remember_scan,
        "motion: load and join": join_motion,
        "extraction: rows and parts": write_parts,
        "extraction: find and merge parts": merge_parts,
        "features: load": load_features,
        "features: mean per video": partial(on_features, lambda table: table.average_per_video()),
        "evaluation: retrieval, 200 queries": partial(
            on_features, lambda t: evaluate_retrieval(t, levels=["video"])
        ),
        "evaluation: k-NN, 200 queries": partial(
            on_features, lambda t: evaluate_knn(t, ks=[20], levels=["video"])
        ),
        "index: fill from features": fill_index,
        "index: fill again, nothing new": fill_index,
        "index: bring up to date, nothing new": bring_up_to_date,
        "search: first ever (copies the vectors)": partial(search, wanted=everything, times=1),
        "search: first of a process": partial(search, wanted=everything, times=1),
        "search: again": partial(search, wanted=everything, times=2),
        "search: a class, first": partial(search, wanted=one_class, times=1),
        "search: a class, again": partial(search, wanted=one_class, times=2),
        "search: after a change": search_after_change,
        "index: a page of 24 videos": partial(
            on_index, lambda reader: reader.find_videos(offset=48, limit=24)
        ),
        "index: counts for the filters": partial(
            on_index, lambda reader: [reader.count_values(name) for name in ("label", "split", "group")]
        ),
        "index: status": lambda place: lambda: describe_index(place.index),
        "index: another root": move_root,
        "index: map of 3,000 videos": partial(on_index, lambda reader: project_index(reader, "pca")),
        "index: start to watch": watch,
    }
