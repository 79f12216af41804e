"""From a table of vectors over time and a catalog with segments to batches for a localiser."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.data.batch import Rejection
from unreel.data.boundary_labels import label_boundaries, relate_segments
from unreel.data.catalog import Catalog
from unreel.data.grid_batch import GridBatch
from unreel.errors import CatalogError, FeaturesError
from unreel.features.grids import GridTable, check_grid
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo
from unreel.seeding import build_generator, derive_key

# B batch, V videos, S segments of a video, D features, T positions


@dataclass(frozen=True)
class GridData:
    """Which videos a localiser learns from."""

    features: Path = Path("grid.parquet")
    """Table that `unreel localize features` wrote."""
    catalog: Path = Path("catalog.parquet")
    """Catalog with segments that `unreel scan` wrote."""
    split: str = "auto"
    """Split to use; "auto" takes "train" where the catalog has it and everything otherwise; "" takes
    everything."""
    max_rejected_fraction: float = 0.05
    """The run is refused when more than this share of the videos with segments has no features."""
    num_workers: int = 0
    """Processes that make labels; 0 makes them in this one, which is fast enough for most."""

    def with_absolute_paths(self) -> "GridData":
        """Return the settings with the paths in them absolute, as a run folder keeps them."""
        return replace(self, features=self.features.absolute(), catalog=self.catalog.absolute())


@dataclass(frozen=True)
class GridSet:
    """Videos with vectors over time and segments.

    Attributes:
        info: what the vectors were made from.
        catalog: the videos.
        features_VDT: float32, in the catalog's order.
        segments: shares of the video, (S, 2) per video, at least one each.
        left_out: videos that are not used, each with the reason.
        cautions: what a person should know of them, a sentence each.
    """

    info: FeatureInfo
    catalog: Catalog
    features_VDT: NDArray[np.float32]
    segments: list[NDArray[np.float64]]
    left_out: list[Rejection]
    cautions: tuple[str, ...]


def select_grids(config: GridData, num_positions: int) -> GridSet:
    """Bring vectors and segments together; videos that lack either are left out and named.

    Only the videos that are used are brought to positions; the table is let go when they are.

    Args:
        config: where they lie.
        num_positions: T.

    Raises:
        CatalogError: the catalog is missing or damaged, has no such split or no segments.
        FeaturesError: the table is missing or damaged, holds no vectors over time, or lacks too many videos.
    """
    catalog = Catalog.load(config.catalog)
    split = config.split
    if split == "auto":
        split = "train" if "train" in catalog.split_names else ""
    catalog = catalog.select(split)
    segments, outside = read_segments(catalog)
    has_segments = np.array([len(own) > 0 for own in segments])
    if not has_segments.any():
        raise CatalogError(
            f"{config.catalog}: none of the {len(catalog)} videos has a segment; scan a list with the "
            "columns path, start_sec, end_sec and label, or an annotation file of ActivityNet"
        )
    check_grid(config.features, table := FeatureTable.load(config.features))
    grids = GridTable(table)
    place_of = {video_id: place for place, video_id in enumerate(grids.video_ids)}
    has_features = np.array([video_id in place_of for video_id in catalog.ids])
    missing = int((has_segments & ~has_features).sum())
    if missing > config.max_rejected_fraction * has_segments.sum():
        raise FeaturesError(_describe_missing(config, catalog, grids, has_segments & ~has_features))
    used = np.flatnonzero(has_segments & has_features)
    paths = catalog.table["path"].to_pylist()
    return GridSet(
        info=grids.info,
        catalog=catalog.take(used),
        features_VDT=grids.build((place_of[catalog.ids[row]] for row in used), num_positions).features_VDT,
        segments=[segments[row] for row in used],
        left_out=[
            Rejection(
                str(catalog.root / paths[row]), "no segment" if not has_segments[row] else "no features"
            )
            for row in np.flatnonzero(~(has_segments & has_features))
        ],
        cautions=(f"{outside} segments lie outside their videos and are left out",) if outside else (),
    )


def read_segments(catalog: Catalog) -> tuple[list[NDArray[np.float64]], int]:
    """Return the segments of every video as shares of it, and how many lie outside of theirs.

    What reaches beyond a video's end is cut off there.
    """
    segments, outside = [], 0
    listed = catalog.table["segments"].to_pylist()
    for own, seconds in zip(listed, catalog.seconds_array, strict=True):
        times_S2 = np.array([[segment["start_sec"], segment["end_sec"]] for segment in own], dtype=np.float64)
        segments.append(relate_segments(times_S2, float(seconds)))
        outside += len(own) - len(segments[-1])
    return segments, outside


def _describe_missing(
    config: GridData, catalog: Catalog, grids: GridTable, is_missing: NDArray[np.bool_]
) -> str:
    first = catalog.video(int(np.flatnonzero(is_missing)[0])).path
    return (
        f"{config.features} has no vectors of {int(is_missing.sum())} videos with segments, such as {first}, "
        f"more than data.max_rejected_fraction = {config.max_rejected_fraction:g} allows; it holds "
        f"{len(grids)} videos. Run `unreel localize features` on {config.catalog}, or raise the limit"
    )


class GridBatches:
    """Number of a part of a batch -> that part, a pure function of seed and number.

    Every epoch passes over the videos in a new random order and leaves out the rest that does not fill a
    batch. Batch ``b`` consists of the parts ``b * num_parts`` to ``(b + 1) * num_parts - 1``.

    Args:
        videos: to train on.
        seed: of the run.
        batch_size: videos per batch, over all processes.
        num_parts: parts in which a batch is read, one after the other.
        rank: this process's number.
        world_size: number of processes; each reads an equal share of every part.

    Raises:
        ValueError: the batch is larger than the corpus or cannot be shared evenly.
    """

    def __init__(
        self,
        videos: GridSet,
        *,
        seed: int,
        batch_size: int,
        num_parts: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size > len(videos.catalog):
            raise ValueError(
                f"train.batch_size is {batch_size} but there are {len(videos.catalog)} videos to train on, "
                f"and a batch holds every video once; lower train.batch_size to {len(videos.catalog)} or less"
            )
        if batch_size % (num_parts * world_size):
            raise ValueError(
                f"train.batch_size = {batch_size} cannot be shared evenly by {world_size} processes in "
                f"{num_parts} parts; make it a multiple of {num_parts * world_size}"
            )
        self._videos = videos
        self._seed = seed
        self._batch_size = batch_size
        self._num_parts = num_parts
        self._share = batch_size // (num_parts * world_size)
        self._rank, self._world_size = rank, world_size
        self.batches_per_epoch = len(videos.catalog) // batch_size

    def __getitem__(self, number: int) -> GridBatch:
        """Read this process's share of a part."""
        batch, part = divmod(number, self._num_parts)
        epoch, place = divmod(batch, self.batches_per_epoch)
        order = build_generator(self._seed, "order", epoch).permutation(len(self._videos.catalog))
        first = place * self._batch_size + (part * self._world_size + self._rank) * self._share
        rows = order[first : first + self._share]
        num_positions = self._videos.features_VDT.shape[2]
        labels = [label_boundaries(self._videos.segments[row], num_positions) for row in rows]
        ids = self._videos.catalog.ids
        return GridBatch(
            features_BDT=torch.from_numpy(self._videos.features_VDT[rows]),
            start_BT=torch.from_numpy(np.stack([label.start_T for label in labels])),
            end_BT=torch.from_numpy(np.stack([label.end_T for label in labels])),
            iou_BLT=torch.from_numpy(np.stack([label.iou_LT for label in labels])),
            video_index_B=torch.from_numpy(rows),
            keys_B=torch.tensor([derive_key(self._seed, "stretches", epoch, ids[row]) for row in rows]),
        )
