"""What `unreel index` does to an index that is there, besides putting videos in."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unreel.cli.terminal import ProgressBar, format_duration, print_summary
from unreel.search.index_schema import UNITS, Unit
from unreel.search.index_status import describe_index
from unreel.search.index_store import IndexStore
from unreel.search.indexing import find_video
from unreel.search.qdrant_engine import MEMORY, QdrantEngine
from unreel.search.tuned_index import TunedIndex, read_tuned
from unreel.search.tuning import check_target, tune_index

_GROWTH = 4
"""An index that has grown by this factor since it was tuned is tuned again."""


@dataclass(frozen=True)
class Tuning:
    """What search is to find, and from how many vectors on it may miss some.

    Raises:
        ValueError: a number is out of range.
    """

    target_recall: float
    recall_k: int
    exact_below: int

    def __post_init__(self) -> None:
        check_target(self.target_recall, self.recall_k)
        if self.exact_below < 0:
            raise ValueError(f"exact_below must be 0 or more, got {self.exact_below}")


def remove_videos(out: Path, names: Sequence[str], *, is_json: bool) -> None:
    """Drop videos by id or path."""
    store = IndexStore.open(out)
    removed = store.remove([find_video(store, name, with_rejected=True) for name in names])
    with store.read() as reader:
        left = reader.count_keys("video")
    values = {"out": str(out), "removed": removed, "videos": left}
    _print(out, values, {"removed": f"{removed} videos", "left": left}, is_json=is_json)


def move(out: Path, root: Path, *, is_json: bool) -> None:
    """Note where the videos are now."""
    store = IndexStore.open(out)
    before = store.info.root
    store.set_root(root)
    values = {"out": str(out), "before": before, "root": store.info.root}
    _print(out, values, {"paths start from": store.info.root, "before": before}, is_json=is_json)


def mirror(out: Path, location: str, *, is_json: bool) -> None:
    """Bring a mirror in Qdrant in line with the index.

    Raises:
        ValueError: the mirror would be gone with this process.
    """
    if location == MEMORY:
        raise ValueError(
            f"{location} is gone when the command ends; give the address of a server, or a folder"
        )
    store = IndexStore.open(out)
    values: dict[str, Any] = {"out": str(out), "qdrant": location}
    rows: dict[str, object] = {"mirror": location}
    for unit in UNITS:
        engine = QdrantEngine(location, store, unit)
        try:
            with ProgressBar(f"Mirroring {unit}s", unit="vectors") as progress:
                added, removed = engine.sync(progress)
        finally:
            engine.close()
        values[unit] = {"collection": engine.collection, "added": added, "removed": removed}
        rows[f"{unit}s"] = f"{added} sent, {removed} taken out, in collection {engine.collection}"
    _print(out, values, rows, is_json=is_json)


def tune(out: Path, wanted: Tuning, *, is_json: bool) -> None:
    """Choose how both units are searched, whatever their number."""
    tuned = [_tune_unit(out, unit, wanted) for unit in UNITS]
    values = {"out": str(out), "tuned": [dataclasses.asdict(found) for found in tuned]}
    rows = {f"search by {found.unit}": describe_tuned(found) for found in tuned}
    _print(out, values, rows, is_json=is_json)


def tune_when_large(out: Path, wanted: Tuning) -> list[TunedIndex]:
    """Choose how units of many vectors are searched, where that was not done or no longer fits."""
    store = IndexStore.open(out)
    with store.read() as reader:
        counts = {unit: reader.count_keys(unit) for unit in UNITS}
    return [
        _tune_unit(out, unit, wanted)
        for unit, count in counts.items()
        if count > wanted.exact_below and not _fits(read_tuned(store, unit), count, wanted)
    ]


def _fits(tuned: TunedIndex | None, count: int, wanted: Tuning) -> bool:
    if tuned is None or count > _GROWTH * tuned.num_rows:
        return False
    return (tuned.target_recall, tuned.top_k) == (wanted.target_recall, wanted.recall_k)


def _tune_unit(out: Path, unit: Unit, wanted: Tuning) -> TunedIndex:
    with ProgressBar(f"Tuning search by {unit}", unit="vectors") as progress:
        return tune_index(
            out,
            target_recall=wanted.target_recall,
            top_k=wanted.recall_k,
            unit=unit,
            progress=progress,
        )


def describe_tuned(tuned: TunedIndex) -> str:
    """Say in a line how an index is searched and what that finds."""
    if tuned.kind == "exact":
        return f"exact, all {tuned.num_rows} vectors"
    lists = f", {tuned.num_probes} of {tuned.num_lists} lists" if tuned.num_lists else ""
    return (
        f"{tuned.kind}{lists}, {tuned.num_candidates} candidates: index_recall_at_{tuned.top_k} "
        f"{tuned.index_recall_at_k:.3f} (95 % interval {tuned.recall_low:.3f} to "
        f"{tuned.recall_high:.3f}; {tuned.num_queries} queries); {tuned.query_ms:.2f} ms a query, exact "
        f"{tuned.exact_query_ms:.2f} ms; made in {format_duration(tuned.build_sec)}, "
        f"{tuned.num_bytes / 1e6:.1f} MB"
    )


def print_status(out: Path, *, is_json: bool) -> None:
    """Say what is in the index."""
    status = describe_index(out)
    store, info = IndexStore.open(out), status.info
    tuned = [found for unit in UNITS if (found := read_tuned(store, unit)) is not None]
    values = {**dataclasses.asdict(status), "tuned": [dataclasses.asdict(found) for found in tuned]}
    rows: dict[str, object] = {
        "encoder": f"{info.encoder} ({info.encoder_hash})",
        "videos": f"{status.num_videos}, {status.seconds / 3600:.1f} hours",
        "vectors": f"{status.num_clips} of {info.dimension} numbers",
        "sampling": f"{info.clips_per_video} per video, {info.sampling}",
        "pooling": info.pooling,
        "root": info.root,
        "size": f"{status.num_bytes / 1e6:.1f} MB, and {status.cache_bytes / 1e6:.1f} MB that can be rebuilt",
        "labels": f"{status.num_labels}",
        **{f"search by {found.unit}": describe_tuned(found) for found in tuned},
        "rejected": f"{len(status.rejected)} videos",
    }
    rows |= {f"  {video.path}": video.reason for video in status.rejected}
    _print(out, values, rows, is_json=is_json)


def _print(out: Path, values: Mapping[str, Any], rows: Mapping[str, object], *, is_json: bool) -> None:
    if is_json:
        sys.stdout.write(json.dumps(values, indent=2, default=str, ensure_ascii=False) + "\n")
        return
    print_summary(f"Index {out}", rows)
