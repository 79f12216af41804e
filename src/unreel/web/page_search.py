"""What the search page shows: hits of a query, or the videos of the collection, and what narrows both."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import QueryParams

from unreel.web.answers import HitAnswer, QueryAnswer, SearchAnswer, StatusAnswer, ValueAnswer, VideoAnswer
from unreel.web.collection import (
    SearchRequest,
    describe_videos,
    find_video,
    list_filters,
    list_videos,
    search_collection,
    tell_status,
)
from unreel.web.context import WebContext
from unreel.web.page_state import LARGEST_TOP_K, PAGE_SIZE, SearchState, list_pages
from unreel.web.problems import Problem

MOST_OFFERED = 1000
"""Values of a filter that the page lists; any other can be typed."""
_OWN_PROBLEMS = (404, 422)
"""What the page itself says; anything else is a page of its own."""


def show_search(context: WebContext, params: QueryParams) -> tuple[dict[str, Any], int]:
    """Return what the search page shows, and the status of its answer.

    Args:
        context: what is served.
        params: of the page's address.

    Raises:
        Problem: the index cannot be read.
    """
    status = tell_status(context)
    state = SearchState()
    try:
        state = SearchState.read(params)
        view = _show_hits(context, state) if state.has_query else _show_videos(context, state)
    except Problem as problem:
        if problem.status not in _OWN_PROBLEMS:
            raise
        view = _show_problem(problem)
    shared = {
        "page": "Search",
        "problem": None,
        "unit": state.unit,
        "chosen": _list_chosen(state),
        "choices": _list_choices(context),
        "is_filtered": not state.filter.is_empty,
        "clear_filters_url": state.without_filters,
        "clear_query_url": state.without_query,
        "is_empty_collection": not status.num_videos,
        "index_command": _write_index_command(context, status),
        "can_upload": status.has_encoder,
        "no_upload_reason": f"A file cannot be searched with: {status.encoder_note}.",
        "max_upload_mb": status.limits.max_upload_mb,
    }
    return {**shared, **view}, int(view["status"])


def describe_hits(hits: Sequence[HitAnswer | VideoAnswer], state: SearchState) -> list[dict[str, Any]]:
    """Return hits, or videos that were not searched for, as cards show them.

    Args:
        hits: from the API.
        state: what was searched for; "more like this" keeps its filters.
    """
    cards = []
    for hit in hits:
        is_hit = isinstance(hit, HitAnswer)
        is_moment = is_hit and state.unit == "clip"
        more = {
            "video": hit.video_id,
            "query": "",
            "start_sec": round(hit.start_sec, 3) if isinstance(hit, HitAnswer) and is_moment else None,
            "end_sec": round(hit.end_sec, 3) if isinstance(hit, HitAnswer) and is_moment else None,
            "top_k": PAGE_SIZE,
            "page": 1,
        }
        place = {} if is_hit else {"score": None, "start_sec": 0.0, "end_sec": hit.seconds}
        cards.append({**hit.model_dump(), **place, "more_url": state.change(**more)})
    return cards


def limit_values(values: Sequence[ValueAnswer]) -> dict[str, Any]:
    """Return values that videos have as the page offers them: the most frequent ones, in their order.

    Args:
        values: all of them; "", which stands for none, is not offered.
    """
    named = [own for own in values if own.value]
    kept = {own.value for own in sorted(named, key=lambda own: -own.videos)[:MOST_OFFERED]}
    return {"total": len(named), "counts": {own.value: own.videos for own in named if own.value in kept}}


def _show_hits(context: WebContext, state: SearchState) -> dict[str, Any]:
    request = SearchRequest(
        video=state.video,
        query=state.query,
        start_sec=state.start_sec,
        end_sec=state.end_sec,
        unit=state.unit,
        top_k=state.top_k,
        wanted=state.filter,
    )
    found = search_collection(context, request)
    count = len(found.hits)
    name = found.query.name.rpartition("/")[2]
    has_more = count == state.top_k < LARGEST_TOP_K
    more_url = state.change(top_k=min(2 * state.top_k, LARGEST_TOP_K)) if has_more else ""
    return {
        "status": 200,
        "query": _describe_query(context, found.query),
        "heading": f"Like {name}",
        "told": _tell_count(found, count),
        "hits": describe_hits(found.hits, state),
        "more_url": more_url,
        "pages": {"last": 1},
    }


def _tell_count(found: SearchAnswer, count: int) -> str:
    word = {"video": "video", "clip": "moment"}[found.unit] + ("" if count == 1 else "s")
    return f"{count} {word}, most alike first, in {1000 * found.seconds:.0f} ms"


def _describe_query(context: WebContext, query: QueryAnswer) -> dict[str, Any]:
    shown = {"kind": query.kind, "id": query.id, "path": query.name}
    ends = {"start_sec": query.start_sec or 0.0, "end_sec": query.end_sec or 0.0}
    if query.kind == "video":
        index = context.index()
        video = describe_videos(context, [find_video(index, query.id)])[0]
        return {**video.model_dump(), **shown, **ends}
    stored = context.queries.get(query.id)
    return {**shown, **ends, "seconds": stored.seconds if stored else 0.0}


def _show_videos(context: WebContext, state: SearchState) -> dict[str, Any]:
    found = list_videos(context, state.filter, (state.page - 1) * PAGE_SIZE, PAGE_SIZE)
    return {
        "status": 200,
        "query": None,
        "heading": "All videos" if state.filter.is_empty else "Videos that match",
        "told": f"{found.total:,} video{'' if found.total == 1 else 's'}",
        "hits": describe_hits(found.videos, state),
        "more_url": "",
        "pages": list_pages(state.page, found.total, state.change(page=1)),
    }


def _show_problem(problem: Problem) -> dict[str, Any]:
    headings = {"no_such_query": "This search has expired", "no_such_video": "This video is not here"}
    return {
        "status": problem.status,
        "query": None,
        "problem": problem,
        "heading": headings.get(problem.code, "Nothing could be searched"),
        "told": "",
        "hits": [],
        "more_url": "",
        "pages": {"last": 1},
    }


def _list_chosen(state: SearchState) -> Mapping[str, Any]:
    return {
        "labels": state.labels,
        "splits": state.splits,
        "groups": state.groups,
        "min_sec": "" if state.min_sec is None else f"{state.min_sec:g}",
        "max_sec": "" if state.max_sec is None else f"{state.max_sec:g}",
        "path_prefix": state.path_prefix,
    }


def _list_choices(context: WebContext) -> Mapping[str, Any]:
    found = list_filters(context)
    return {
        "labels": limit_values(found.labels),
        "splits": limit_values(found.splits),
        "groups": limit_values(found.groups),
        "longest_sec": found.longest_sec,
    }


def _write_index_command(context: WebContext, status: StatusAnswer) -> str:
    folder = context.index().store.info.encoder_folder or "runs/NAME/encoder"
    words = ["unreel", "index", "--encoder", folder, "--catalog", "catalog.parquet"]
    return shlex.join([*words, "--out", str(context.settings.index)])
