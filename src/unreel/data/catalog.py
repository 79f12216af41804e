"""The table of all videos that a command may use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unreel.data.catalog_table import CATALOG_SCHEMA, check_paths, hash_table, read_table, write_table
from unreel.data.frame_index import FrameIndex
from unreel.errors import CatalogError


@dataclass(frozen=True)
class Segment:
    """A labelled stretch of a video."""

    start_sec: float
    end_sec: float
    label: str


@dataclass(frozen=True)
class Video:
    """One row of a catalog.

    Attributes:
        id: 16 hexadecimal digits made from the path in the catalog.
        path: where the file is, absolute.
        seconds: how long it lasts.
        fps: frames per second on average.
        frames: how many frames decode.
        height: pixels, as shown.
        width: pixels, as shown.
        rotation: degrees clockwise that turn the stored picture into the shown one.
        codec: how the pictures are coded.
        container: how the file is laid out.
        is_variable_frame_rate: whether frames are unevenly apart.
        note: what is odd about the file; empty for most.
        num_bytes: size of the file.
        label: class, "" when unknown.
        split: such as "train", "" when unknown.
        group: what must not be torn apart by a split, such as a film, "" when unknown.
        segments: labelled stretches, if any.
        index: what is needed to seek to a frame.
        motion: how much every window of it moves; None when that is not known or plays no role.
        motion_window_sec: length of a window.
    """

    id: str
    path: Path
    seconds: float
    fps: float
    frames: int
    height: int
    width: int
    rotation: int
    codec: str
    container: str
    is_variable_frame_rate: bool
    note: str
    num_bytes: int
    label: str
    split: str
    group: str
    segments: tuple[Segment, ...]
    index: FrameIndex
    motion: NDArray[np.float32] | None = None
    motion_window_sec: float = 1.0


@dataclass(frozen=True)
class CatalogMotion:
    """What a catalog knows of its videos' motion.

    Attributes:
        values: list<float32>, a row per video of the catalog; null where it could not be measured.
        window_sec: length of the windows.
        hash: changes with how it was measured, and with every number of the videos it was first attached to.
    """

    values: pa.ListArray
    window_sec: float
    hash: str


class Catalog:
    """Videos sorted by path, never changed in place.

    The rows stay in an Arrow table, a few hundred bytes each, and become `Video` objects one at a time, on
    demand.

    Args:
        table: with the columns of `CATALOG_SCHEMA`.
        root: folder that relative paths start from.
        path: file that the catalog was loaded from, if any; tables that belong to it lie beside it.
        motion: of the videos, if it plays a role.

    Raises:
        CatalogError: columns are missing or have another type.
    """

    def __init__(
        self, table: pa.Table, root: Path, *, path: Path | None = None, motion: CatalogMotion | None = None
    ) -> None:
        if not table.schema.equals(CATALOG_SCHEMA):
            raise CatalogError(f"a catalog has the columns {CATALOG_SCHEMA.names}, got {table.schema.names}")
        self._table = table
        self._root = root.absolute()
        self.path = path
        self.motion = motion

    @classmethod
    def load(cls, path: Path, *, root: Path | None = None) -> "Catalog":
        """Read a catalog that `unreel scan` wrote.

        Args:
            path: the Parquet file.
            root: where the videos are now, when their folder was moved after the scan.

        Raises:
            CatalogError: the file is missing, is no catalog, has another version or names files outside its
                folder by relative paths; or ``root`` is not a folder.
        """
        path = Path(path)
        table, written_root = read_table(path)
        check_paths(table, path)
        if root is not None and not Path(root).is_dir():
            raise CatalogError(
                f"root {root} is not a folder; give the folder that now holds {written_root}'s files"
            )
        return cls(table, written_root if root is None else Path(root), path=path)

    def save(self, path: Path) -> None:
        """Write the catalog in one step; a reader sees the old file or the new one."""
        write_table(Path(path), self._table, self._root)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def root(self) -> Path:
        """Folder that relative paths start from, absolute."""
        return self._root

    @property
    def table(self) -> pa.Table:
        """The rows as an Arrow table, for pandas, polars or DuckDB."""
        return self._table

    @cached_property
    def ids(self) -> list[str]:
        """Id of every video."""
        return self._column("id")

    @cached_property
    def labels(self) -> list[str]:
        """Class of every video, "" where unknown."""
        return self._column("label")

    @cached_property
    def splits(self) -> list[str]:
        """Split of every video, "" where unknown."""
        return self._column("split")

    @cached_property
    def groups(self) -> list[str]:
        """Group of every video, "" where unknown."""
        return self._column("group")

    @property
    def label_names(self) -> list[str]:
        """The classes, sorted, without the empty one; a class's place here is its number."""
        return self._distinct("label")

    @property
    def split_names(self) -> list[str]:
        """The splits, sorted, without the empty one."""
        return self._distinct("split")

    @property
    def group_names(self) -> list[str]:
        """The groups, sorted, without the empty one."""
        return self._distinct("group")

    @cached_property
    def num_frames_array(self) -> NDArray[np.int64]:
        """Frames of every video, int64."""
        return np.asarray(self._table["frames"].to_numpy(), dtype=np.int64)

    @cached_property
    def seconds_array(self) -> NDArray[np.float64]:
        """Length of every video in seconds."""
        return np.asarray(self._table["seconds"].to_numpy(), dtype=np.float64)

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that change with the videos, their order, labels and frames."""
        return hash_table(self._table)

    def video(self, row: int) -> Video:
        """Build the object for one row.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a catalog of {len(self)} videos")
        video = _build_video(self._table.slice(row, 1).to_pylist()[0], self._root)
        if self.motion is None:
            return video
        values = self.motion.values[row].values
        motion = None if values is None else np.asarray(values.to_numpy(), dtype=np.float32)
        return replace(video, motion=motion, motion_window_sec=self.motion.window_sec)

    def __iter__(self) -> Iterator[Video]:
        """Yield the videos one at a time."""
        for row in range(len(self)):
            yield self.video(row)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Catalog":
        """Return a catalog of these rows, in this order.

        Raises:
            IndexError: there is no such row.
        """
        indices = np.asarray(rows, dtype=np.int64)
        wrong = indices[(indices < 0) | (indices >= len(self))]
        if len(wrong):
            raise IndexError(f"row {wrong[0]} of a catalog of {len(self)} videos")
        return self._pick(indices)

    def select(self, split: str) -> "Catalog":
        """Return the videos of one split; "" selects all.

        Raises:
            CatalogError: the catalog has no such split.
        """
        if not split:
            return self
        chosen = np.flatnonzero(pc.equal(self._table["split"], split).to_numpy())
        if not len(chosen):
            known = self.split_names
            raise CatalogError(
                f"the catalog has no split {split!r}; "
                + (
                    f"it has {', '.join(map(repr, known))}"
                    if known
                    else "it has none: scan a list with a split column"
                )
            )
        return self._pick(chosen)

    def with_motion(self, motion: CatalogMotion | None) -> "Catalog":
        """Return the same videos with what is known of their motion."""
        assert motion is None or len(motion.values) == len(self)
        return Catalog(self._table, self._root, path=self.path, motion=motion)

    def _pick(self, rows: NDArray[np.int64]) -> "Catalog":
        picked = pa.array(rows)
        motion = self.motion and replace(self.motion, values=self.motion.values.take(picked))
        return Catalog(self._table.take(picked), self._root, path=self.path, motion=motion)

    def _column(self, name: str) -> list[str]:
        values: list[str] = self._table[name].to_pylist()
        return values

    def _distinct(self, name: str) -> list[str]:
        return sorted(value for value in pc.unique(self._table[name]).to_pylist() if value)


def _build_video(row: Mapping[str, Any], root: Path) -> Video:
    return Video(
        id=row["id"],
        path=root / row["path"],
        seconds=row["seconds"],
        fps=row["fps"],
        frames=row["frames"],
        height=row["height"],
        width=row["width"],
        rotation=row["rotation"],
        codec=row["codec"],
        container=row["container"],
        is_variable_frame_rate=row["is_variable_frame_rate"],
        note=row["note"],
        num_bytes=row["bytes"],
        label=row["label"],
        split=row["split"],
        group=row["group"],
        segments=tuple(Segment(**segment) for segment in row["segments"]),
        index=FrameIndex.from_row(row),
    )
