from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.page_reading import Page
from tests.web.served import Served, call_app, open_client
from unreel.search.index_info import IndexInfo
from unreel.search.index_rows import NewVideo
from unreel.search.index_store import IndexStore
from unreel.web.answers import HitAnswer, ValueAnswer
from unreel.web.app import create_app
from unreel.web.context import WebContext
from unreel.web.page_search import MOST_OFFERED, describe_hits, limit_values
from unreel.web.page_state import PAGE_SIZE, SearchState


def look(client: httpx.Client, address: str, status: int = 200) -> Page:
    answer = client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def list_posters(page: Page) -> list[str]:
    return [own["poster"] for own in page.all("video") if "poster" in own]


def test_without_a_query_every_video_is_shown(client: httpx.Client, served: Served) -> None:
    page = look(client, "/")
    assert "All videos 12 videos" in page.words
    assert [poster.split("?")[0].rpartition("/")[2] for poster in list_posters(page)] == list(
        served.video_ids
    )
    assert page.all("input", type="file", id="file")


def test_filters_narrow_the_list_and_stay_in_the_form(client: httpx.Client) -> None:
    page = look(client, "/?label=speed1&split=train&path_prefix=0")
    assert "Videos that match 2 videos" in page.words
    assert [own["value"] for own in page.all("input", name="label", checked="")] == ["speed1"]
    assert page.all("input", name="path_prefix", value="0")
    assert "/" in page.links("/")


def test_a_few_values_are_boxes_and_many_are_a_list_that_can_be_searched(client: httpx.Client) -> None:
    page = look(client, "/?group=3")
    assert {own["value"] for own in page.all("input", name="label")} == {"speed0", "speed1", "speed2"}
    assert len(page.all("datalist")) == 1
    assert len(page.all("option")) == 12
    assert page.all("input", name="group", list="group-values")
    assert page.all("input", name="group", value="3", checked="")


def test_a_video_finds_others_at_their_moments(client: httpx.Client, served: Served) -> None:
    page = look(client, f"/?video={served.video_ids[0]}")
    answer = client.get(f"/api/search?video={served.video_ids[0]}").json()
    assert "11 videos, most alike first" in page.words
    assert page.all("input", type="hidden", name="video", value=served.video_ids[0])
    sources = [own["src"] for own in page.all("video") if "src" in own]
    assert sources[1:] == [f"{hit['media_url']}#t={hit['start_sec']}" for hit in answer["hits"]]
    assert list_posters(page)[1:] == [hit["thumbnail_url"] for hit in answer["hits"]]
    for hit in answer["hits"]:
        assert f"{hit['score']:.3f}" in page.words


def test_more_like_a_moment_asks_for_that_stretch(client: httpx.Client, served: Served) -> None:
    page = look(client, f"/?video={served.video_ids[0]}&unit=clip&label=speed1")
    assert "moments, most alike first" in page.words
    links = [link for link in page.links("/?video=") if "start_sec" in link]
    assert links
    assert all("unit=clip" in link and "label=speed1" in link for link in links)
    look(client, links[0])


def test_more_hits_are_a_link_away_until_there_are_no_more(client: httpx.Client, served: Served) -> None:
    address = f"/?video={served.video_ids[0]}&top_k=4"
    assert f"/?video={served.video_ids[0]}&top_k=8" in look(client, address).links("/?")
    assert not [
        link for link in look(client, f"/?video={served.video_ids[0]}").links("/?") if "top_k" in link
    ]


def test_a_file_that_was_sent_is_a_state_of_the_page(served: Served) -> None:
    app = create_app(served.settings())
    context: WebContext = app.state.context
    query = context.queries.add(
        context.index().embed_stored(served.video_ids[2]),
        name="my <film>.mp4",
        seconds=0.8,
        start_sec=0.1,
        end_sec=None,
        encoder_hash=context.index().store.info.encoder_hash,
    )
    told = call_app(app, "GET", f"/?query={query.id}&label=speed2", {"accept": "text/html"})
    context.close()
    assert told.status == 200
    page = Page(told.body.decode())
    assert page.faults == []
    assert "Like my <film>.mp4" in page.words
    assert "from 0:00.1 to 0:00.8" in page.words
    assert page.all("input", type="hidden", name="query", value=query.id)
    assert served.video_ids[2] in list_posters(page)[0]


@pytest.mark.parametrize(
    ("address", "status", "text"),
    [
        ("/?query=forgotten", 404, "This search has expired"),
        ("/?video=gone", 404, "This video is not here"),
        ("/?min_sec=abc", 422, "Min_sec must be 0 or more seconds, got 'abc'."),
        ("/?video=a&query=b", 422, "Give either video or query."),
    ],
)
def test_what_cannot_be_searched_is_told_where_the_hits_would_be(
    client: httpx.Client, address: str, status: int, text: str
) -> None:
    page = look(client, address, status)
    assert text in page.words
    assert page.faults == []
    assert page.all("form", role="search")
    assert "/" in page.links("/")


