"""Bring an index up to date: embed what is new, replace what has changed, drop what is gone."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unreel.data.catalog import Catalog
from unreel.errors import SearchError
from unreel.features.extract import count_numbers
from unreel.features.pooling import Pooling, check_poolings
from unreel.features.reading import ClipEmbedder, EmbeddedVideo, ReadConfig, embed_videos
from unreel.features.rows import build_table
from unreel.features.table_info import FeatureInfo
from unreel.progress import Progress, ignore_progress
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import NewVideo, RejectedVideo, split_by_video
from unreel.search.index_store import IndexStore

_Stamp = tuple[int | None, int | None]
_NO_STAMP: _Stamp = (None, None)


@dataclass(frozen=True)
class IndexSummary:
    """What became of the videos that were to be in an index.

    Attributes:
        out: the file.
        videos: that were given; kept, added, replaced and rejected ones together.
        kept: videos that were there already, unchanged.
        added: videos that were not there before.
        replaced: videos whose file or vectors had changed.
        removed: videos that were there and are gone.
        rejected: videos that could not be embedded.
        relabelled: kept videos that got another label, split or group.
        num_videos: videos of the index now.
        num_clips: its vectors.
        seconds: duration of this call.
    """

    out: Path
    videos: int
    kept: int
    added: int
    replaced: int
    removed: int
    rejected: int
    relabelled: int
    num_videos: int
    num_clips: int
    seconds: float


def update_index(
    out: Path,
    catalog: Catalog,
    embedder: ClipEmbedder,
    *,
    encoder_folder: str = "",
    pooling: Pooling = "average",
    split: str = "",
    read: ReadConfig | None = None,
    is_pruned: bool = False,
    progress: Progress = ignore_progress,
) -> IndexSummary:
    """Put the videos of a catalog into an index; it is made when there is none.

    A video is embedded when its id is not there, or when size or time of writing of its file have changed.
    What was tried and could not be read is tried again when its file has changed. The index can be searched
    all the time, and a process that is killed loses at most one pass of the network.

    Args:
        out: the index.
        catalog: the videos.
        embedder: an encoder, or a baseline.
        encoder_folder: where the encoder lies, for searches to find it.
        pooling: form of the features.
        split: part of the catalog, "" for all.
        read: clips per video, batch and workers; None for the defaults.
        is_pruned: whether videos of the index that are not given are removed.
        progress: is told the number of videos embedded.

    Raises:
        CatalogError: the catalog has no such split.
        SearchError: the index is damaged, or its vectors are of another encoder or made in another way.
        ValueError: a setting is out of range, or the pooling does not suit the embedder.
    """
    started = time.monotonic()
    check_poolings([pooling])
    read = read or ReadConfig()
    videos = catalog.select(split)
    features = FeatureInfo(
        encoder_hash=embedder.hash,
        encoder=embedder.name,
        pooling=pooling,
        dimension=count_numbers(embedder, pooling),
        clips_per_video=read.clips_per_video,
        sampling=type(embedder.spec.build_sampling(read.clips_per_video)).__name__,
        precision=embedder.precision,
        root=str(catalog.root),
    )
    store = open_index(out, IndexInfo.from_features(features, encoder_folder=encoder_folder))
    update = _Update(store, videos)
    removed = update.prune() if is_pruned else 0
    relabelled = update.relabel()
    missing = update.find_missing()
    progress(0, len(missing), "")
    if missing:
        # Embedding takes whole passes of a catalog in its order; here that of the missing videos.
        part = videos.take(missing)
        stream = embed_videos(embedder, part, range(len(part)), [pooling], read)
        for group in _group(stream, read.videos_per_batch):
            update.write(group, part, pooling, features)
            progress(update.num_written, len(missing), update.note)
    return update.summarize(removed=removed, relabelled=relabelled, started=started)


def open_index(path: Path, info: IndexInfo) -> IndexStore:
    """Open an index for vectors of some kind; it is made when there is none.

    Raises:
        SearchError: the index is damaged, or its vectors are of another encoder or made in another way.
    """
    path = Path(path)
    if not path.exists():
        return IndexStore.create(path, info)
    store = IndexStore.open(path)
    store.info.check_same_vectors(info, str(path))
    if info.encoder_folder and info.encoder_folder != store.info.encoder_folder:
        store.set_encoder_folder(info.encoder_folder)
    return store


class _Update:
    """An index on its way to hold the videos of a catalog."""

    def __init__(self, store: IndexStore, videos: Catalog) -> None:
        self._store = store
        self._videos = videos
        columns = ("id", "bytes", "mtime_ns")
        ids, sizes, times = (videos.table[name].to_pylist() for name in columns)
        self._stamps: dict[str, _Stamp] = dict(zip(ids, zip(sizes, times, strict=True), strict=True))
        with store.read() as reader:
            self._known = reader.stamps()
            self._known_rejected = reader.rejected()
        self.num_written = self._added = self._replaced = self._rejected = 0

    @property
    def note(self) -> str:
        return f"{self._rejected} rejected" if self._rejected else ""

    def prune(self) -> int:
        """Remove what is not in the catalog."""
        gone = (self._known.keys() | self._known_rejected.keys()) - self._stamps.keys()
        return self._store.remove(gone) if gone else 0

    def relabel(self) -> int:
        """Bring labels, splits and groups up to date."""
        if unstamped := [video_id for video_id, stamp in self._known.items() if stamp == _NO_STAMP]:
            seconds = dict(zip(self._videos.ids, self._videos.seconds_array.tolist(), strict=True))
            known = {name: (seconds[name], *self._stamps[name]) for name in unstamped if name in seconds}
            self._store.set_files(known)
        columns = (self._videos.ids, self._videos.labels, self._videos.splits, self._videos.groups)
        return self._store.update_metadata(zip(*columns, strict=True)) if self._known else 0

    def find_missing(self) -> list[int]:
        """Return the rows of the catalog that are to be embedded."""
        return [row for row, video_id in enumerate(self._videos.ids) if self._is_due(video_id)]

    def _is_due(self, video_id: str) -> bool:
        stamp = self._stamps[video_id]
        failed = self._known_rejected.get(video_id)
        if failed is not None:
            return (failed.num_bytes, failed.mtime_ns) != stamp
        # Videos that came with a table of features have no stamp; their vectors are taken as they are.
        return video_id not in self._known or self._known[video_id] not in (stamp, _NO_STAMP)

    def write(
        self, group: Sequence[EmbeddedVideo], part: Catalog, pooling: Pooling, features: FeatureInfo
    ) -> None:
        """Put one pass of the network into the index."""
        table = build_table(group, part, pooling, features)
        rows = {part.ids[item.row]: item.row for item in group}
        videos = [self._complete(video, part, rows[video.id]) for video in split_by_video(table)]
        rejected = [
            self._refuse(item.rejection.reason, part, item.row)
            for item in group
            if item.rejection is not None
        ]
        if videos:
            self._store.add(videos)
        if rejected:
            self._store.reject(rejected)
        self.num_written += len(group)
        self._replaced += sum(video.id in self._known for video in videos)
        self._added += sum(video.id not in self._known for video in videos)
        self._rejected += len(rejected)

    def _complete(self, video: NewVideo, part: Catalog, row: int) -> NewVideo:
        num_bytes, mtime_ns = self._stamps[video.id]
        known = {"seconds": float(part.seconds_array[row]), "num_bytes": num_bytes, "mtime_ns": mtime_ns}
        return NewVideo(**{**vars(video), **known})

    def _refuse(self, reason: str, part: Catalog, row: int) -> RejectedVideo:
        video_id = part.ids[row]
        return RejectedVideo(video_id, part.table["path"][row].as_py(), reason, *self._stamps[video_id])

    def summarize(self, *, removed: int, relabelled: int, started: float) -> IndexSummary:
        """Say what became of the videos."""
        with self._store.read() as reader:
            rejected = sum(video_id in self._stamps for video_id in reader.rejected())
            return IndexSummary(
                out=self._store.path,
                videos=len(self._videos),
                kept=len(self._videos) - self._added - self._replaced - rejected,
                added=self._added,
                replaced=self._replaced,
                removed=removed,
                rejected=rejected,
                relabelled=relabelled,
                num_videos=reader.count_keys("video"),
                num_clips=reader.count_keys("clip"),
                seconds=time.monotonic() - started,
            )


def _group(stream: Iterator[EmbeddedVideo], size: int) -> Iterator[list[EmbeddedVideo]]:
    group: list[EmbeddedVideo] = []
    for video in stream:
        group.append(video)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def find_video(store: IndexStore, name: str, *, with_rejected: bool = False) -> str:
    """Return the id of the video that has this id, or this path in the catalog.

    Args:
        store: the index.
        name: an id or a path.
        with_rejected: whether videos that could not be embedded count.

    Raises:
        SearchError: there is none.
    """
    with store.read() as reader:
        if reader.video(name) is not None:
            return name
        if found := reader.find_path(name):
            return found
        for video in reader.rejected().values() if with_rejected else ():
            if name in (video.id, video.path):
                return video.id
        raise SearchError(
            f"{store.path} has no video {name!r}; give an id, or a path as in the catalog, of one of its "
            f"{reader.count_keys('video')} videos"
        )
