"""What is in an index."""

from dataclasses import dataclass
from pathlib import Path

from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import RejectedVideo
from unreel.search.index_store import IndexStore


@dataclass(frozen=True)
class IndexStatus:
    """What is in an index.

    Attributes:
        path: of the file.
        info: what its vectors were made by.
        num_videos: videos that can be found.
        num_clips: their vectors.
        seconds: length of all videos together.
        num_labels: classes, without the empty one.
        num_bytes: size of the file, with what SQLite has not moved into it yet.
        cache_bytes: size of what lies beside it and can be made again.
        rejected: videos that could not be embedded.
    """

    path: Path
    info: IndexInfo
    num_videos: int
    num_clips: int
    seconds: float
    num_labels: int
    num_bytes: int
    cache_bytes: int
    rejected: tuple[RejectedVideo, ...]


def describe_index(path: Path) -> IndexStatus:
    """Say what is in an index.

    Raises:
        SearchError: the file is missing, damaged, no index, or of another version.
    """
    store = IndexStore.open(path)
    with store.read() as reader:
        return IndexStatus(
            path=store.path,
            info=store.info,
            num_videos=reader.count_keys("video"),
            num_clips=reader.count_keys("clip"),
            seconds=reader.total_sec(),
            num_labels=len(reader.count_values("label").keys() - {""}),
            num_bytes=sum(_size(store.path.with_name(store.path.name + suffix)) for suffix in ("", "-wal")),
            cache_bytes=sum(_size(file) for file in store.cache_folder.glob("*")),
            rejected=tuple(reader.rejected().values()),
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