def test_a_filter_that_nothing_passes_can_be_cleared(client: httpx.Client) -> None:
    page = look(client, "/?path_prefix=nowhere")
    assert "No video matches." in page.words
    assert page.links("/").count("/") >= 3


@pytest.fixture(scope="module")
def many(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a client of an index of many videos whose files are gone, with a label each."""
    path = tmp_path_factory.mktemp("many") / "many.index"
    store = IndexStore.create(
        path, IndexInfo(**{**vars(IndexStore.open(served.index).info), "root": "/none"})
    )
    with IndexStore.open(served.index).read() as reader:
        (vectors_ND,) = [vectors for _, vectors in reader.iterate_vectors("video")]
    places = dict.fromkeys(("start_sec_N", "end_sec_N"), vectors_ND[:1, 0] * 0)
    numbers = {name: places["start_sec_N"].astype(int) for name in ("clip_index_N", "frame_index_N")}
    store.add(
        [
            NewVideo(
                id=f"v{row}",
                path=f"{row:04d}.mp4",
                seconds=1.0,
                label=f"label {row}",
                split="",
                group="",
                num_bytes=None,
                mtime_ns=None,
                vectors_ND=vectors_ND[row % len(vectors_ND)][None],
                **places,
                **numbers,
            )
            for row in range(500)
        ]
    )
    with open_client(served.settings(index=path)) as client:
        yield client


def test_many_videos_are_paged(many: httpx.Client) -> None:
    first = look(many, "/")
    assert "500 videos" in first.words
    assert "Page 1 of 21" in first.words
    assert len(list_posters(first)) == PAGE_SIZE
    assert "/?page=2" in first.links("/?page")
    last = look(many, "/?page=21")
    assert len(list_posters(last)) == 500 - 20 * PAGE_SIZE
    assert look(many, "/?page=22").links("/?page=21")


def test_many_labels_are_one_list(many: httpx.Client) -> None:
    page = look(many, "/?label=label+7&label=label+8")
    assert len(page.all("option")) == 500
    assert len(page.all("input", name="label", checked="")) == 2
    assert "2 videos" in page.words


def test_an_empty_collection_says_what_to_do(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "empty.index"
    IndexStore.create(path, IndexInfo(**vars(IndexStore.open(served.index).info)))
    with open_client(served.settings(index=path)) as client:
        page = look(client, "/")
    assert "There is no video in this index yet" in page.words
    assert f"unreel index --encoder {served.encoder} --catalog catalog.parquet --out {path}" in page.words


def test_without_an_encoder_files_cannot_be_chosen_and_the_page_says_why(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "other.index"
    IndexStore.create(path, IndexInfo(**{**vars(IndexStore.open(served.index).info), "encoder_folder": ""}))
    with open_client(served.settings(index=path, encoder=None)) as client:
        page = look(client, "/")
    assert not page.all("input", type="file")
    assert "the index does not say where its encoder is" in page.words


def test_cards_of_videos_that_were_not_searched_for_have_no_score() -> None:
    values = {
        "video_id": "v",
        "path": "a/v.mp4",
        "label": "l",
        "split": "",
        "group": "",
        "seconds": 9.0,
        "is_playable": True,
        "media_url": "/media/v",
        "thumbnail_url": "/thumbnails/v",
        "page_url": "/videos/v",
        "more_url": "",
    }
    hit = HitAnswer(**values, score=0.5, start_sec=1.23456, end_sec=2.0)
    state = SearchState(query="q", labels=("l",), top_k=48)
    assert describe_hits([hit], state)[0]["more_url"] == "/?video=v&label=l"
    (moment,) = describe_hits([hit], SearchState(video="o", unit="clip"))
    assert moment["more_url"] == "/?video=v&start_sec=1.235&end_sec=2&unit=clip"
    assert moment["score"] == 0.5


def test_of_very_many_values_the_most_frequent_are_offered() -> None:
    values = [ValueAnswer(value=f"{row:06d}", videos=1 + row % 7) for row in range(10 * MOST_OFFERED)]
    offered = limit_values([ValueAnswer(value="", videos=5), *values])
    assert offered["total"] == 10 * MOST_OFFERED
    assert len(offered["counts"]) == MOST_OFFERED
    assert set(offered["counts"].values()) == {7}
    assert list(offered["counts"]) == sorted(offered["counts"])
