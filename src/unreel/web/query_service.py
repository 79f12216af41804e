"""From a file that a visitor sends to a vector: received, decoded elsewhere, embedded here, forgotten."""

import asyncio
import math
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from unreel.config import config_to_dict
from unreel.features.encoder import Encoder
from unreel.features.pooling import Pooling
from unreel.search.index_info import IndexInfo
from unreel.search.query import embed_query
from unreel.web.killable import WorkFailure
from unreel.web.problems import Problem, echo
from unreel.web.query_decoding import WORK
from unreel.web.query_store import QueryStore, StoredQuery
from unreel.web.settings import QueryLimits
from unreel.web.upload_folder import UploadFolder
from unreel.web.uploads import ReceivedForm, receive_form
from unreel.web.work_queue import WorkQueue

# D features

_STATUS = {"too_large": 413, "not_a_video": 415}


class Slots:
    """A number of places; who finds none free is refused.

    Args:
        name: what takes places, for the message.
        limit: places.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._free = name, limit
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place for the time of a block.

        Raises:
            Problem: none is free (429).
        """
        with self._lock:
            if self._free < 1:
                text = f"too many {self._name} at the same time"
                raise Problem(429, "busy", text, "try again in a few seconds", retry_after_sec=5)
            self._free -= 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1


class QueryService:
    """Turns files into queries, a bounded number at a time.

    Args:
        encoder: that made the index.
        info: how the index was made.
        limits: what a visitor may send.
        folder: where files lie while they are read.
        store: keeps the result.
    """

    def __init__(
        self, encoder: Encoder, info: IndexInfo, limits: QueryLimits, folder: UploadFolder, store: QueryStore
    ) -> None:
        self._encoder, self._info, self._limits = encoder, info, limits
        self._folder, self._store = folder, store
        self._arriving = Slots("files arrive", limits.max_uploads)
        # Of decoding and the network together: a quick first half must not pile up before a slow second one.
        self._waiting = Slots("queries wait", limits.max_waiting + 1)
        self._decoders = WorkQueue(
            "queries", WORK, max_waiting=limits.max_waiting, memory_mb=limits.memory_mb, file_mb=1024
        )
        self._network = ThreadPoolExecutor(1, thread_name_prefix="unreel-embed")

    async def receive(self, request: Request) -> StoredQuery:
        """Take the file of a request and return the query that can be searched with.

        Raises:
            Problem: the file is too large, too slow, no video, or too many others are waiting.
        """
        with self._folder.temporary_file() as video, self._folder.temporary_file() as clips:
            with self._arriving.take():
                form = await receive_form(request, video, self._limits)
            start_sec, end_sec = read_stretch(form)
            with self._waiting.take():
                found = await self._decode(video, clips, start_sec, end_sec)
                video.unlink(missing_ok=True)
                loop = asyncio.get_running_loop()
                vector_D = await loop.run_in_executor(self._network, self._embed, clips)
        return self._store.add(
            vector_D,
            name=form.file_name,
            seconds=float(found["seconds"]),
            start_sec=start_sec,
            end_sec=end_sec,
            encoder_hash=self._info.encoder_hash,
        )

    def close(self) -> None:
        """Kill the processes; what is open fails."""
        self._decoders.close()
        self._network.shutdown(wait=True, cancel_futures=True)

    async def _decode(
        self, video: Path, clips: Path, start_sec: float | None, end_sec: float | None
    ) -> Mapping[str, Any]:
        limits = self._limits
        job = {
            "path": str(video),
            "out": str(clips),
            "spec": config_to_dict(self._encoder.spec),
            "clips_per_video": self._info.clips_per_video,
            "start_sec": start_sec,
            "end_sec": end_sec,
            "max_frame_px": limits.max_frame_px,
            "max_sec": limits.max_sec,
            "max_frames": limits.max_frames,
            "time_limit_sec": limits.decode_time_limit_sec,
        }
        promise = self._decoders.submit(job, time_limit_sec=2 * limits.decode_time_limit_sec)
        try:
            found = await asyncio.wrap_future(promise)
        except WorkFailure as error:
            text = f"the video could not be read: {error}"
            raise Problem(
                413 if error.is_late else 415, "unreadable", text, "send a shorter or another video"
            ) from error
        if "refusal" in found:
            code = str(found["refusal"])
            raise Problem(_STATUS[code], code, str(found["reason"]), "send a shorter or another video")
        return found

    def _embed(self, clips: Path) -> NDArray[np.float32]:
        clips_NTHWC = np.load(clips, allow_pickle=False)
        vectors_ND = embed_query(clips_NTHWC, self._encoder, cast(Pooling, self._info.pooling))
        vector_D: NDArray[np.float32] = vectors_ND.mean(axis=0)
        if not np.isfinite(vector_D).all():
            raise Problem(415, "not_finite", "the network gave NaN or infinity", "send another video")
        return vector_D


def read_stretch(form: ReceivedForm) -> tuple[float | None, float | None]:
    """Return where the stretch starts and ends that a form asks for, None where it leaves that open.

    Raises:
        Problem: a field is no number of seconds, or the stretch is empty (422).
    """
    start_sec, end_sec = (_read_seconds(form, name) for name in ("start_sec", "end_sec"))
    if end_sec is not None and end_sec <= (start_sec or 0.0):
        text = f"end_sec must be above start_sec, got {start_sec or 0:g} and {end_sec:g}"
        raise Problem(422, "invalid_parameter", text, "give a longer stretch of time")
    return start_sec, end_sec


def _read_seconds(form: ReceivedForm, name: str) -> float | None:
    text = form.fields.get(name, "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        text = f"{name} must be seconds, 0 or more, got {echo(text)}"
        raise Problem(422, "invalid_parameter", text, "leave it out for the whole video")
    return seconds
