from collections.abc import Iterator

import numpy as np
import pytest

from tests.web.served import Served
from unreel.errors import SearchError
from unreel.search.filters import Filter
from unreel.web.collection import (
    MAX_TOP_K,
    SearchRequest,
    describe_videos,
    draw_url,
    find_video,
    list_filters,
    list_videos,
    search_collection,
    show_video,
    tell_status,
)
from unreel.web.context import WebContext
from unreel.web.problems import Problem


@pytest.fixture(scope="module")
def context(served: Served) -> Iterator[WebContext]:
    context = WebContext(served.settings())
    yield context
    context.close()


def check_refusal(context: WebContext, request: SearchRequest, status: int, message: str) -> None:
    with pytest.raises(Problem, match=message) as caught:
        search_collection(context, request)
    assert caught.value.status == status


def test_a_video_finds_others_best_first_and_not_itself(context: WebContext, served: Served) -> None:
    answer = search_collection(context, SearchRequest(video=served.video_ids[0], top_k=20))
    assert len(answer.hits) == 11
    assert served.video_ids[0] not in {hit.video_id for hit in answer.hits}
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert (answer.query.kind, answer.query.id) == ("video", served.video_ids[0])
    assert answer.query.name == "00.mp4"
    assert 0 <= answer.seconds < 10


def test_scores_are_those_of_the_index(context: WebContext, served: Served) -> None:
    index = context.index()
    expected = index.search(index.embed_stored(served.video_ids[2]), top_k=5, exclude=served.video_ids[2])
    found = search_collection(context, SearchRequest(video=served.video_ids[2], top_k=5)).hits
    assert [(hit.video_id, hit.score) for hit in found] == [(hit.video_id, hit.score) for hit in expected]


def test_clips_are_found_with_their_times(context: WebContext, served: Served) -> None:
    request = SearchRequest(video=served.video_ids[0], unit="clip", top_k=100)
    hits = search_collection(context, request).hits
    assert len(hits) == 22
    assert all(0 <= hit.start_sec < hit.end_sec <= hit.seconds + 0.1 for hit in hits)
    assert hits[0].thumbnail_url == draw_url(hits[0].video_id, hits[0].start_sec)


def test_a_filter_narrows_the_search(context: WebContext, served: Served) -> None:
    request = SearchRequest(video=served.video_ids[0], wanted=Filter(labels=("speed1",)))
    hits = search_collection(context, request).hits
    assert len(hits) == 4
    assert {hit.label for hit in hits} == {"speed1"}


def test_a_stretch_of_a_video_counts_alone(context: WebContext, served: Served) -> None:
    clips = show_video(context, served.video_ids[0]).clips
    request = SearchRequest(video=served.video_ids[0], start_sec=0.0, end_sec=clips[0].end_sec / 100)
    answer = search_collection(context, request)
    assert (answer.query.start_sec, answer.query.end_sec) == (0.0, clips[0].end_sec / 100)
    whole = search_collection(context, SearchRequest(video=served.video_ids[0]))
    assert [hit.score for hit in answer.hits] != [hit.score for hit in whole.hits]


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({}, 422, "give either video or query"),
        ({"video": "x", "query": "y"}, 422, "give either video or query"),
        ({"video": "absent"}, 404, "there is no video 'absent'"),
        ({"query": "absent"}, 404, "this query is not known, or has been forgotten"),
        ({"query": "x", "start_sec": 1.0}, 422, "chosen when it is sent"),
        ({"query": "x", "end_sec": 1.0}, 422, "chosen when it is sent"),
    ],
)
def test_what_makes_no_sense_is_refused(
    context: WebContext, values: dict[str, object], status: int, message: str
) -> None:
    check_refusal(context, SearchRequest(**values), status, message)  # type: ignore[arg-type]


def test_a_stretch_without_a_vector_is_refused(context: WebContext, served: Served) -> None:
    name = served.video_ids[0]
    check_refusal(context, SearchRequest(video=name, start_sec=50.0), 422, "no vector between 50 s and inf s")
    check_refusal(
        context, SearchRequest(video=name, start_sec=2.0, end_sec=1.0), 422, "end_sec must be above"
    )


