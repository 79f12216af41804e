"""What all requests share: the index, the encoder, and the services around them."""

import shutil
import tempfile
import threading
from pathlib import Path

from unreel.errors import SearchError, UnreelError
from unreel.features.encoder import Encoder, Precision, choose_device
from unreel.search.index_info import IndexInfo
from unreel.search.video_index import VideoIndex
from unreel.web.map_service import MapService
from unreel.web.pictures import PictureService
from unreel.web.playback import PlaybackService
from unreel.web.problems import Problem, explain_index_error
from unreel.web.query_service import QueryService
from unreel.web.query_store import QueryStore
from unreel.web.run_service import RunService
from unreel.web.settings import ServeSettings
from unreel.web.upload_folder import UploadFolder

_FOLDERS = ("uploads", "converted", "thumbnails", "maps")


class WebContext:
    """What all requests share.

    Attributes:
        settings: what is served, and to whom.
        name: of the index's file, without its ending.
        encoder: that made the index; None when there is none, then only stored videos can be searched with.
        encoder_note: why there is none; "" when there is one.
        queries: vectors of what visitors have sent.
        playback: knows what plays, and converts the rest.
        pictures: draws videos.
        maps: of the collection.
        runs: training runs.
        work_folder: where the files lie that are made for visitors.
        folder_note: why what is made for visitors is not kept; "" when it is.

    Args:
        settings: what is served, and to whom.

    Raises:
        SearchError: the index is missing or damaged, or the given encoder is not the one that made it.
        UnreelError: the given encoder cannot be loaded.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.name = settings.index.stem
        self._lock = threading.Lock()
        self._index = VideoIndex.open(settings.index, qdrant=settings.qdrant)
        self._file = _identify(settings.index)
        info = self._index.store.info
        self.encoder, self.encoder_note = _load_encoder(settings, info)
        self.work_folder, self.folder_note = _choose_folder(self._index.store.cache_folder)
        folder = self.work_folder
        self.queries = QueryStore(settings.query.max_kept, settings.query.kept_sec)
        self._uploads = UploadFolder(folder / "uploads")
        self._query_service: QueryService | None = None
        if self.encoder is not None:
            self._query_service = QueryService(
                self.encoder, info, settings.query, self._uploads, self.queries
            )
        self.playback = PlaybackService(folder / "converted", settings.conversion)
        self.pictures = PictureService(folder / "thumbnails")
        self.maps = MapService(folder / "maps")
        self.runs = RunService(settings.runs)

    def index(self) -> VideoIndex:
        """Return the index; one that was replaced by another file is opened anew.

        Raises:
            Problem: it is gone or damaged (503).
        """
        try:
            file = _identify(self.settings.index)
            with self._lock:
                if file != self._file:
                    self._index = VideoIndex.open(self.settings.index, qdrant=self.settings.qdrant)
                    self._file = file
                return self._index
        except (SearchError, OSError) as error:
            raise explain_index_error(error) from error

    def query_service(self) -> QueryService:
        """Return what embeds files of visitors.

        Raises:
            Problem: there is no encoder, or it does not fit the index any more (503).
        """
        info = self.index().store.info
        if self._query_service is None or self.encoder is None:
            text = f"files cannot be searched with: {self.encoder_note}"
            raise Problem(
                503, "no_encoder", text, "start the server with --encoder, or search by a video of it"
            )
        if info.encoder_hash != self.encoder.hash:
            text = "the index was replaced by one of another encoder"
            raise Problem(503, "no_encoder", text, "start the server again")
        return self._query_service

    def close(self) -> None:
        """Kill what runs for this server and remove the files of visitors."""
        for service in (self._query_service, self.playback, self.pictures, self.maps):
            if service is not None:
                service.close()
        self._uploads.close()
        self._index.close()
        if self.folder_note:
            shutil.rmtree(self.work_folder, ignore_errors=True)


def _choose_folder(cache: Path) -> tuple[Path, str]:
    """Return where to put what is made for visitors, and why that is not the cache of the index."""
    try:
        for name in _FOLDERS:
            (cache / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=cache / name):
                pass
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="unreel-serve-"))
        note = (
            f"{cache} cannot be written ({str(error.strerror).lower()}): pictures, converted videos and maps "
        )
        return folder, f"{note}are kept in {folder} until the server ends"
    return cache, ""


def _identify(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _load_encoder(settings: ServeSettings, info: IndexInfo) -> tuple[Encoder | None, str]:
    """Return the encoder of an index, and why there is none; one that was named must be the right one."""
    folder = settings.encoder or (Path(info.encoder_folder) if info.encoder_folder else None)
    if folder is None:
        return None, "the index does not say where its encoder is"
    try:
        encoder = Encoder.load(folder)
    except UnreelError as error:
        if settings.encoder is not None:
            raise
        return None, str(error)
    if encoder.hash != info.encoder_hash:
        text = (
            f"{settings.index} was made by encoder {info.encoder!r} (hash {info.encoder_hash}), {folder} "
            f"holds {encoder.name!r} (hash {encoder.hash}); give the encoder that made the index"
        )
        if settings.encoder is not None:
            raise SearchError(text)
        return None, text
    return encoder.to(choose_device(settings.device), precision=_read_precision(info)), ""


def _read_precision(info: IndexInfo) -> Precision:
    return "bfloat16" if info.precision == "bfloat16" else "float32"
