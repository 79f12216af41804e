"""What the page of a video shows: the video, what is known of it, its moments, and its neighbours."""

import math
from typing import Any

from starlette.datastructures import QueryParams

from unreel.web.answers import VideoAnswer
from unreel.web.collection import SearchRequest, draw_url, search_collection, show_video
from unreel.web.context import WebContext
from unreel.web.page_search import describe_hits
from unreel.web.page_state import SearchState

NUM_NEIGHBOURS = 12


def show_video_page(context: WebContext, video_id: str, params: QueryParams) -> dict[str, Any]:
    """Return what the page of a video shows.

    Args:
        context: what is served.
        video_id: of the video.
        params: of the page's address; ``at_sec`` is where the player starts, 0 when it makes no sense.

    Raises:
        Problem: there is no such video (404), or the index cannot be read (503).
    """
    found = show_video(context, video_id)
    video = found.video
    near = search_collection(context, SearchRequest(video=video_id, top_k=NUM_NEIGHBOURS))
    at_sec = _read_time(params.get("at_sec", ""), video.seconds)
    clips = [
        {
            "start_sec": clip.start_sec,
            "end_sec": clip.end_sec,
            "thumbnail_url": draw_url(video_id, clip.start_sec),
            "play_url": f"{video.page_url}?at_sec={clip.start_sec:.3f}",
            "more_url": SearchState(
                video=video_id,
                start_sec=round(clip.start_sec, 3),
                end_sec=round(clip.end_sec, 3),
                unit="clip",
            ).address,
        }
        for clip in found.clips
    ]
    return {
        "page": "",
        "video": {**video.model_dump(), "thumbnail_url": draw_url(video_id, at_sec)},
        "at_sec": at_sec,
        "is_available": found.is_available,
        "note": found.note,
        "facts": _list_facts(video, found.num_bytes),
        "clips": clips,
        "hits": describe_hits(near.hits, SearchState()),
    }


def _list_facts(video: VideoAnswer, num_bytes: int | None) -> dict[str, str]:
    size = "" if num_bytes is None else f"{num_bytes / 1e6:.1f} MB"
    facts = {
        "Path": video.path,
        "Label": video.label,
        "Split": video.split,
        "Group": video.group,
        "Length": f"{video.seconds:.1f} s",
        "Size": size,
        "Id": video.video_id,
    }
    return {title: value for title, value in facts.items() if value}


def _read_time(text: str, seconds: float) -> float:
    try:
        at_sec = float(text)
    except ValueError:
        return 0.0
    return min(at_sec, seconds) if 0 <= at_sec < math.inf else 0.0
