"""The index of a watched folder, with the files beside it: what they hold now, and how that is changed."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

import pyarrow as pa

from unreel.data.catalog import Catalog
from unreel.data.catalog_table import identify_video
from unreel.data.listing import Listing
from unreel.data.scan import scan_videos
from unreel.data.scan_memory import RejectedFile, read_rejected, write_rejected
from unreel.errors import NoVideoError, SearchError
from unreel.progress import Progress
from unreel.runs import remove_abandoned
from unreel.search.index_rows import IndexedVideo, RejectedVideo
from unreel.search.index_store import IndexStore

_METADATA = ("label", "split", "group")


class WatchedIndex:
    """What is known of the videos of a folder.

    Beside the index lie a catalog, so that no file is read twice, and a table of files that cannot be read;
    nobody else writes these.

    Args:
        path: of the index, which need not be there yet.
        folder: that the videos are in.
        update: embeds what is new in a catalog and puts it into the index.

    Attributes:
        path: of the index.
        folder: absolute.
        rejected_path: the table of files that cannot be read.
        videos: of the index, by path in the catalog; as of the last `refresh`.

    Raises:
        SearchError: the index is damaged, or its paths start from another folder.
    """

    def __init__(self, path: Path, folder: Path, update: Callable[[Catalog], object]) -> None:
        self.path = path
        self.folder = Path(os.path.abspath(folder))
        self.rejected_path = path.with_name(f"{path.name}.rejected.csv")
        self.videos: dict[str, IndexedVideo] = {}
        self._catalog_path = path.with_name(f"{path.name}.catalog.parquet")
        self._update = update
        self._moment: tuple[str, str] | None = None
        for beside in (self._catalog_path, self.rejected_path):
            remove_abandoned(beside)
        self.refresh()

    def refresh(self) -> bool:
        """Read which videos there are; return whether the index has changed since it was last read.

        Raises:
            SearchError: the index is damaged, or its paths start from another folder.
        """
        moment, videos = None, {}
        if (store := self._open()) is not None:
            if store.info.root != str(self.folder):
                raise SearchError(
                    f"{self.path} holds videos of {store.info.root}, not of {self.folder}; watch that "
                    "folder, or give another --out"
                )
            with store.read() as reader:
                moment = (reader.identity, reader.token)
                if moment == self._moment:
                    return False
                videos = {video.path: video for video in reader.find_videos()}
        has_changed = moment != self._moment
        self._moment, self.videos = moment, videos
        return has_changed

    def bring_in(
        self, listing: Listing, *, keeps_metadata: bool, num_workers: int, progress: Progress
    ) -> None:
        """Read and embed what is new.

        Args:
            listing: the files that are whole.
            keeps_metadata: whether videos keep the label, split and group that the index has of them.
            num_workers: processes that read files; see `scan_videos`.
            progress: told how many new files were read.
        """
        if not listing.candidates and not listing.refused:
            write_rejected(self.rejected_path, [])
            return
        try:
            scan_videos(
                [self.folder],
                self._catalog_path,
                rejected=self.rejected_path,
                listing=listing,
                num_workers=num_workers,
                progress=progress,
            )
        except NoVideoError:
            return  # the table of rejected files says why
        catalog = Catalog.load(self._catalog_path)
        self._update(self._keep_metadata(catalog) if keeps_metadata else catalog)

    def remove(self, paths: Collection[str]) -> None:
        """Take videos out, and what is noted of their rejection."""
        if paths and (store := self._open()) is not None:
            store.remove(identify_video(path) for path in sorted(paths))

    def list_unembedded(self) -> dict[str, RejectedVideo]:
        """Return the videos that can be read but could not be embedded, by path."""
        if (store := self._open()) is None:
            return {}
        with store.read() as reader:
            return {video.path: video for video in reader.rejected().values()}

    def list_unread(self) -> dict[str, RejectedFile]:
        """Return the files that cannot be read, by path."""
        if not self.rejected_path.exists():
            return {}
        return {row.path: row for row in read_rejected(self.rejected_path)}

    def _open(self) -> IndexStore | None:
        return IndexStore.open(self.path) if self.path.exists() else None

    def _keep_metadata(self, catalog: Catalog) -> Catalog:
        table = catalog.table
        paths = table["path"].to_pylist()
        for name in _METADATA:
            known = {path: getattr(video, name) for path, video in self.videos.items()}
            values = pa.array([known.get(path, "") for path in paths], pa.string())
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
        return Catalog(table, catalog.root, path=catalog.path)
