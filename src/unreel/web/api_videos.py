"""The API: videos, whether they play, and the map."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query

from unreel.web.answers import MapAnswer, PlaybackAnswer, VideoDetailAnswer, VideosAnswer
from unreel.web.api_search import Wanted, describe_problems
from unreel.web.collection import find_video, list_videos, show_video
from unreel.web.context import WebContext
from unreel.web.video_files import open_video

PathId = Annotated[str, Path(max_length=256, description="Id of a video of the collection.")]


def build_video_router(context: WebContext) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api", tags=["videos"])

    @router.get("/videos", responses=describe_problems(422, 503))
    def get_videos(
        wanted: Wanted,
        offset: Annotated[int, Query(ge=0, le=10**9, description="How many to leave out.")] = 0,
        limit: Annotated[int, Query(ge=1, le=200, description="How many to list.")] = 24,
    ) -> VideosAnswer:
        """List the videos of the collection, by path."""
        return list_videos(context, wanted, offset, limit)

    @router.get("/videos/{video_id}", responses=describe_problems(404, 503))
    def get_video(video_id: PathId) -> VideoDetailAnswer:
        """Show a video and its clips."""
        return show_video(context, video_id)

    @router.get("/videos/{video_id}/playback", responses=describe_problems(404, 429, 503))
    def get_playback(video_id: PathId) -> PlaybackAnswer:
        """Say whether a browser can play a video by now; the first question begins to prepare it."""
        index = context.index()
        video = find_video(index, video_id)
        open_video(video, index.store.info.root).file.close()
        found = context.playback.prepare(video)
        url = f"/media/{quote(video_id, safe='')}{'/converted' if found.is_converted else ''}"
        return PlaybackAnswer(
            state=found.state, url=url if found.state == "ready" else "", reason=found.reason
        )

    @router.get("/map", responses=describe_problems(429, 503))
    def get_map(
        method: Annotated[Literal["pca", "tsne"], Query(description="How videos are placed.")] = "pca",
    ) -> MapAnswer:
        """Show the collection on a plane; while it is computed, the map before it."""
        return context.maps.get(context.index().store, method)

    return router
