"""The files of an extraction under way, so that an interruption costs one part and changes nothing."""

import csv
import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unreel.data.batch import Rejection
from unreel.errors import FeaturesError
from unreel.features.table import FeatureTable
from unreel.features.table_info import FeatureInfo, build_schema, open_writer, read_info
from unreel.runs import atomic_path, remove_abandoned

_VIDEOS_PER_PART = 64
_REJECTED_KEY = b"unreel.rejected"
_BYTES_PER_GROUP = 32 * 2**20


class PartFiles:
    """Part ``p`` holds the videos of fixed rows of the catalog, whatever was computed before or after it.

    The parts lie in ``<out>.parts`` and carry the settings they were made with and the videos that failed.

    Args:
        out: the table that is to be written in the end.
        info: the settings of this extraction.
        num_videos: videos of the catalog.
        videos_per_batch: videos per pass of the network; a part is a number of whole passes.
    """

    def __init__(self, out: Path, info: FeatureInfo, *, num_videos: int, videos_per_batch: int) -> None:
        self.out = out
        self.info = info
        self.folder = out.with_name(f"{out.name}.parts")
        self._rejected_path = out.with_name(f"{out.stem}.rejected.csv")
        self._num_videos = num_videos
        self._videos_per_part = videos_per_batch * max(1, _VIDEOS_PER_PART // videos_per_batch)
        self.count = -(-num_videos // self._videos_per_part)

    def path(self, part: int) -> Path:
        """Return the file of one part."""
        return self.folder / f"part-{part:06d}.parquet"

    def rows(self, part: int) -> range:
        """Return the rows of the catalog that one part holds."""
        start = part * self._videos_per_part
        return range(start, min(start + self._videos_per_part, self._num_videos))

    def find_missing(self) -> list[int]:
        """Return the parts that are still to be made; a damaged file counts as missing.

        Raises:
            FeaturesError: there are parts that were made with other settings.
        """
        for path in sorted(self.folder.glob("part-*.parquet")):
            try:
                differences = self.info.find_differences(read_info(path))
            except FeaturesError:
                path.unlink()
                continue
            if differences:
                raise FeaturesError(
                    f"{self.folder} holds parts of an interrupted extraction with other settings "
                    f"({'; '.join(differences)}); go on with those settings, or start anew with --restart"
                )
        return [part for part in range(self.count) if not self.path(part).exists()]

    def write(self, part: int, table: FeatureTable, rejections: Sequence[Rejection]) -> None:
        """Write one part in one step."""
        schema = build_schema(self.info)
        listed = json.dumps([dataclasses.asdict(rejection) for rejection in rejections])
        schema = schema.with_metadata({**schema.metadata, _REJECTED_KEY: listed.encode()})
        with atomic_path(self.path(part)) as temporary, open_writer(temporary, schema) as writer:
            writer.write_table(table.to_arrow())

    def read_rejections(self) -> list[Rejection]:
        """Return the videos that failed, in the catalog's order."""
        schemas = [pq.read_schema(self.path(part)) for part in range(self.count)]
        return [
            Rejection(**item) for schema in schemas for item in json.loads(schema.metadata[_REJECTED_KEY])
        ]

    def list_rejections(self, rejections: Sequence[Rejection]) -> Path | None:
        """Write ``<out stem>.rejected.csv``; without rejections, remove the list of an earlier extraction."""
        path = self._rejected_path
        if not rejections:
            path.unlink(missing_ok=True)
            return None
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "reason"])
            writer.writerows([rejection.path, rejection.reason] for rejection in rejections)
        return path

    def merge(self) -> int:
        """Write the table from all parts, a few at a time in memory, and return its number of rows."""
        schema = build_schema(self.info)
        num_rows = 0
        with atomic_path(self.out) as temporary, open_writer(temporary, schema) as writer:
            for table in _regroup(pq.read_table(self.path(part)) for part in range(self.count)):
                writer.write_table(table.replace_schema_metadata(schema.metadata))
                num_rows += table.num_rows
        return num_rows

    def remove(self) -> None:
        """Remove the parts and what a killed process left of one; nothing else that may lie in the folder."""
        for pattern in ("part-*.parquet", ".part-*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink()
        for path in (self.out, self._rejected_path):
            remove_abandoned(path)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables into larger ones, so that readers of the file have few groups of rows to open."""
    waiting: list[pa.Table] = []
    num_bytes = 0
    for table in tables:
        waiting.append(table.replace_schema_metadata(None))
        num_bytes += table.nbytes
        if num_bytes >= _BYTES_PER_GROUP:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, num_bytes = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
