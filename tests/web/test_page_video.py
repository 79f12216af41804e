import httpx
import pytest

from tests.web.page_reading import Page
from tests.web.served import Served
from unreel.web.page_video import NUM_NEIGHBOURS


def look(client: httpx.Client, address: str) -> Page:
    answer = client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def test_a_video_shows_what_is_known_of_it(client: httpx.Client, served: Served) -> None:
    page = look(client, f"/videos/{served.video_ids[3]}")
    detail = client.get(f"/api/videos/{served.video_ids[3]}").json()
    for name in ("path", "label", "split", "video_id"):
        assert detail["video"][name] in page.words
    assert f"{detail['video']['seconds']:.1f} s" in page.words
    assert detail["video"]["media_url"] in page.links("/media")
    assert page.all("video")[0]["src"] == f"{detail['video']['media_url']}#t=0.0"


def test_its_moments_play_and_find_others_like_them(client: httpx.Client, served: Served) -> None:
    page = look(client, f"/videos/{served.video_ids[3]}")
    clips = client.get(f"/api/videos/{served.video_ids[3]}").json()["clips"]
    moments = page.all("a", class_="moment")
    assert [float(own["data-start"]) for own in moments] == [clip["start_sec"] for clip in clips]
    similar = [link for link in page.links(f"/?video={served.video_ids[3]}") if "start_sec" in link]
    assert similar
    assert all("unit=clip" in link for link in similar)
    for link in [own["href"] for own in moments] + similar:
        look(client, link)


def test_its_neighbours_are_those_of_the_search(client: httpx.Client, served: Served) -> None:
    page = look(client, f"/videos/{served.video_ids[3]}")
    hits = client.get(f"/api/search?video={served.video_ids[3]}&top_k={NUM_NEIGHBOURS}").json()["hits"]
    assert [own["src"].split("#")[0] for own in page.all("video")[1:]] == [hit["media_url"] for hit in hits]


@pytest.mark.parametrize(
    ("text", "start"),
    [("0.4", "0.4"), ("9999", None), ("-1", "0.0"), ("nan", "0.0"), ("x", "0.0"), ("", "0.0")],
)
def test_the_player_starts_where_the_address_says(
    client: httpx.Client, served: Served, text: str, start: str | None
) -> None:
    page = look(client, f"/videos/{served.video_ids[3]}?at_sec={text}")
    seconds = client.get(f"/api/videos/{served.video_ids[3]}").json()["video"]["seconds"]
    assert page.all("video")[0]["src"].endswith(f"#t={start or seconds}")
    assert page.all("div", class_="player")[0]["data-start"] == (start or str(seconds))
