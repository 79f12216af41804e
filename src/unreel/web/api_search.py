"""The API: what is served, searches, and the files that are searched with."""

import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request

from unreel.search.filters import Filter
from unreel.web.answers import FiltersAnswer, SearchAnswer, StatusAnswer, UploadAnswer
from unreel.web.collection import MAX_TOP_K, SearchRequest, list_filters, search_collection, tell_status
from unreel.web.context import WebContext
from unreel.web.problems import Problem, ProblemAnswer

_VALUE = Query(max_length=200)
Values = Annotated[list[Annotated[str, _VALUE]], Query(max_length=100)]
Seconds = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]
VideoId = Annotated[str, Query(max_length=256, description="Id of a video of the collection.")]

_UPLOAD_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The video."},
        "start_sec": {"type": "number", "minimum": 0, "description": "Where the stretch starts that counts."},
        "end_sec": {"type": "number", "minimum": 0, "description": "Where it ends."},
    },
}


def describe_problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return what the documentation says of refusals."""
    texts = {
        400: "The request is damaged.",
        404: "There is no such thing, or not any more.",
        408: "The file did not arrive in time.",
        413: "The file or the video is larger than allowed.",
        415: "The file is no video that can be read.",
        416: "The file has no such bytes.",
        422: "A parameter makes no sense.",
        429: "Too much is being done already; `Retry-After` says when to come again.",
        503: "The index or the encoder is not there.",
    }
    return {code: {"model": ProblemAnswer, "description": texts[code]} for code in codes}


def read_filter(
    *,
    label: Annotated[Values, Query(description='Classes, of which a video needs one; "" is ignored.')] = [],  # noqa: B006
    split: Annotated[Values, Query(description="Splits, of which a video needs one.")] = [],  # noqa: B006
    group: Annotated[Values, Query(description="Groups, of which a video needs one.")] = [],  # noqa: B006
    min_sec: Annotated[Seconds, Query(description="Length that a video has at least.")] = None,
    max_sec: Annotated[Seconds, Query(description="Length that a video has at most.")] = None,
    path_prefix: Annotated[str, Query(max_length=1000, description="How its path begins.")] = "",
) -> Filter:
    """Return which videos may be found; parameters without a value are as good as absent.

    Raises:
        Problem: no length lies between the limits (422).
    """
    try:
        return Filter(
            labels=tuple(filter(None, label)),
            splits=tuple(filter(None, split)),
            groups=tuple(filter(None, group)),
            min_sec=min_sec or 0.0,
            max_sec=math.inf if max_sec is None else max_sec,
            path_prefix=path_prefix,
        )
    except ValueError as error:
        raise Problem(422, "invalid_parameter", str(error), "see /api for what is accepted") from error


Wanted = Annotated[Filter, Depends(read_filter)]


def build_search_router(context: WebContext) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api", tags=["search"])

    @router.get("/status", responses=describe_problems(503))
    def get_status() -> StatusAnswer:
        """Say what is served, and what may be sent."""
        return tell_status(context)

    @router.get("/filters", responses=describe_problems(503))
    def get_filters() -> FiltersAnswer:
        """List labels, splits and groups, with how many videos have each."""
        return list_filters(context)

    @router.get("/search", responses=describe_problems(404, 422, 503))
    def get_search(
        *,
        wanted: Wanted,
        video: VideoId = "",
        query: Annotated[str, Query(max_length=100, description="Id of a file that was sent.")] = "",
        start_sec: Annotated[Seconds, Query(description="Where the video's stretch starts.")] = None,
        end_sec: Annotated[Seconds, Query(description="Where it ends.")] = None,
        unit: Annotated[Literal["video", "clip"], Query(description="What is to be found.")] = "video",
        top_k: Annotated[int, Query(ge=1, le=MAX_TOP_K, description="How much of it.")] = 24,
    ) -> SearchAnswer:
        """Find what resembles a video of the collection, or a file that was sent. Give one of both."""
        request = SearchRequest(video, query, start_sec, end_sec, unit, top_k, wanted)
        return search_collection(context, request)

    @router.post(
        "/queries",
        status_code=201,
        responses=describe_problems(400, 408, 413, 415, 422, 429, 503),
        openapi_extra={
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD_FORM}}}
        },
    )
    async def post_query(request: Request) -> UploadAnswer:
        """Send a video to search with. Its vector is kept for a while, the file is not."""
        query = await context.query_service().receive(request)
        return UploadAnswer(
            query_id=query.id,
            name=query.name,
            seconds=query.seconds,
            start_sec=query.start_sec,
            end_sec=query.end_sec,
            expires_sec=context.queries.kept_sec,
        )

    return router
