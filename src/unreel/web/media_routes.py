"""Videos and pictures of them, as files."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from unreel.search.index_rows import IndexedVideo
from unreel.web.api_search import describe_problems
from unreel.web.api_videos import PathId
from unreel.web.collection import find_video
from unreel.web.context import WebContext
from unreel.web.problems import Problem
from unreel.web.ranges import send_file
from unreel.web.video_files import OpenFile, open_video, tell_type

_VIDEO = {"description": "The file, or the range of it that was asked for.", "content": {"video/*": {}}}
_JPEG = {"description": "A picture.", "content": {"image/jpeg": {}}}


def build_media_router(context: WebContext) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["media"])
    refusals = describe_problems(404, 416, 503)

    @router.head("/media/{video_id}", include_in_schema=False)
    @router.get(
        "/media/{video_id}", response_class=Response, responses={**refusals, 200: _VIDEO, 206: _VIDEO}
    )
    def get_media(request: Request, video_id: PathId) -> Response:
        """Send a video as it is; ranges of bytes are honoured."""
        video, opened = _open(context, video_id)
        return send_file(opened, tell_type(video.path), request.method, request.headers)

    @router.head("/media/{video_id}/converted", include_in_schema=False)
    @router.get(
        "/media/{video_id}/converted",
        response_class=Response,
        responses={**refusals, 200: _VIDEO, 206: _VIDEO},
    )
    def get_converted(request: Request, video_id: PathId) -> Response:
        """Send the version of a video that browsers play; see playback for whether there is one."""
        video, opened = _open(context, video_id)
        opened.file.close()
        return send_file(_open_converted(context, video), "video/mp4", request.method, request.headers)

    @router.get("/thumbnails/{video_id}", response_class=Response, responses={**refusals, 200: _JPEG})
    async def get_thumbnail(
        video_id: PathId,
        at_sec: Annotated[float, Query(ge=0, allow_inf_nan=False, description="Seconds from its start.")] = 0,
    ) -> Response:
        """Draw a picture of a video at a time."""
        video, opened = await to_thread.run_sync(_open, context, video_id)
        opened.file.close()
        path = await to_thread.run_sync(context.pictures.find, video, at_sec)
        jpeg = await to_thread.run_sync(_read_or_nothing, path)
        if not jpeg:
            jpeg = await asyncio.wrap_future(context.pictures.draw(video, at_sec))
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    return router


def _open(context: WebContext, video_id: str) -> tuple[IndexedVideo, OpenFile]:
    index = context.index()
    video = find_video(index, video_id)
    return video, open_video(video, index.store.info.root)


def _open_converted(context: WebContext, video: IndexedVideo) -> OpenFile:
    path = context.playback.find_converted(video)
    with contextlib.suppress(FileNotFoundError):  # it was removed just now, to make room
        if path is not None:
            file = path.open("rb", buffering=0)
            # Every use changes the time of the copy itself; another original gives another copy.
            return OpenFile(file, os.fstat(file.fileno()).st_size, video.mtime_ns or 0)
    text = "there is no converted version of this video yet"
    raise Problem(404, "not_converted", text, "ask /api/videos/ID/playback until it is ready")


def _read_or_nothing(path: Path | None) -> bytes:
    try:
        return b"" if path is None else path.read_bytes()
    except FileNotFoundError:  # it was removed just now, to make room
        return b""
