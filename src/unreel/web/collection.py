"""What visitors are told of the collection; the API and the pages ask here."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import NDArray

from unreel.errors import SearchError
from unreel.search.filters import NO_FILTER, Filter
from unreel.search.hits import Hit
from unreel.search.index_rows import IndexedVideo
from unreel.search.video_index import VideoIndex
from unreel.web.answers import (
    ClipAnswer,
    FiltersAnswer,
    HitAnswer,
    Limits,
    QueryAnswer,
    SearchAnswer,
    StatusAnswer,
    ValueAnswer,
    VideoAnswer,
    VideoDetailAnswer,
    VideosAnswer,
)
from unreel.web.context import WebContext
from unreel.web.problems import Problem, echo
from unreel.web.video_files import open_video

# D features

MAX_TOP_K = 240


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for.

    Attributes:
        video: id of the video to search with; "" for none.
        query: id of the query to search with; "" for none.
        start_sec: where the stretch of the video starts that counts; None for its start.
        end_sec: where it ends; None for its end.
        unit: what is to be found.
        top_k: how much of it.
        wanted: which videos may be found.
    """

    video: str = ""
    query: str = ""
    start_sec: float | None = None
    end_sec: float | None = None
    unit: Literal["video", "clip"] = "video"
    top_k: int = 24
    wanted: Filter = NO_FILTER


def search_collection(context: WebContext, request: SearchRequest) -> SearchAnswer:
    """Return what resembles a video or a query; a video does not find itself.

    Raises:
        Problem: the request contradicts itself (422), names what is not there (404), or the index is gone
            (503).
    """
    started = time.monotonic()
    index = context.index()
    if bool(request.video) == bool(request.query):
        raise _refuse_parameter("give either video or query")
    query, vector_D = _use_video(index, request) if request.video else _use_query(context, index, request)
    try:
        hits = index.search(
            vector_D, top_k=request.top_k, unit=request.unit, wanted=request.wanted, exclude=request.video
        )
    except ValueError as error:
        raise _refuse_parameter(str(error)) from error
    answers = _describe_hits(context, index, hits)
    return SearchAnswer(
        query=query, unit=request.unit, hits=answers, seconds=round(time.monotonic() - started, 4)
    )


def _use_video(index: VideoIndex, request: SearchRequest) -> tuple[QueryAnswer, NDArray[np.float32]]:
    video = find_video(index, request.video)
    start_sec = request.start_sec or 0.0
    end_sec = math.inf if request.end_sec is None else request.end_sec
    if start_sec >= end_sec:
        raise _refuse_parameter(f"end_sec must be above start_sec, got {start_sec:g} and {end_sec:g}")
    try:
        vector_D = index.embed_stored(video.id, start_sec, end_sec)
    except SearchError as error:
        find_video(index, request.video)
        raise _refuse_parameter(str(error)) from error
    answer = QueryAnswer(
        kind="video", id=video.id, name=video.path, start_sec=request.start_sec, end_sec=request.end_sec
    )
    return answer, vector_D


def _use_query(
    context: WebContext, index: VideoIndex, request: SearchRequest
) -> tuple[QueryAnswer, NDArray[np.float32]]:
    if request.start_sec is not None or request.end_sec is not None:
        raise _refuse_parameter(
            "a file's stretch of time is chosen when it is sent, by start_sec and end_sec"
        )
    query = context.queries.get(request.query)
    if query is None or query.encoder_hash != index.store.info.encoder_hash:
        text = "this query is not known, or has been forgotten"
        raise Problem(404, "no_such_query", text, "send the file again")
    answer = QueryAnswer(
        kind="upload", id=query.id, name=query.name, start_sec=query.start_sec, end_sec=query.end_sec
    )
    return answer, query.vector_D


def _refuse_parameter(message: str) -> Problem:
    return Problem(422, "invalid_parameter", message, "see /api for what is accepted")


def find_video(index: VideoIndex, video_id: str) -> IndexedVideo:
    """Return a video of the index.

    Raises:
        Problem: there is none of this id (404).
        SearchError: the index cannot be read.
    """
    with index.store.read() as reader:
        video = reader.video(video_id)
    if video is None:
        text = f"there is no video {echo(video_id)}; it may have left the collection"
        raise Problem(404, "no_such_video", text, "search again")
    return video