def test_a_query_of_another_encoder_is_forgotten(context: WebContext) -> None:
    vector = np.ones(context.index().store.info.dimension, dtype=np.float32)
    common = {"name": "a", "seconds": 1.0, "start_sec": None, "end_sec": None}
    other = context.queries.add(vector, **common, encoder_hash="0" * 16)  # type: ignore[arg-type]
    check_refusal(context, SearchRequest(query=other.id), 404, "not known")
    own = context.index().store.info.encoder_hash
    query = context.queries.add(vector, **common, encoder_hash=own)  # type: ignore[arg-type]
    assert len(search_collection(context, SearchRequest(query=query.id)).hits) == 12


def test_a_hit_that_leaves_between_two_looks_is_left_out(
    context: WebContext, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unreel.search.index_reader import IndexReader

    real = IndexReader.video
    gone = search_collection(context, SearchRequest(video=served.video_ids[0])).hits[0].video_id
    monkeypatch.setattr(IndexReader, "video", lambda self, name: None if name == gone else real(self, name))
    hits = search_collection(context, SearchRequest(video=served.video_ids[0])).hits
    assert len(hits) == 10
    assert gone not in {hit.video_id for hit in hits}


def test_videos_are_listed_by_path_in_parts(context: WebContext) -> None:
    first, second = (list_videos(context, Filter(), offset, 5) for offset in (0, 5))
    assert (first.total, first.offset, second.offset) == (12, 0, 5)
    assert [video.path for video in [*first.videos, *second.videos]] == [
        f"{row:02d}.mp4" for row in range(10)
    ]
    assert list_videos(context, Filter(splits=("test",)), 0, 5).total == 3
    assert list_videos(context, Filter(), 50, 5).videos == []


def test_a_video_is_shown_with_its_clips(context: WebContext, served: Served) -> None:
    found = show_video(context, served.video_ids[1])
    assert found.is_available
    assert found.note == ""
    assert found.num_bytes == served.files[1].stat().st_size
    assert len(found.clips) == 2
    assert found.clips[0].start_sec <= found.clips[1].start_sec


def test_a_file_that_is_gone_is_said_to_be(
    context: WebContext, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(video: object, root: str) -> None:
        raise Problem(404, "file_unavailable", "the file of this video has changed since it was indexed")

    monkeypatch.setattr("unreel.web.collection.open_video", fail)
    found = show_video(context, served.video_ids[1])
    assert not found.is_available
    assert "has changed" in found.note


def test_addresses_are_safe_whatever_the_id(context: WebContext, served: Served) -> None:
    from dataclasses import replace

    odd = replace(find_video(context.index(), served.video_ids[0]), id="a/b?c&d#é")
    (answer,) = describe_videos(context, [odd])
    assert answer.media_url == "/media/a%2Fb%3Fc%26d%23%C3%A9"
    assert answer.page_url == "/videos/a%2Fb%3Fc%26d%23%C3%A9"
    assert answer.more_url == "/?video=a%2Fb%3Fc%26d%23%C3%A9"
    assert answer.thumbnail_url == "/thumbnails/a%2Fb%3Fc%26d%23%C3%A9?at_sec=0.00"


def test_filters_are_counted(context: WebContext) -> None:
    found = list_filters(context)
    assert {(entry.value, entry.videos) for entry in found.labels} == {(f"speed{row}", 4) for row in range(3)}
    assert {(entry.value, entry.videos) for entry in found.splits} == {("test", 3), ("train", 9)}
    assert len(found.groups) == 12
    assert found.longest_sec == pytest.approx(0.8)


def test_the_status_says_what_is_served(context: WebContext, served: Served) -> None:
    found = tell_status(context)
    assert (found.num_videos, found.num_clips, found.dimension) == (12, 24, 32)
    assert found.units == {"video": 12, "clip": 24}
    assert found.root == str(served.files[0].parent)
    assert found.has_encoder
    assert not found.has_runs
    assert found.limits.max_top_k == MAX_TOP_K
    assert found.engine


def test_a_damaged_index_is_an_error_of_its_own(context: WebContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise SearchError("damaged")

    monkeypatch.setattr("unreel.search.index_store.IndexStore.read", fail)
    with pytest.raises(SearchError):
        list_filters(context)