def describe_videos(context: WebContext, videos: Sequence[IndexedVideo]) -> list[VideoAnswer]:
    """Return what visitors see of some videos."""
    are_playable = context.playback.are_playable(videos)
    return [
        VideoAnswer(
            video_id=video.id,
            path=video.path,
            label=video.label,
            split=video.split,
            group=video.group,
            seconds=video.seconds,
            is_playable=is_playable,
            media_url=f"/media/{quote(video.id, safe='')}",
            thumbnail_url=draw_url(video.id, 0.0),
            page_url=f"/videos/{quote(video.id, safe='')}",
            more_url=f"/?{urlencode({'video': video.id})}",
        )
        for video, is_playable in zip(videos, are_playable, strict=True)
    ]


def draw_url(video_id: str, at_sec: float) -> str:
    """Return where the picture of a video at a time is found."""
    return f"/thumbnails/{quote(video_id, safe='')}?at_sec={at_sec:.2f}"


def _describe_hits(context: WebContext, index: VideoIndex, hits: Sequence[Hit]) -> list[HitAnswer]:
    with index.store.read() as reader:
        found = {hit.video_id: reader.video(hit.video_id) for hit in hits}
    videos = {name: video for name, video in found.items() if video is not None}
    described = {answer.video_id: answer for answer in describe_videos(context, list(videos.values()))}
    answers = []
    for hit in hits:
        if hit.video_id not in described:  # it has left the collection between two looks into the index
            continue
        shown = {
            **described[hit.video_id].model_dump(),
            "thumbnail_url": draw_url(hit.video_id, hit.start_sec),
        }
        answers.append(HitAnswer(**shown, score=hit.score, start_sec=hit.start_sec, end_sec=hit.end_sec))
    return answers


def list_videos(context: WebContext, wanted: Filter, offset: int, limit: int) -> VideosAnswer:
    """Return the videos that pass a filter, by path."""
    with context.index().store.read() as reader:
        total = reader.count_videos(wanted)
        videos = reader.find_videos(wanted, offset=offset, limit=limit)
    return VideosAnswer(total=total, offset=offset, videos=describe_videos(context, videos))


def show_video(context: WebContext, video_id: str) -> VideoDetailAnswer:
    """Return a video with its clips.

    Raises:
        Problem: there is none of this id (404), or the index is gone (503).
    """
    index = context.index()
    video = find_video(index, video_id)
    with index.store.read() as reader:
        clips = reader.clips(video_id)
    note = ""
    try:
        open_video(video, index.store.info.root).file.close()
    except Problem as problem:
        note = problem.message
    return VideoDetailAnswer(
        video=describe_videos(context, [video])[0],
        clips=[ClipAnswer(start_sec=clip.start_sec, end_sec=clip.end_sec) for clip in clips],
        num_bytes=video.num_bytes,
        is_available=not note,
        note=note,
    )


def list_filters(context: WebContext) -> FiltersAnswer:
    """Return by what a search can be narrowed."""
    with context.index().store.read() as reader:
        counts = {
            name: [ValueAnswer(value=value, videos=videos) for value, videos in found.items()]
            for name in ("label", "split", "group")
            for found in [reader.count_values(name)]
        }
        longest_sec = reader.longest_sec()
    return FiltersAnswer(
        labels=counts["label"], splits=counts["split"], groups=counts["group"], longest_sec=longest_sec
    )


def tell_status(context: WebContext) -> StatusAnswer:
    """Return what is served."""
    index = context.index()
    info, limits = index.store.info, context.settings.query
    with index.store.read() as reader:
        units = {"video": reader.count_keys("video"), "clip": reader.count_keys("clip")}
        generation = reader.generation
    return StatusAnswer(
        name=context.name,
        encoder=info.encoder,
        encoder_hash=info.encoder_hash,
        has_encoder=context.encoder is not None,
        encoder_note=context.encoder_note,
        root=info.root,
        num_videos=units["video"],
        num_clips=units["clip"],
        dimension=info.dimension,
        engine=index.describe_engine(),
        units=units,
        generation=generation,
        limits=Limits(
            max_upload_mb=limits.max_upload_mb,
            max_query_sec=limits.max_sec,
            max_query_frame_px=limits.max_frame_px,
            max_top_k=MAX_TOP_K,
            kept_sec=limits.kept_sec,
        ),
        has_runs=context.runs.has_runs,
    )
